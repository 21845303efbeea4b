import { setImmediate } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import { expectNoContradictions } from './invariants.ts';
import { bind, bindRequest, onNewDatabase, path } from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const rounds = 12;
/** So many that each waits for a connection between any two of its queries: time for others to change what lies between them. */
const readersOfEach = 12;

/** What readers see while directories move, by real concurrency; with caches, and without them, so that every name is a query. */
export function describeReadersOfMoves(open: OpenMetadata): void {
  it.each([
    ['with caches', {}],
    ['without caches', { cacheSize: 0 }],
  ])(
    'find a whole old version or a whole new one where a directory is replaced for good (%s)',
    { timeout: 120_000 },
    async (_, options) =>
      onNewDatabase(
        () => open(options),
        async (own) => {
          const { repository, clock } = own;
          await publish(repository, 0);
          const found = async (at: string) => {
            const named = await repository.findFile(path(at));
            expect(named, at).toBeDefined();
          };
          const looks = [
            () => found('/site/index'),
            () => found('/site/sub/deep/page'),
            async () => {
              expect(await repository.findEntry(path('/site/sub/deep'))).toBeDefined();
            },
            async () => {
              const { entries } = await repository.listDirectory(path('/site/sub'), { limit: 9 });
              const versions = new Set(entries.map((entry) => entry.file?.contentType));
              expect(entries.map((entry) => entry.name)).toEqual(['a', 'b', 'c', 'deep']);
              // The directory has no content; the files are of one version.
              expect(versions.size).toBe(2);
            },
            async () => {
              await repository.collectTrash({ nowMs: clock.now() + 1, limit: 100 });
            },
          ];
          const write = async () => {
            for (let version = 1; version <= rounds; version += 1) {
              await publish(repository, version);
            }
          };
          await whileWriting(write, looks);
          await expectNoContradictions(own, 'after directories were replaced');
        },
      )(),
  );

  it(
    'find at a path nothing that was never there',
    { timeout: 120_000 },
    onNewDatabase(
      () => open({ cacheSize: 0 }),
      async ({ repository }) => {
        const deep = '/shown/a/b/c/d/e/f/g/h';
        const ghost = '/hidden/a/b/c/d/e/f/g/h/ghost';
        await bind(repository, `${deep}/file`);
        const move = (from: string, to: string) =>
          repository.moveEntry({ from: path(from), to: path(to), overwrite: false });
        const write = async () => {
          for (let n = 0; n < rounds; n += 1) {
            await move('/shown', '/hidden');
            await bind(repository, ghost);
            await repository.removeEntry(path(ghost));
            await move('/hidden', '/shown');
          }
        };
        const look = async () => {
          expect(await repository.findFile(path(`${deep}/ghost`))).toBeUndefined();
        };
        await whileWriting(write, [look]);
      },
    ),
  );

  it.each([
    ['with caches', {}],
    ['without caches', { cacheSize: 0 }],
  ])(
    'find a content by its id at one of the places that it is moved between (%s)',
    { timeout: 120_000 },
    async (_, options) =>
      onNewDatabase(
        () => open(options),
        async ({ repository }) => {
          const { named } = await bind(repository, '/a/x/file');
          await repository.makeDirectory(path('/b'));
          const write = async () => {
            for (let n = 0; n < rounds; n += 1) {
              const [from, to] = n % 2 === 0 ? ['/a/x', '/b/y'] : ['/b/y', '/a/x'];
              await repository.moveEntry({ from: path(from), to: path(to), overwrite: false });
              // Another directory under the id's old path must not be taken for it.
              await repository.makeDirectory(path(`${from}-${n}`));
            }
          };
          const look = async () => {
            const found = await repository.findFileById(named.file.id);
            expect(['/a/x/file', '/b/y/file']).toContain(found?.path);
          };
          await whileWriting(write, [look]);
          const { path: last } = (await repository.findFileById(named.file.id)) ?? {};
          expect(last).toBe('/a/x/file');
          expect((await repository.findFile(path('/a/x/file')))?.file.id).toBe(named.file.id);
        },
      )(),
  );
}

/** Repeats each look until the writer has ended, or one of them fails. */
async function whileWriting(
  write: () => Promise<void>,
  looks: readonly (() => Promise<void>)[],
): Promise<void> {
  let isOver = false;
  const end = () => {
    isOver = true;
  };
  const repeat = async (look: () => Promise<void>) => {
    while (!isOver) {
      await look();
      // What is read from memory alone would leave nobody else a turn.
      await setImmediate();
    }
  };
  // A look ends when it fails or all is over, so that any end is the end of all.
  const many = Array.from({ length: readersOfEach }, () => looks).flat();
  const running = [write(), ...many.map(repeat)].map((each) => each.finally(end));
  const outcomes = await Promise.allSettled(running);
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}

/** Replaces `/site` by one move, without a way back. */
async function publish(repository: MetadataRepository, version: number): Promise<void> {
  const next = `/next-${version}`;
  const files = ['index', 'sub/a', 'sub/b', 'sub/c', 'sub/deep/page'];
  const contentType = `version/${version}`;
  await repository.bindFiles(files.map((file) => bindRequest(`${next}/${file}`, { contentType })));
  await repository.moveEntry({ from: path(next), to: path('/site'), overwrite: true });
}
