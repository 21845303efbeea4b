import type { EntryId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import type { RestoreRequest } from '../tree-changes.ts';
import { expectNoContradictions } from './invariants.ts';
import {
  bind,
  bindBlob,
  bindRequest,
  copiesOf,
  kindOf,
  md5Of,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

const ttlMs = 10_000;

/** What was removed or replaced: brought back, or gone for good. */
export function describeTrash(open: OpenMetadata): void {
  const test = (work: (harness: MetadataHarness) => Promise<void>) => onNewDatabase(open, work);

  it(
    'keeps a removed file out of sight until it is brought back as it was',
    test(async (harness) => {
      const { repository, clock } = harness;
      const { named } = await bind(repository, '/a/f', { visibility: 'public' });
      clock.advance(5);
      await remove(harness, '/a/f');
      expect(await repository.findFile(path('/a/f'))).toBeUndefined();
      expect(await repository.findFileById(named.file.id)).toBeUndefined();
      expect((await repository.listDirectory(path('/a'), { limit: 9 })).entries).toEqual([]);
      const [item] = await trashOf(harness);
      expect(item).toEqual({
        id: named.entry.id,
        path: '/a/f',
        kind: 'file',
        reason: 'deleted',
        removedAtMs: clock.now(),
        expiresAtMs: clock.now() + ttlMs,
        sizeBytes: named.file.sizeBytes,
        files: 1,
      });
      const restored = await restore(harness, item?.id);
      expect(restored).toEqual({ path: '/a/f', entry: named.entry });
      expect(await repository.findFile(path('/a/f'))).toEqual(named);
      expect(await repository.findFileById(named.file.id)).toEqual(named);
      expect(await trashOf(harness)).toEqual([]);
      await expect(restore(harness, item?.id)).rejects.toEqual(kindOf('not-found'));
      await expectNoContradictions(harness, 'after a restore');
    }),
  );

  it(
    'keeps a removed directory whole, and makes the parents anew that are gone by then',
    test(async (harness) => {
      const { repository } = harness;
      await bind(repository, '/a/b/c/one', { content: '12345' });
      await bind(repository, '/a/b/two', { content: '123' });
      await remove(harness, '/a/b');
      await harness.repository.removeEntry(path('/a'));
      await fold(repository);
      const [item, ...others] = await trashOf(harness);
      expect(others).toEqual([]);
      expect(item).toMatchObject({ path: '/a/b', kind: 'directory', files: 2, sizeBytes: 8 });
      await restore(harness, item?.id);
      expect((await repository.findFile(path('/a/b/c/one')))?.file.sizeBytes).toBe(5);
      await fold(repository);
      expect(await repository.usageOf(path('/'))).toEqual({
        kind: 'directory',
        files: 2,
        directories: 3,
        bytes: 8,
      });
      await expectNoContradictions(harness, 'after a restore');
    }),
  );

  it(
    'keeps each content that a name held, and the name keeps its entry',
    test(async (harness) => {
      const { repository, clock } = harness;
      const first = await bind(repository, '/f', { content: 'one' });
      for (const content of ['two!', 'three']) {
        clock.advance(1);
        const trashUntilMs = clock.now() + ttlMs;
        const outcome = await bind(repository, '/f', { content, trashUntilMs });
        expect(outcome.named.entry.id).toBe(first.named.entry.id);
      }
      const items = await trashOf(harness);
      expect(items.map(({ reason, sizeBytes, path: at }) => [at, reason, sizeBytes])).toEqual([
        ['/f', 'replaced', 4],
        ['/f', 'replaced', 3],
      ]);
      await expect(restore(harness, items[1]?.id)).rejects.toEqual(kindOf('precondition-failed'));
      expect(await restore(harness, items[1]?.id, { onConflict: 'rename' })).toMatchObject({
        path: '/f (1)',
      });
      expect((await repository.findFile(path('/f (1)')))?.file).toEqual(first.named.file);
      await restore(harness, items[0]?.id, {
        onConflict: 'replace',
        trashUntilMs: clock.now() + ttlMs,
      });
      expect((await repository.findFile(path('/f')))?.file.md5).toBe(md5Of('two!'));
      const [last, ...others] = await trashOf(harness);
      expect(others).toEqual([]);
      expect(last).toMatchObject({ reason: 'replaced', sizeBytes: 5 });
      await expectNoContradictions(harness, 'after restores');
    }),
  );

  it(
    'lets go of what is replaced or removed where no time is given',
    test(async (harness) => {
      const { repository } = harness;
      const old = await bindBlob(repository, '/f', { content: 'old' });
      await bind(repository, '/f', { content: 'new' });
      await harness.repository.removeEntry(path('/f'));
      expect(await trashOf(harness)).toEqual([]);
      harness.clock.advance(1);
      expect(await release(harness)).toBe(2);
      expect(await copiesOf(repository, old)).toBe('A:dropping*');
    }),
  );

  it(
    'keeps what a move puts something else in the place of',
    test(async (harness) => {
      const { repository, clock } = harness;
      await bind(repository, '/new/f', { content: 'new' });
      await bind(repository, '/old/sub/f', { content: 'old' });
      await repository.moveEntry({
        from: path('/new'),
        to: path('/old'),
        overwrite: true,
        trashUntilMs: clock.now() + ttlMs,
      });
      expect(await repository.findFile(path('/old/sub/f'))).toBeUndefined();
      const [item] = await trashOf(harness);
      expect(item).toMatchObject({ path: '/old', kind: 'directory', reason: 'replaced' });
      await restore(harness, item?.id, { to: path('/elsewhere/old') });
      expect(await repository.findFile(path('/elsewhere/old/sub/f'))).toBeDefined();
      expect((await repository.findFile(path('/old/f')))?.file.md5).toBe(md5Of('new'));
    }),
  );

  it(
    'brings nothing back to where it cannot be',
    test(async (harness) => {
      const { repository } = harness;
      await bind(repository, '/d/f');
      await remove(harness, '/d/f');
      const [item] = await trashOf(harness);
      await remove(harness, '/d');
      await bind(repository, '/d');
      await expect(restore(harness, item?.id)).rejects.toEqual(kindOf('not-a-directory'));
      await expect(restore(harness, item?.id, { to: path('/') })).rejects.toEqual(
        kindOf('conflict'),
      );
      const none = '00000000-0000-7000-8000-00000000ffff' as EntryId;
      await expect(restore(harness, none)).rejects.toEqual(kindOf('not-found'));
      expect(await trashOf(harness)).toHaveLength(2);
    }),
  );

  it(
    'brings nothing back that has expired, collected or not',
    test(async (harness) => {
      const { repository, clock } = harness;
      await bind(repository, '/f');
      await remove(harness, '/f');
      const [item] = await trashOf(harness);
      clock.advance(ttlMs - 1);
      expect(await trashOf(harness)).toHaveLength(1);
      clock.advance(1);
      expect(await trashOf(harness)).toEqual([]);
      await expect(restore(harness, item?.id)).rejects.toEqual(kindOf('not-found'));
      await collect(harness);
      await expect(restore(harness, item?.id)).rejects.toEqual(kindOf('not-found'));
    }),
  );

  it(
    'lists newest first in pages, while items come and go',
    test(async (harness) => {
      const { repository, clock } = harness;
      for (let n = 0; n < 12; n += 1) {
        await bind(repository, `/d${n % 2}/${n}`);
        await remove(harness, `/d${n % 2}/${n}`);
        // Several share a moment.
        if (n % 3 === 2) clock.advance(1);
      }
      const seen: string[] = [];
      let after: string | undefined;
      do {
        const page = await repository.listTrash({
          nowMs: clock.now(),
          limit: 5,
          ...(after === undefined ? {} : { after }),
        });
        seen.push(...page.items.map((item) => item.path));
        after = page.next;
        // Newer ones do not move the pages that follow; the one where the page ended may be gone.
        await bind(repository, `/later/${seen.length}`);
        await remove(harness, `/later/${seen.length}`);
        await restore(harness, page.items.at(-1)?.id);
      } while (after !== undefined);
      expect(seen).toHaveLength(12);
      expect(new Set(seen).size).toBe(12);
      const numbers = seen.map((at) => Math.floor(Number(at.split('/').at(-1)) / 3));
      expect(numbers).toEqual([...numbers].sort((a, b) => b - a));
      await expect(repository.listTrash({ nowMs: 0, limit: 1, after: 'x' })).rejects.toEqual(
        kindOf('invalid-request'),
      );
    }),
  );

  it(
    'finds what was at a path or below, and nothing beside it',
    test(async (harness) => {
      const { repository } = harness;
      const paths = ['/é😀', '/é😀/f', '/é😀x', '/e/é😀', '/%', '/%/f', '/ab'];
      for (const at of paths) {
        await bind(repository, at);
        await remove(harness, at);
      }
      const found = async (at: string) =>
        (await trashOf(harness, at)).map((item) => item.path).sort();
      expect(await found('/é😀')).toEqual(['/é😀', '/é😀/f']);
      expect(await found('/%')).toEqual(['/%', '/%/f']);
      expect(await found('/')).toEqual([...paths].sort());
      expect(await repository.emptyTrash({ path: path('/é😀') })).toBe(2);
      expect(await found('/é😀')).toEqual([]);
      expect(await found('/')).toHaveLength(5);
    }),
  );

  it(
    'gives and lets go only of what was in a part of the tree, where that is asked for',
    test(async (harness) => {
      const { repository } = harness;
      for (const at of ['/team/a', '/team/b', '/teams/a']) {
        await bind(repository, at);
        await remove(harness, at);
      }
      const idAt = async (at: string) =>
        (await trashOf(harness)).find((item) => item.path === at)?.id as EntryId;
      const within = path('/team');
      const outside = await idAt('/teams/a');
      await expect(restore(harness, outside, { within })).rejects.toEqual(kindOf('not-found'));
      const elsewhere = { within, to: path('/team/c') };
      await expect(restore(harness, outside, elsewhere)).rejects.toEqual(kindOf('not-found'));
      const ids = [outside, await idAt('/team/a')];
      expect(await repository.emptyTrash({ ids, within })).toBe(1);
      const { path: back } = await restore(harness, await idAt('/team/b'), { within });
      expect(back).toBe('/team/b');
      expect((await trashOf(harness)).map((item) => item.path)).toEqual(['/teams/a']);
    }),
  );

  it(
    'gives nothing another name outside the part of the tree that is asked for',
    test(async (harness) => {
      const { repository } = harness;
      await bind(repository, '/a');
      await remove(harness, '/a');
      await bind(repository, '/a');
      const [item] = await trashOf(harness);
      const renamed = { onConflict: 'rename', within: path('/a') } as const;
      const restored = restore(harness, item?.id as EntryId, renamed);
      await expect(restored).rejects.toEqual(kindOf('forbidden'));
      expect((await trashOf(harness)).map(({ id }) => id)).toEqual([item?.id]);
    }),
  );

  it(
    'is emptied of some, or of all, and what it let go of does not come back',
    test(async (harness) => {
      const { repository } = harness;
      for (let n = 0; n < 5; n += 1) {
        await bind(repository, `/${n}`);
        await remove(harness, `/${n}`);
      }
      const items = await trashOf(harness);
      const ids = items.slice(0, 2).map((item) => item.id);
      expect(await repository.emptyTrash({ ids })).toBe(2);
      expect(await repository.emptyTrash({ ids })).toBe(0);
      await expect(restore(harness, ids[0])).rejects.toEqual(kindOf('not-found'));
      expect(await trashOf(harness)).toHaveLength(3);
      expect(await repository.emptyTrash({})).toBe(3);
      expect(await collect(harness)).toMatchObject({ files: 5 });
      harness.clock.advance(1);
      expect(await release(harness)).toBe(5);
    }),
  );

  it(
    'is emptied of more than a transaction takes',
    test(async (harness) => {
      const { repository, clock } = harness;
      const requests = Array.from({ length: 2_300 }, (_, n) => bindRequest(`/d/${n}`));
      for (let at = 0; at < requests.length; at += 500) {
        await repository.bindFiles(requests.slice(at, at + 500));
      }
      const trashUntilMs = clock.now() + ttlMs;
      await Promise.all(
        requests.map((request) => repository.removeEntry(request.path, { trashUntilMs })),
      );
      expect(await repository.emptyTrash({})).toBe(2_300);
      expect(await collect(harness)).toMatchObject({ files: 2_300 });
      await expectNoContradictions(harness, 'after the trash was emptied');
    }),
  );

  describe('collection', () => {
    it(
      'takes a removed tree apart in small transactions, from where the last one ended',
      test(async (harness) => {
        const { repository, rows, reopen } = harness;
        const requests = Array.from({ length: 60 }, (_, n) =>
          bindRequest(`/top/${n % 3}/${n % 4}/${n % 5}/${n}`, { content: 'x' }),
        );
        await repository.bindFiles(requests);
        await bind(repository, '/kept/f');
        await harness.repository.removeEntry(path('/top'));
        expect(await repository.findEntry(path('/top'))).toBeUndefined();
        // It cannot be brought back, and is not shown.
        expect(await trashOf(harness)).toEqual([]);
        let files = 0;
        let transactions = 0;
        for (let isDone = false; !isDone; transactions += 1) {
          const again = transactions % 7 === 3 ? await reopen() : harness.repository;
          const namesBefore = await namesIn(harness);
          const collected = await again.collectTrash({ nowMs: harness.clock.now(), limit: 10 });
          expect(namesBefore - (await namesIn(harness))).toBeLessThanOrEqual(10);
          if (transactions % 6 === 0) {
            await expectNoContradictions(harness, `after transaction ${transactions}`);
          }
          files += collected.files;
          isDone = collected.isDone;
          expect(transactions).toBeLessThan(200);
        }
        expect(files).toBe(60);
        expect(await rows('select * from trash')).toEqual([]);
        expect(await namesIn(harness)).toBe(4);
        harness.clock.advance(1);
        expect(await release(harness)).toBe(60);
        expect(await harness.repository.findFile(path('/kept/f'))).toBeDefined();
      }),
    );

    it(
      'takes many empty directories',
      test(async (harness) => {
        const { repository } = harness;
        for (let n = 0; n < 30; n += 1) await repository.makeDirectory(path(`/d/${n}/${n % 2}`));
        await harness.repository.removeEntry(path('/d'));
        expect(await collect(harness, 8)).toMatchObject({ files: 0, directories: 61 });
        expect(await namesIn(harness)).toBe(2);
      }),
    );

    it(
      'leaves what has not expired, and what is brought back in the same batch',
      test(async (harness) => {
        const { repository, clock } = harness;
        await bind(repository, '/early/f');
        await bind(repository, '/late/f');
        await remove(harness, '/early');
        clock.advance(1);
        await remove(harness, '/late');
        clock.advance(ttlMs - 2);
        const [late, early] = await trashOf(harness);
        // Decided in this order: the restore first.
        const [restored] = await Promise.all([
          restore(harness, early?.id),
          repository.collectTrash({ nowMs: clock.now() + 1, limit: 100 }),
        ]);
        expect(restored.path).toBe('/early');
        clock.advance(1);
        await collect(harness);
        expect(await repository.findFile(path('/early/f'))).toBeDefined();
        await restore(harness, late?.id);
        expect(await repository.findFile(path('/late/f'))).toBeDefined();
      }),
    );

    it(
      'lets the oldest go first when room is short, and no more of it than asked',
      test(async (harness) => {
        const { repository, clock } = harness;
        for (const [at, size] of [
          ['/a/f', 10],
          ['/b', 20],
          ['/c', 30],
        ] as const) {
          await bind(repository, at, { content: 'x'.repeat(size) });
          await remove(harness, at === '/a/f' ? '/a' : at);
          clock.advance(1);
        }
        expect(await repository.expireOldestTrash(0)).toEqual({ items: 0, bytes: 0 });
        expect(await repository.expireOldestTrash(11)).toEqual({ items: 2, bytes: 30 });
        expect((await trashOf(harness)).map((item) => item.path)).toEqual(['/c']);
        expect(await collect(harness)).toMatchObject({ files: 2, bytes: 30 });
        expect(await repository.expireOldestTrash(1_000)).toEqual({ items: 1, bytes: 30 });
        expect(await repository.expireOldestTrash(1_000)).toEqual({ items: 0, bytes: 0 });
      }),
    );
  });

  it(
    'counts what is in the tree, and what is in the trash apart',
    test(async (harness) => {
      const { repository, clock } = harness;
      await bind(repository, '/a/b/f', { content: '12345' });
      await bind(repository, '/g', { content: '123' });
      await fold(repository);
      await remove(harness, '/a');
      const trashUntilMs = clock.now() + ttlMs;
      await bind(repository, '/g', { content: '1', trashUntilMs });
      const inTree = { files: 1, directories: 0, logicalBytes: 1 };
      expect(await repository.counts()).toMatchObject({ ...inTree, trash: { files: 2, bytes: 8 } });
      await repository.emptyTrash({});
      await collect(harness);
      await fold(repository);
      expect(await repository.counts()).toMatchObject({ ...inTree, trash: { files: 0, bytes: 0 } });
    }),
  );
}

/** Into the trash. */
const remove = ({ repository, clock }: MetadataHarness, at: string) =>
  repository.removeEntry(path(at), { trashUntilMs: clock.now() + ttlMs });

const restore = (
  { repository }: MetadataHarness,
  id: EntryId | undefined,
  request: Partial<RestoreRequest> = {},
) => repository.restoreTrashed(id as EntryId, { onConflict: 'fail', ...request });

async function trashOf({ repository, clock }: MetadataHarness, at?: string) {
  const { items } = await repository.listTrash({
    nowMs: clock.now(),
    limit: 1_000,
    ...(at === undefined ? {} : { path: path(at) }),
  });
  return items;
}

async function fold(repository: MetadataRepository): Promise<void> {
  while ((await repository.foldSizes(100)) > 0);
}

/** Until it is done. */
async function collect({ repository, clock }: MetadataHarness, limit = 1_000) {
  const sum = { files: 0, directories: 0, bytes: 0 };
  for (;;) {
    const { files, directories, bytes, isDone } = await repository.collectTrash({
      nowMs: clock.now(),
      limit,
    });
    sum.files += files;
    sum.directories += directories;
    sum.bytes += bytes;
    if (isDone) return sum;
  }
}

const release = ({ repository, clock }: MetadataHarness) =>
  repository.releaseUnreferenced({
    beforeMs: clock.now(),
    nowMs: clock.now(),
    held: new Set(),
    limit: 10_000,
  });

async function namesIn({ rows }: MetadataHarness): Promise<number> {
  const [row] = await rows<{ how_many: number | string }>(
    'select count(*) as how_many from entries',
  );
  return Number(row?.how_many);
}
