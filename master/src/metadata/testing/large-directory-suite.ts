import type { EntryId } from '@dfs/shared';
import { expect, it } from 'vitest';
import { rootId } from '../root-entries.ts';
import { bind, onNewDatabase, path } from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

const children = 100_000;
const tables = ['entries', 'files'] as const;
/** A slow machine takes its time to make them. */
const timeoutMs = 120_000;
const directoryId = '00000000-0000-7000-8000-000009000000' as EntryId;

/** However much is in a directory, what happens to it changes a handful of rows. */
export function describeLargeDirectories(open: OpenMetadata): void {
  it(
    'moves, removes and brings back a directory of 100 000 files by changing a row each, and takes it apart in pages',
    onNewDatabase(open, async (harness) => {
      const { clock, rows } = harness;
      await bind(harness.repository, '/other/file');
      await seedLargeDirectory(harness);
      await (await harness.reopen()).foldSizes(10);
      await rememberRows(harness);

      const changes = await changesBy(harness, () =>
        harness.repository.moveEntry({
          from: path('/large'),
          to: path('/other/moved'),
          overwrite: false,
        }),
      );
      expect(changes).toEqual({ entries: 1, files: 0, images: ['upsert entries'] });
      const named = await harness.repository.findFile(path('/other/moved/77'));
      expect((await harness.repository.findFileById(named?.file.id as never))?.path).toBe(
        '/other/moved/77',
      );

      const removal = await changesBy(harness, () =>
        harness.repository.removeEntry(path('/other/moved'), { trashUntilMs: clock.now() + 1 }),
      );
      const one = { entries: 1, files: 0 };
      expect(removal).toEqual({ ...one, images: ['upsert entries', 'upsert trash'] });
      expect(await harness.repository.findEntry(path('/other/moved/77'))).toBeUndefined();
      expect((await harness.repository.listTrash({ nowMs: clock.now(), limit: 9 })).items).toEqual([
        expect.objectContaining({ files: children, sizeBytes: 10 * children }),
      ]);

      const restored = await changesBy(harness, () =>
        harness.repository.restoreTrashed(directoryId, { onConflict: 'fail' }),
      );
      // It is another row than at first still: at the place that it was moved to.
      expect(restored).toEqual({ ...one, images: ['upsert entries', 'delete trash'] });
      expect(await harness.repository.findEntry(path('/other/moved/77'))).toBeDefined();

      const forGood = await changesBy(harness, () =>
        harness.repository.removeEntry(path('/other/moved')),
      );
      expect(forGood).toEqual({ ...one, images: ['upsert entries', 'upsert trash'] });
      const page = await changesBy(harness, () =>
        harness.repository.collectTrash({ nowMs: clock.now(), limit: 1_000 }),
      );
      expect(page).toMatchObject({ entries: 1_000, files: 999 });
      const [left] = await rows<{ how_many: number | string }>(
        `select count(*) as how_many from entries where parent_id = '${directoryId}'`,
      );
      expect(Number(left?.how_many)).toBe(children - 999);
    }),
    timeoutMs,
  );
}

/** `/large`, with files of 10 bytes and one blob each, named by their numbers. Made by SQL: the repository must be opened again afterwards. */
async function seedLargeDirectory({ rows }: MetadataHarness): Promise<void> {
  const numbers = `with recursive numbers (n) as
    (select 1 union all select n + 1 from numbers where n < ${children})`;
  const id = "'00000000-0000-7000-8000-' || substr(cast(1000009000000 + n as text), 2)";
  const md5 = "'0123456789abcdef0123456789abcdef'";
  for (const sql of [
    `insert into entries values ('${directoryId}', '${rootId}', 'large', 'directory', null, 0, 0, 'inherit', null)`,
    `insert into entries ${numbers} select ${id}, '${directoryId}', cast(n as text), 'file', ${id}, 0, 0, 'inherit', null from numbers`,
    `insert into files ${numbers} select ${id}, 10, ${md5}, 'text/plain', '{}', 0 from numbers`,
    `insert into file_blobs ${numbers} select ${id}, 0, ${id}, 0 from numbers`,
    `insert into blobs (id, size_bytes, md5, copies_wanted, path, short, released, copies_changed_at)
     ${numbers} select ${id}, 10, ${md5}, 1, '/large', 1, 0, 0 from numbers`,
    `insert into directory_sizes values ('${directoryId}', ${children}, 0, ${10 * children}, 0, 0, 0)`,
    `update totals set files = files + ${children}, directories = directories + 1,
     logical_bytes = logical_bytes + ${10 * children}, short = short + ${children}, lost = lost + ${children}`,
    `update directory_sizes set pending_files = pending_files + ${children}, pending_directories = pending_directories + 1,
     pending_bytes = pending_bytes + ${10 * children} where directory_id = '${rootId}'`,
  ]) {
    await rows(sql);
  }
}

/** Keeps the rows as they are now, to be compared with. */
async function rememberRows({ rows }: MetadataHarness): Promise<void> {
  for (const table of tables) await rows(`create table ${table}_before as select * from ${table}`);
}

/** What the journal says of the work, and how many of the remembered rows are others by then, or gone. */
async function changesBy({ rows }: MetadataHarness, work: () => Promise<unknown>) {
  const [last] = await rows<{ number: number | string }>(
    'select max(number) as number from changes',
  );
  await work();
  const counts = { entries: 0, files: 0 };
  for (const table of tables) {
    const [count] = await rows<{ how_many: number | string }>(
      `select count(*) as how_many from (select * from ${table}_before except select * from ${table}) changed`,
    );
    counts[table] = Number(count?.how_many);
  }
  const journal = await rows<{ images: string }>(
    `select images from changes where number > ${last?.number} order by number`,
  );
  const images = journal.flatMap(
    (row) => JSON.parse(row.images) as { op: string; table: string }[],
  );
  return { ...counts, images: images.map(({ op, table }) => `${op} ${table}`) };
}
