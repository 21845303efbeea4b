import { namesOf, pathMaxBytes, StoreError } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import type { CopyRequest, WalkedEntry } from '../working-tree.ts';
import { expectNoContradictions } from './invariants.ts';
import {
  bind,
  bindRequest,
  type FileOptions,
  kindOf,
  newDirectory,
  onNewDatabase,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

type CopyOptions = Partial<Omit<CopyRequest, 'from' | 'to'>>;

const copy = (repository: MetadataRepository, from: string, to: string, options?: CopyOptions) =>
  repository.copyEntry({
    from: path(from),
    to: path(to),
    overwrite: false,
    depth: 'infinity',
    ...options,
  });

/** Files and directories are copied as rows over the same blobs. */
export function describeCopying(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  describe('of a file', () => {
    it('is another content over the same blobs, with all that was said of it', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const options: FileOptions = {
        contentType: 'image/png',
        visibility: 'public',
        copiesWanted: 2,
        blobSizes: [3, 4],
      };
      const request = { ...bindRequest(`${directory}/file`, options), modifiedAtMs: 1_234_567 };
      const [bound] = await repository.bindFiles([request]);
      const source = bound?.named;
      const outcome = await copy(repository, `${directory}/file`, `${directory}/copy`);
      expect(outcome).toEqual({ isNew: true, failures: [] });
      const copied = await repository.findFile(path(`${directory}/copy`));
      expect(copied).toMatchObject({
        file: { ...source?.file, id: expect.not.stringContaining(source?.file.id ?? '') },
        entry: { visibility: 'public', copies: 2, modifiedAtMs: 1_234_567, name: 'copy' },
        isPublic: true,
        copiesWanted: 2,
      });
      await repository.removeEntry(path(`${directory}/file`));
      const left = await repository.findFile(path(`${directory}/copy`));
      expect(left?.file.blobs).toEqual(source?.file.blobs);
      await expectNoContradictions(harness(), 'after a copy');
    });

    it('wants as many copies as the place where it is put', async () => {
      const { repository, rows } = harness();
      const directory = newDirectory();
      const { named } = await bind(repository, `${directory}/file`);
      await repository.makeDirectory(path(`${directory}/many`));
      await repository.setCopies(path(`${directory}/many`), 3);
      await copy(repository, `${directory}/file`, `${directory}/many/file`);
      const blobId = named.file.blobs[0]?.blobId;
      const found = await rows(`select copies_wanted from blobs where id = '${blobId}'`);
      expect(found).toEqual([{ copies_wanted: 3 }]);
    });

    it('is decided on the source by a condition', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const { named } = await bind(repository, `${directory}/file`);
      const to = `${directory}/copy`;
      const wrong = copy(repository, `${directory}/file`, to, { condition: { ifMatch: ['x'] } });
      await expect(wrong).rejects.toEqual(kindOf('precondition-failed'));
      const condition = { ifMatch: [named.file.md5] };
      expect(await copy(repository, `${directory}/file`, to, { condition })).toMatchObject({
        isNew: true,
      });
    });
  });

  it.each([
    ['what is not there', 'none', 'x', 'not-found'],
    ['into no directory', 'd', 'none/x', 'conflict'],
    ['below a file', 'd', 'f/x', 'not-a-directory'],
    ['a directory onto itself', 'd', 'd', 'forbidden'],
    ['a file onto itself', 'f', 'f', 'forbidden'],
    ['a directory into itself', 'd', 'd/e/x', 'conflict'],
    ['onto what it is in', 'd/e/g', 'd', 'conflict'],
    ['the root into itself', '', 'x', 'conflict'],
  ] as const)('refuses %s', async (_, from, to, kind) => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/d/e/g`);
    await bind(repository, `${directory}/f`);
    const before = await repository.journalNumber();
    const source = from === '' ? '/' : `${directory}/${from}`;
    const refused = copy(repository, source, `${directory}/${to}`, { overwrite: true });
    await expect(refused).rejects.toEqual(kindOf(kind));
    expect(repository.journalNumber()).toBe(before);
  });

  it.each(['file', 'directory'])(
    'over a %s only where it may, and that goes to the trash',
    async (kind) => {
      const { repository, clock } = harness();
      const directory = newDirectory();
      await bind(repository, `${directory}/d/new`);
      const { named } = await bind(
        repository,
        kind === 'file' ? `${directory}/t` : `${directory}/t/old`,
      );
      const refused = copy(repository, `${directory}/d`, `${directory}/t`);
      await expect(refused).rejects.toEqual(kindOf('precondition-failed'));
      const trashUntilMs = clock.now() + 5_000;
      const options = { overwrite: true, trashUntilMs };
      const outcome = await copy(repository, `${directory}/d`, `${directory}/t`, options);
      expect(outcome).toEqual({ isNew: false, failures: [] });
      expect(await namesIn(repository, `${directory}/t`)).toEqual(['/new']);
      const { items } = await repository.listTrash({
        nowMs: clock.now(),
        limit: 10,
        path: path(directory),
      });
      expect(items).toMatchObject([{ path: `${directory}/t`, reason: 'replaced', kind }]);
      const item = items[0]?.id;
      if (item) await repository.restoreTrashed(item, { onConflict: 'rename' });
      expect(await repository.findFileById(named.file.id)).toBeDefined();
      await expectNoContradictions(harness(), 'after a copy over something');
    },
  );

  it('of a directory alone has nothing in it', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/d/file`);
    await repository.setCopies(path(`${directory}/d`), 2);
    const outcome = await copy(repository, `${directory}/d`, `${directory}/e`, { depth: 0 });
    expect(outcome).toEqual({ isNew: true, failures: [] });
    expect(await namesIn(repository, `${directory}/e`)).toEqual([]);
    expect(await repository.findEntry(path(`${directory}/e`))).toMatchObject({ copies: 2 });
  });

  it.each([1, 2])('of a directory is all that is in it (%i)', async (seed) => {
    const { repository } = harness();
    const directory = newDirectory();
    const random = seededRandom(seed);
    await plantRandomTree(repository, `${directory}/from`, random);
    const before = await describeTree(repository, `${directory}/from`);
    const outcome = await copy(repository, `${directory}/from`, `${directory}/to`);
    expect(outcome).toEqual({ isNew: true, failures: [] });
    expect(await describeTree(repository, `${directory}/to`)).toEqual(before);
    expect(await describeTree(repository, `${directory}/from`)).toEqual(before);
    while ((await repository.foldSizes(1_000)) > 0);
    const usage = (at: string) => repository.usageOf(path(`${directory}/${at}`));
    expect(await usage('to')).toEqual(await usage('from'));
    await expectNoContradictions(harness(), `after a copy, seed ${seed}`);
  });

  it(
    'of a large directory takes transactions of at most 1 000 rows',
    { timeout: 60_000 },
    onNewDatabase(open, async (own) => {
      const { repository, rows } = own;
      await plantLarge(repository, '/from', 2_500);
      const first = repository.journalNumber();
      await copy(repository, '/from', '/to');
      expect(await namesIn(repository, '/to')).toEqual(await namesIn(repository, '/from'));
      const changes = await rows<{ images: string }>(
        `select images from changes where number > ${first}`,
      );
      expect(changes.length).toBeGreaterThan(7);
      for (const { images } of changes) expect(JSON.parse(images).length).toBeLessThan(1_000);
      await expectNoContradictions(own, 'after a large copy');
    }),
  );

  it(
    'that is broken off leaves nothing to be seen, and what was built is collected',
    { timeout: 60_000 },
    onNewDatabase(open, async (own) => {
      const { repository, clock } = own;
      await plantLarge(repository, '/from', 1_500);
      const before = await countEntries(own);
      const gone = new AbortController();
      const copying = copy(repository, '/from', '/to', { signal: gone.signal });
      copying.catch(() => undefined);
      // The hidden beginning is committed before this.
      await repository.makeDirectory(path('/other'));
      gone.abort();
      await expect(copying).rejects.toEqual(kindOf('cancelled'));
      expect(await repository.findEntry(path('/to'))).toBeUndefined();
      const shown = await repository.listTrash({ nowMs: clock.now(), limit: 10 });
      expect(shown.items).toEqual([]);
      expect(await countEntries(own)).toBeGreaterThan(before + 1);
      await collectAll(own);
      expect(await countEntries(own)).toBe(before + 1);
      await expectNoContradictions(own, 'after a copy was broken off');
    }),
  );

  it(
    'whose master dies is collected an hour later',
    { timeout: 60_000 },
    onNewDatabase(open, async (own) => {
      await plantLarge(own.repository, '/from', 1_500);
      const before = await countEntries(own);
      const copying = copy(own.repository, '/from', '/to');
      copying.catch(() => undefined);
      await own.repository.makeDirectory(path('/other'));
      await own.repository.makeDirectory(path('/another'));
      const repository = await own.reopen();
      await expect(copying).rejects.toBeInstanceOf(StoreError);
      expect(await repository.findEntry(path('/to'))).toBeUndefined();
      own.clock.advance(59 * 60_000);
      await collectAll(own);
      expect(await countEntries(own)).toBeGreaterThan(before + 2);
      own.clock.advance(2 * 60_000);
      await collectAll(own);
      expect(await countEntries(own)).toBe(before + 2);
      await expectNoContradictions(own, 'after a copy was collected');
    }),
  );

  it(
    'is kept while it goes on, however long that takes',
    { timeout: 60_000 },
    onNewDatabase(open, async (own) => {
      const { repository, clock } = own;
      await plantLarge(repository, '/from', 3_000);
      let isCopying = true;
      // It is looked at before each transaction.
      const signal = Object.defineProperty(new AbortController().signal, 'aborted', {
        get: () => {
          clock.advance(20 * 60_000);
          return false;
        },
      });
      const copying = copy(repository, '/from', '/to', { signal }).finally(() => {
        isCopying = false;
      });
      while (isCopying) await repository.collectTrash({ nowMs: clock.now(), limit: 1_000 });
      expect(await copying).toEqual({ isNew: true, failures: [] });
      expect(await namesIn(repository, '/to')).toEqual(await namesIn(repository, '/from'));
    }),
  );

  it.each([
    ['the source is moved', 'conflict', (r: MetadataRepository) => move(r, '/from', '/elsewhere')],
    ['the source is removed', 'conflict', (r: MetadataRepository) => r.removeEntry(path('/from'))],
    [
      'the source is replaced',
      'conflict',
      async (r: MetadataRepository) => {
        await move(r, '/from', '/elsewhere');
        await bind(r, '/from/other');
      },
    ],
    ['the place is taken', 'precondition-failed', (r: MetadataRepository) => bind(r, '/at/to')],
    ['the place goes', 'conflict', (r: MetadataRepository) => r.removeEntry(path('/at'))],
    [
      'the place comes to be in the source',
      'conflict',
      (r: MetadataRepository) => move(r, '/at', '/from/at'),
    ],
  ] as const)(
    'changes nothing when meanwhile %s',
    { timeout: 60_000 },
    async (_, kind, meanwhile) =>
      onNewDatabase(open, async (own) => {
        const { repository } = own;
        await plantLarge(repository, '/from', 1_200);
        await repository.makeDirectory(path('/at'));
        const copying = copy(repository, '/from', '/at/to');
        copying.catch(() => undefined);
        await meanwhile(repository);
        await expect(copying).rejects.toEqual(kindOf(kind));
        const before = await visible(repository);
        await collectAll(own);
        expect(await visible(repository)).toEqual(before);
        expect(await own.rows('select * from trash')).toEqual([]);
        await expectNoContradictions(own, 'after a copy that was refused');
      })(),
  );

  it(
    'shows all or nothing to readers, whatever others write in the source',
    { timeout: 60_000 },
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      await plantLarge(repository, '/from', 1_200);
      const staying = await namesIn(repository, '/from');
      let isCopying = true;
      const write = async () => {
        for (let n = 0; isCopying; n += 1) {
          const at = `/from/0/passing-${n % 40}`;
          await bind(repository, at);
          if (n % 3 === 0) await repository.removeEntry(path(at));
        }
      };
      const read = async () => {
        for (let sawIt = false; isCopying || !sawIt; ) {
          sawIt = (await repository.findEntry(path('/to'))) !== undefined;
          const entry = await repository.findEntry(path('/to/9/last'));
          if (sawIt) expect(entry).toBeDefined();
        }
      };
      await bind(repository, '/from/9/last');
      const others = Promise.all([write(), read()]);
      const outcome = await copy(repository, '/from', '/to').finally(() => {
        isCopying = false;
      });
      await others;
      expect(outcome.failures).toEqual([]);
      const copied = new Set(await namesIn(repository, '/to'));
      expect(staying.filter((name) => !copied.has(name))).toEqual([]);
      await expectNoContradictions(own, 'after a copy beside writers');
    }),
  );

  it('leaves out what would have too long a path, and says so', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const name = 'n'.repeat(250);
    await bind(repository, `${directory}/from/short`);
    await bind(repository, `${directory}/from/${name}/${name}/deep`);
    const at = `${directory}/${Array(15).fill(name).join('/')}`;
    const to = `${at}/${'t'.repeat(pathMaxBytes - at.length - 270)}`;
    await repository.makeDirectory(path(at));
    const { isNew, failures } = await copy(repository, `${directory}/from`, to);
    expect(isNew).toBe(true);
    expect(failures).toEqual([
      { path: `${to}/${name}/${name}`, error: expect.objectContaining({ kind: 'invalid-path' }) },
    ]);
    expect(await namesIn(repository, to)).toEqual([`/${name}`, '/short']);
  });

  it('counts the parts that failed beyond those that it names', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const name = 'n'.repeat(240);
    const names = Array.from({ length: 1_003 }, (_, index) => `${name}-${index}`);
    for (let from = 0; from < names.length; from += 100) {
      await repository.bindFiles(
        names.slice(from, from + 100).map((one) => bindRequest(`${directory}/from/${one}`)),
      );
    }
    await bind(repository, `${directory}/from/short`);
    const at = `${directory}/${Array(15).fill('d'.repeat(250)).join('/')}`;
    const to = `${at}/${'t'.repeat(pathMaxBytes - at.length - 100)}`;
    await repository.makeDirectory(path(at));
    const { failures } = await copy(repository, `${directory}/from`, to);
    expect(failures).toHaveLength(1_001);
    expect(new Set(failures.map((failure) => failure.path)).size).toBe(1_001);
    expect(failures.at(-1)).toEqual({
      path: to,
      error: expect.objectContaining({ message: expect.stringMatching(/^3 more parts failed/) }),
    });
    expect(await namesIn(repository, to)).toEqual(['/short']);
  });
}

const move = (repository: MetadataRepository, from: string, to: string) =>
  repository.moveEntry({ from: path(from), to: path(to), overwrite: false });

async function walk(repository: MetadataRepository, at: string): Promise<WalkedEntry[]> {
  const walked: WalkedEntry[] = [];
  for await (const page of repository.walkTree(path(at))) walked.push(...page);
  return walked;
}

const namesIn = async (repository: MetadataRepository, at: string) =>
  (await walk(repository, at)).map((entry) => entry.path.slice(at.length));

const visible = async (repository: MetadataRepository) =>
  (await walk(repository, '/')).map((entry) => entry.path);

/** All that a copy keeps. */
const describeTree = async (repository: MetadataRepository, at: string) =>
  (await walk(repository, at)).map((entry) => ({
    path: entry.path.slice(at.length),
    kind: entry.kind,
    visibility: entry.visibility,
    copies: entry.copies,
    content: entry.file && { ...entry.file, id: undefined },
    ...(entry.kind === 'file' ? { modifiedAtMs: entry.modifiedAtMs } : {}),
  }));

async function plantRandomTree(
  repository: MetadataRepository,
  root: string,
  random: () => number,
): Promise<void> {
  const directories = [root];
  await repository.makeDirectory(path(root));
  for (let n = 0; n < 80; n += 1) {
    const parent = directories[Math.floor(random() * directories.length)] as string;
    const at = `${parent}/${n}`;
    if (random() < 0.4 && namesOf(path(at)).length < 12) {
      await repository.makeDirectory(path(at));
      if (random() < 0.2) await repository.setCopies(path(at), 1 + Math.floor(random() * 3));
      directories.push(at);
      continue;
    }
    const request = bindRequest(at, {
      blobSizes: Array(1 + Math.floor(random() * 3)).fill(5),
      copiesWanted: 1 + Math.floor(random() * 3),
      ...(random() < 0.3 ? { visibility: 'public' } : {}),
    });
    const modifiedAtMs = Math.floor(random() * 1e12);
    await repository.bindFiles([{ ...request, modifiedAtMs }]);
  }
}

async function plantLarge(repository: MetadataRepository, at: string, files: number) {
  const names = Array.from({ length: files }, (_, n) => `${at}/${n % 10}/${n % 30}/${n}`);
  for (let n = 0; n < files; n += 500) {
    await repository.bindFiles(names.slice(n, n + 500).map((name) => bindRequest(name)));
  }
}

async function countEntries({ rows }: MetadataHarness): Promise<number> {
  const [row] = await rows<{ how_many: number }>('select count(*) as how_many from entries');
  return Number(row?.how_many);
}

async function collectAll({ repository, clock }: MetadataHarness): Promise<void> {
  for (;;) {
    const { isDone } = await repository.collectTrash({ nowMs: clock.now(), limit: 500 });
    if (isDone) return;
  }
}
