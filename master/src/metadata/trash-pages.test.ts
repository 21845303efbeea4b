import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bindRequest, path } from './testing/metadata-fixtures.ts';
import { type MetadataHarness, openOnSqlite } from './testing/metadata-harness.ts';

/** So many names a transaction may take. */
const limit = 50;
/** An entry, what it leads to, where it is in the trash, its directory's sizes; and the journal's row. */
const rowsOfName = 6;

let harness: MetadataHarness;
beforeEach(async () => {
  harness = await openOnSqlite();
});
afterEach(() => harness.close());

/** Has the database count every row that is written. */
async function countRows(): Promise<() => Promise<number>> {
  const { rows } = harness;
  const tables = await rows<{ name: string }>(
    `select name from sqlite_schema where type = 'table' and name not like 'sqlite%' and name not like 'knex%'`,
  );
  await rows('create table touched (rows integer not null)');
  await rows('insert into touched values (0)');
  for (const { name } of tables) {
    for (const event of ['insert', 'update', 'delete']) {
      await rows(
        `create trigger touched_${name}_${event} after ${event} on ${name} begin update touched set rows = rows + 1; end`,
      );
    }
  }
  return async () => {
    const [row] = await rows<{ rows: number }>('select rows from touched');
    await rows('update touched set rows = 0');
    return row?.rows ?? 0;
  };
}

/** Takes the whole trash apart. Gives the rows that each transaction wrote, and what went. */
async function collect() {
  const counted = await countRows();
  const { repository, clock } = harness;
  const pages: number[] = [];
  const went = { files: 0, directories: 0 };
  for (let isDone = false; !isDone; ) {
    const collected = await repository.collectTrash({ nowMs: clock.now(), limit });
    pages.push(await counted());
    went.files += collected.files;
    went.directories += collected.directories;
    isDone = collected.isDone;
    expect(pages.length).toBeLessThan(500);
  }
  return { pages, most: Math.max(...pages), went };
}

const bindAll = async (requests: readonly ReturnType<typeof bindRequest>[]) => {
  for (const request of requests) await harness.repository.bindFiles([request]);
};
const fileOf = (at: string, blobs: number) =>
  bindRequest(at, { blobSizes: Array.from({ length: blobs }, () => 1) });

describe('a transaction of the collection', () => {
  it('writes a bounded number of rows for directories of many directories', async () => {
    const { repository } = harness;
    for (let n = 0; n < 240; n += 1) {
      await repository.makeDirectory(path(`/top/${n % 3}/${n % 60}/${n}`));
    }
    await repository.removeEntry(path('/top'));
    const { most, went } = await collect();
    expect(went).toEqual({ files: 0, directories: 304 });
    expect(most).toBeLessThanOrEqual(rowsOfName * limit);
  });

  const blobCounts = Array.from({ length: 60 }, (_, n) => 1 + ((n * 7) % 40));

  it('writes a bounded number of rows for files of many blobs in directories', async () => {
    await bindAll(blobCounts.map((blobs, n) => fileOf(`/top/${n % 2}/${n}`, blobs)));
    await harness.repository.removeEntry(path('/top'));
    const { most, went } = await collect();
    expect(went).toEqual({ files: 60, directories: 3 });
    expect(most).toBeLessThanOrEqual(rowsOfName * limit);
  });

  it('writes a bounded number of rows for files of many blobs that were removed one by one', async () => {
    const { repository, clock } = harness;
    await bindAll(blobCounts.map((blobs, n) => fileOf(`/${n}`, blobs)));
    for (const n of blobCounts.keys()) {
      await repository.removeEntry(path(`/${n}`), { trashUntilMs: clock.now() + 1 });
    }
    clock.advance(2);
    const { most, went } = await collect();
    expect(went).toEqual({ files: 60, directories: 0 });
    expect(most).toBeLessThanOrEqual(rowsOfName * limit);
  });

  it('takes a file of more blobs than that by itself, first in a directory or first in the trash', async () => {
    const { repository, clock } = harness;
    await bindAll(['/top/0', '/top/1', '/2', '/3'].map((at) => fileOf(at, 4 * limit)));
    await bindAll(Array.from({ length: 20 }, (_, n) => fileOf(`/top/small-${n}`, 1)));
    const trashUntilMs = clock.now() + 1;
    for (const at of ['/2', '/3', '/top']) await repository.removeEntry(path(at), { trashUntilMs });
    clock.advance(2);
    const { most, went } = await collect();
    expect(went).toEqual({ files: 24, directories: 1 });
    expect(most).toBeGreaterThan(4 * limit);
    expect(most).toBeLessThanOrEqual(rowsOfName * 4 * limit);
  });
});
