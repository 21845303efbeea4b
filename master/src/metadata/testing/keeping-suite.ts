import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { StoreError } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { Image } from '../journal.ts';
import type { NodeRecord } from '../metadata-repository.ts';
import {
  attempt,
  bind,
  bindBlob,
  bindRequest,
  kindOf,
  nodeA,
  nodeB,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

/** What outlives a process, and what is kept about the whole. */
export function describeKeeping(open: OpenMetadata): void {
  const test = (work: (harness: MetadataHarness) => Promise<void>) => onNewDatabase(open, work);

  it(
    'makes an identity with the database and keeps it',
    test(async ({ repository, reopen }) => {
      const identity = repository.identity();
      expect(identity).toMatchObject({
        epoch: 1,
        clusterId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
      expect(repository.journalNumber()).toBe(0);
      expect((await reopen()).identity()).toEqual(identity);
    }),
  );

  it(
    'is empty until something was recorded, and not again after it went',
    test(async ({ repository, reopen }) => {
      expect(await repository.isEmpty()).toBe(true);
      await repository.saveNode(node());
      expect(await (await reopen()).isEmpty()).toBe(true);
      const again = await reopen();
      await again.makeDirectory(path('/a'));
      await again.removeEntry(path('/a'));
      expect(await again.isEmpty()).toBe(false);
    }),
  );

  it(
    'is held by one master at a time',
    test(async ({ repository, openSecond, reopen }) => {
      await expect(openSecond()).rejects.toEqual(kindOf('conflict'));
      await repository.makeDirectory(path('/still-written'));
      expect(await (await reopen()).findEntry(path('/still-written'))).toBeDefined();
    }),
  );

  it(
    'is not opened by a program that is older than it',
    test(async ({ repository, rows, reopen }) => {
      await repository.close();
      await rows("insert into knex_migrations (name, batch) values ('999-later', 9)");
      await expect(reopen()).rejects.toMatchObject({
        kind: 'conflict',
        message: expect.stringContaining('newer version'),
      });
      await rows("delete from knex_migrations where name = '999-later'");
      await reopen();
    }),
  );

  it(
    'is opened again after a process died while it made the tables',
    test(async ({ repository, rows, reopen }) => {
      await repository.close();
      await rows('update knex_migrations_lock set is_locked = 1');
      expect(await (await reopen()).isEmpty()).toBe(true);
    }),
  );

  it(
    'finishes what waits before it closes, and takes nothing after',
    test(async ({ repository, reopen }) => {
      const binds = Array.from({ length: 32 }, (_, n) => bind(repository, `/${n}`));
      const closed = repository.close();
      expect(await Promise.all(binds)).toHaveLength(32);
      await closed;
      await expect(bind(repository, '/late')).rejects.toEqual(kindOf('unavailable'));
      expect((await (await reopen()).listDirectory(path('/'), { limit: 99 })).entries).toHaveLength(
        32,
      );
    }),
  );

  it(
    'has on disk all that it acknowledged when the process is killed in the middle',
    test(async ({ repository, reopen, address }) => {
      await repository.close();
      for (let round = 0; round < 3; round += 1) {
        const acknowledged = await bindUntilKilled(address, round, 200);
        const again = await reopen();
        for (const at of acknowledged) expect(await again.findFile(path(at))).toBeDefined();
        const { entries } = await again.listDirectory(path(`/round-${round}`), { limit: 10_000 });
        const { files } = await again.counts();
        expect(files).toBe(await countFiles(again, round));
        expect(entries.length).toBeGreaterThanOrEqual(acknowledged.length);
        for (const entry of entries)
          expect(entry.file?.sizeBytes).toBe(`/round-${round}/${entry.name}`.length);
        await again.close();
      }
      await reopen();
    }),
  );

  describe('the journal', () => {
    it(
      'has one row for each operation that changed the tree, with what its rows are now',
      test(async ({ repository, rows }) => {
        const request = bindRequest('/a/f', { content: 'one', nodes: [nodeA, nodeB] });
        const [first] = await repository.bindFiles([request, bindRequest('/a/g')]);
        const second = await bind(repository, '/a/f', { content: 'two' });
        await repository.removeEntry(path('/a/f'));
        await repository.makeDirectory(path('/a'));
        await expect(
          repository.removeEntry(path('/a'), { expect: 'empty-directory' }),
        ).rejects.toEqual(kindOf('conflict'));
        await repository.recordReplications(
          [attempt(request.blobs[0]?.blobId as never, nodeB)],
          () => 0,
        );
        const changes = await rows<{ images: string }>(
          'select images from changes order by number',
        );
        const images = changes.map((row) => JSON.parse(row.images) as Image[]);
        expect(images).toHaveLength(3);
        const brief = images.map((list) =>
          list.map((image) => `${image.op} ${image.table}`).sort(),
        );
        expect(brief[0]).toEqual([
          'upsert blobs',
          'upsert blobs',
          'upsert entries',
          'upsert entries',
          'upsert entries',
          'upsert file_blobs',
          'upsert file_blobs',
          'upsert files',
          'upsert files',
        ]);
        expect(brief[1]).toEqual([
          'delete file_blobs',
          'delete files',
          'upsert blobs',
          'upsert entries',
          'upsert file_blobs',
          'upsert files',
        ]);
        expect(brief[2]).toEqual(['delete entries', 'delete file_blobs', 'delete files']);
        const entry = images[1]?.find((image) => image.table === 'entries');
        expect(entry?.row).toMatchObject({
          id: first?.named.entry.id,
          parent_id: first?.named.entry.parentId,
          name: 'f',
          file_id: second.named.file.id,
        });
        const blob = images[0]?.find((image) => image.table === 'blobs');
        expect(blob?.row).toMatchObject({ copies_wanted: 2 });
      }),
    );

    it(
      'replayed from its start makes the tree and the trash as they are',
      test(async ({ repository, rows, clock }) => {
        await changeEverything(repository, clock);
        const tables = new Map<string, Map<string, object>>();
        for (const { images } of await rows<{ images: string }>(
          'select images from changes order by number',
        )) {
          for (const { table, op, key, row } of JSON.parse(images) as Image[]) {
            const replayed = tables.get(table) ?? new Map<string, object>();
            tables.set(table, replayed);
            if (op === 'delete') replayed.delete(JSON.stringify(key));
            else replayed.set(JSON.stringify(key), row as object);
          }
        }
        const numbersAsText = (row: object) =>
          JSON.stringify(
            Object.entries(row)
              .map(([name, value]) => [name, `${value}`])
              .sort(),
          );
        for (const [table, skipped] of [
          ['entries', "where name <> '' and name <> 'trash'"],
          ['files', ''],
          ['file_blobs', ''],
          ['trash', ''],
        ] as const) {
          const actual = await rows<object>(`select * from ${table} ${skipped}`);
          expect(actual.length, table).toBeGreaterThan(1);
          expect([...(tables.get(table)?.values() ?? [])].map(numbersAsText).sort()).toEqual(
            actual.map(numbersAsText).sort(),
          );
        }
      }),
    );
  });

  it(
    'keeps nodes by their id',
    test(async ({ repository, reopen }) => {
      const first = node();
      const second: NodeRecord = { ...node(), id: nodeB, publicUrl: 'https://b', zone: 'cellar' };
      await repository.saveNode(first);
      await repository.saveNode(second);
      const moved = { ...first, url: 'http://10.0.0.9:7050', state: 'draining' as const };
      await repository.saveNode(moved);
      const byId = [moved, second].sort((a, b) => (a.id < b.id ? -1 : 1));
      expect(await repository.listNodes()).toEqual(byId);
      expect(await (await reopen()).listNodes()).toEqual(byId);
    }),
  );

  it(
    'gives the newest rows of the log in the order they were written, of all or of one path',
    test(async ({ repository }) => {
      const one = await bindBlob(repository, '/one');
      const two = await bindBlob(repository, '/two');
      for (let n = 0; n < 6; n += 1) {
        await repository.recordReplications(
          [attempt(n % 2 === 0 ? one : two, nodeB, { durationMs: n })],
          () => 0,
        );
      }
      const durations = async (query: Parameters<typeof repository.listLog>[0]) =>
        (await repository.listLog(query)).map((row) => row.durationMs);
      expect(await durations({})).toEqual([0, 1, 2, 3, 4, 5]);
      expect(await durations({ limit: 2 })).toEqual([4, 5]);
      expect(await durations({ path: path('/one') })).toEqual([0, 2, 4]);
      expect(await durations({ path: path('/one'), limit: 1 })).toEqual([4]);
      expect(await durations({ path: path('/other') })).toEqual([]);
      const [third] = (await repository.listLog({})).slice(2);
      expect(await durations({ afterId: third?.id as number })).toEqual([3, 4, 5]);
      expect(await durations({ path: path('/two'), afterId: third?.id as number })).toEqual([3, 5]);
    }),
  );

  it(
    'purges old log rows, keys and ended uploads, a thousand of each at most',
    test(async ({ repository, clock }) => {
      const blobId = await bindBlob(repository, '/f', { idempotencyKey: 'old' });
      const startedAtMs = clock.now();
      const attempts = Array.from({ length: 1_200 }, (_, n) =>
        attempt(blobId, nodeB, { startedAtMs: startedAtMs + (n < 1_100 ? 0 : 1) }),
      );
      await repository.recordReplications(attempts, () => 0);
      await repository.renewUploads([blobId], clock.now());
      clock.advance(1);
      await bind(repository, '/g', { idempotencyKey: 'new' });
      const before = {
        logMs: startedAtMs + 1,
        idempotencyMs: startedAtMs + 1,
        uploadsMs: startedAtMs + 1,
      };
      expect(await repository.purge(before)).toBe(1_002);
      expect(await repository.purge(before)).toBe(100);
      expect(await repository.purge(before)).toBe(0);
      expect(await repository.listLog({})).toHaveLength(100);
      expect(await repository.findRepeated('old', path('/f'))).toBeUndefined();
      expect(await repository.findRepeated('new', path('/g'))).toBeDefined();
    }),
  );
}

/** Every kind of change that is journaled, many of them refused. */
async function changeEverything(
  repository: MetadataHarness['repository'],
  clock: MetadataHarness['clock'],
): Promise<void> {
  // Always the same ones.
  const random = seededRandom(7);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let n = 0; n < 150; n += 1) {
    const at = path(`/${below(3)}/${below(7)}`);
    const trash = below(3) > 0 ? { trashUntilMs: clock.now() + 50 } : {};
    const kinds: (() => Promise<unknown>)[] = [
      () => bind(repository, at, { content: `${n}`, blobSizes: [n, 1], ...trash }),
      () => bind(repository, `${at}/${below(2)}`, { content: `${n}`, ...trash }),
      () => bind(repository, at, { content: `${n}`, onConflict: 'rename' }),
      () => repository.removeEntry(below(4) === 0 ? path(`/${below(3)}`) : at, trash),
      () =>
        repository.moveEntry({
          from: at,
          to: path(`/${below(3)}/${below(7)}`),
          overwrite: true,
          ...trash,
        }),
      () => restoreNewest(repository, clock),
      () => repository.collectTrash({ nowMs: clock.now(), limit: 4 }),
      () =>
        repository.copyEntry({
          from: path(`/${below(3)}`),
          to: path(`/${n}`),
          overwrite: true,
          depth: 'infinity',
        }),
      () => repository.setCopies(at, 1 + below(3)),
      () => repository.expireOldestTrash(1),
    ];
    await (kinds[below(kinds.length)] as (typeof kinds)[0])().catch((error: unknown) => {
      if (!(error instanceof StoreError) || error.kind === 'internal') throw error;
    });
    clock.advance(1);
  }
}

async function restoreNewest(
  repository: MetadataHarness['repository'],
  clock: MetadataHarness['clock'],
): Promise<void> {
  const { items } = await repository.listTrash({ nowMs: clock.now(), limit: 1 });
  const [item] = items;
  if (item) await repository.restoreTrashed(item.id, { onConflict: 'rename' });
}

async function countFiles(
  repository: MetadataHarness['repository'],
  lastRound: number,
): Promise<number> {
  let files = 0;
  for (let round = 0; round <= lastRound; round += 1) {
    files += (await repository.listDirectory(path(`/round-${round}`), { limit: 10_000 })).entries
      .length;
  }
  return files;
}

/** Another process binds `/round-<n>/<number>` from many callers at once and names what resolved, until it is killed. */
async function bindUntilKilled(
  address: MetadataHarness['address'],
  round: number,
  count: number,
): Promise<string[]> {
  const program = fileURLToPath(new URL('./bind-forever.ts', import.meta.url));
  const options = ['--import', 'tsx', '--conditions=development', program];
  const child = spawn(process.execPath, [...options, JSON.stringify(address), `${round}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)));
  const acknowledged: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    acknowledged.push(line);
    if (acknowledged.length === count) child.kill('SIGKILL');
  }
  expect(await exited).toBe('SIGKILL');
  return acknowledged;
}

const node = (): NodeRecord => ({
  id: nodeA,
  name: 'node-1',
  url: 'http://127.0.0.1:7050',
  state: 'up',
  dataDir: '/data',
  capacityBytes: 2 ** 52,
  usedBytes: 10,
  lastHeartbeatAtMs: 1_900_000_000_000,
});
