import {
  type ClusterId,
  newClusterId,
  type RowImage,
  type SnapshotEnd,
  type SnapshotHead,
  type SnapshotLine,
  type StoredBlob,
} from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { expect, it } from 'vitest';
import type { MetadataRepository, NamedFile } from '../metadata-repository.ts';
import type { FoundFile } from '../restore/restore-types.ts';
import { journaledTables } from '../snapshot/journaled-tables.ts';
import { expectNoContradictions } from './invariants.ts';
import {
  bind,
  bindBlob,
  bindRequest,
  copiesOf,
  kindOf,
  listed,
  nodeA,
  nodeB,
  onNewDatabase,
  path,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';
import { RandomWrites } from './random-suite.ts';
import { accessKey, grant } from './rights-suite.ts';
import { linesIn } from './snapshot-suite.ts';

/** Rebuilding a database from what left another one. */
export function describeRestores(open: OpenMetadata): void {
  it(
    'is equal to the live database after a snapshot that was taken during random writes and the records after it, replayed twice or once',
    onTwoDatabases(open, async (live, copy) => {
      const seed = Number(
        process.env['DFS_SIMULATION_SEED'] ?? Math.floor(Math.random() * 2 ** 31),
      );
      const writes = new RandomWrites(live, seededRandom(seed));
      const round = () => Promise.all(Array.from({ length: 12 }, () => writes.one()));
      for (let i = 0; i < 15; i += 1) await round();
      const lines: SnapshotLine[] = [];
      for await (const piece of live.repository.snapshot({ isConsistent: false })) {
        lines.push(...(linesIn(piece) as SnapshotLine[]));
        await round();
      }
      await round();
      const { restore } = copy.repository;
      await restore.begin('whole');
      await load(copy.repository, imagesIn(lines));
      const { from } = (lines[0] as SnapshotHead).snapshot;
      const records = await live.repository.journalRecords(from, 100_000);
      for (const { images } of records.slice(0, Math.floor(records.length / 2))) {
        await restore.applyImages(images);
      }
      await load(
        copy.repository,
        records.flatMap(({ images }) => images),
      );
      expect(await journaledRows(copy), `seed ${seed}`).toEqual(await journaledRows(live));
      await finish(copy.repository, live.repository.journalNumber());
      await expectNoContradictions(copy, `seed ${seed}`);
    }),
  );

  it(
    'brings back keys, grants, revocations and visibility, of a snapshot and of the records after it, and none that were taken back',
    onTwoDatabases(open, async (live, copy) => {
      const { repository } = live;
      const [kept, gone] = [grant(), grant()];
      await bind(repository, '/docs/a');
      await repository.addAccessKey(accessKey('dkold'));
      await repository.addAccessKey(accessKey('dkgone'));
      await repository.addGrant(kept);
      await repository.addGrant(gone);
      const lines: SnapshotLine[] = [];
      for await (const piece of repository.snapshot({ isConsistent: true })) {
        lines.push(...(linesIn(piece) as SnapshotLine[]));
      }
      await repository.removeAccessKey('dkgone');
      await repository.removeGrants({ fileId: gone.fileId });
      await repository.addAccessKey(accessKey('dknew', { role: 'admin' }));
      await repository.addRevocation({ subject: 'f:x', issuedBeforeMs: 1, expiresAtMs: 2 });
      await repository.setVisibility(path('/docs'), 'public');
      await copy.repository.restore.begin('whole');
      await load(copy.repository, imagesIn(lines));
      const { from } = (lines[0] as SnapshotHead).snapshot;
      for (const { images } of await repository.journalRecords(from, 100)) {
        await copy.repository.restore.applyImages(images);
      }
      await finish(copy.repository, repository.journalNumber());
      expect(await copy.repository.listAccessKeys()).toEqual([
        accessKey('dknew', { role: 'admin' }),
        accessKey('dkold'),
      ]);
      expect(await copy.repository.grantsOf(kept.fileId, 0)).toEqual([kept]);
      expect(await copy.repository.grantsOf(gone.fileId, 0)).toEqual([]);
      expect(await copy.repository.revocationsOf(['f:x'])).toHaveLength(1);
      expect((await copy.repository.findFile(path('/docs/a')))?.isPublic).toBe(true);
    }),
  );

  it(
    'serves what it rebuilt at once: names, contents, directories, visibility, and copies where nodes hold them',
    onTwoDatabases(open, async (live, copy) => {
      const blobId = await bindBlob(live.repository, '/a/b/file', {
        content: 'hello',
        nodes: [nodeA, nodeB],
        visibility: 'public',
      });
      await live.repository.makeDirectory(path('/empty/one'));
      await bind(live.repository, '/gone');
      await live.repository.removeEntry(path('/gone'));
      const { restore } = copy.repository;
      await restore.begin('whole');
      await load(copy.repository, await snapshotImages(live.repository));
      await restore.adopt({ clusterId: newClusterId(), epoch: 7 }, 5);
      expect(await restore.mend()).toEqual({
        namesWithoutContent: { count: 0, names: [] },
        orphans: { count: 0, paths: [] },
        contentsWithoutName: 0,
      });
      const held = listed(live.repository, blobId, 'hello', { storedAtMs: 5 });
      expect(await restore.addCopies(nodeB, [held])).toMatchObject({ known: 1, unknown: 0 });
      expect(await restore.addCopies(nodeA, [{ ...held, storedAtMs: 9 }])).toMatchObject({
        known: 1,
      });
      await restore.derive({ isSure: true });
      await restore.end();
      expect(copy.repository.identity().epoch).toBe(7);
      expect(copy.repository.journalNumber()).toBe(6);
      const before = (await live.repository.findFile(path('/a/b/file'))) as NamedFile;
      expect(await copy.repository.findFile(path('/a/b/file'))).toEqual(before);
      expect(await copiesOf(copy.repository, blobId)).toBe('A:stored B:stored*');
      expect(await copy.repository.findEntry(path('/empty/one'))).toBeDefined();
      expect(await copy.repository.findEntry(path('/gone'))).toBeUndefined();
      expect(await copy.repository.counts()).toMatchObject({
        files: 1,
        blobsShort: 0,
        blobsWithoutCopy: 0,
      });
      await expectNoContradictions(copy, 'restored');
      const [next] = await copy.repository.journalRecords(5, 10);
      expect(next).toMatchObject({ number: 6, epoch: 7, images: [] });
      await bind(copy.repository, '/after');
      await expectNoContradictions(copy, 'written to');
    }),
  );

  it(
    'refuses writes while the tables are rebuilt, and stays unfinished until its end, also when it dies',
    onTwoDatabases(open, async (live, copy) => {
      for (const name of ['/a', '/b']) await bind(live.repository, name);
      const images = await snapshotImages(live.repository);
      const expected = await journaledRows(live);
      // What the first attempt loaded and the second does not know must not stay.
      await bind(live.repository, '/stale');
      await live.repository.makeDirectory(path('/stale-directory'));
      await live.repository.removeEntry(path('/a'));
      const stale = await snapshotImages(live.repository);
      await copy.repository.restore.begin('whole');
      await expect(bind(copy.repository, '/c')).rejects.toMatchObject(kindOf('in-recovery'));
      await load(copy.repository, stale);
      const again = await copy.reopen();
      expect(again.restore.unfinished).toBe('whole');
      await again.restore.begin('whole');
      await load(again, images);
      await finish(again, 2);
      expect(again.restore.unfinished).toBeUndefined();
      expect((await copy.reopen()).restore.unfinished).toBeUndefined();
      expect(await journaledRows(copy)).toEqual(expected);
      await expectNoContradictions(copy, 'begun twice');
    }),
  );

  it(
    'adds newer changes to a database that is behind, and keeps the states of its copies',
    onTwoDatabases(open, async (live, copy) => {
      const old = await bindBlob(live.repository, '/old', { content: 'x', nodes: [nodeA, nodeB] });
      await copy.repository.restore.begin('whole');
      await load(copy.repository, await snapshotImages(live.repository));
      await copy.repository.restore.adopt(live.repository.identity(), 0);
      await copy.repository.restore.addCopies(nodeA, [listed(live.repository, old, 'x')]);
      await copy.repository.restore.derive({ isSure: true });
      await copy.repository.restore.end();
      await bind(live.repository, '/new');
      await live.repository.removeEntry(path('/old'));
      const { restore } = copy.repository;
      await restore.begin('replay');
      for (const { images } of await live.repository.journalRecords(1, 10)) {
        await restore.applyImages(images);
      }
      await finish(copy.repository, live.repository.journalNumber());
      expect(await journaledRows(copy)).toEqual(await journaledRows(live));
      expect(await copiesOf(copy.repository, old)).toBe('A:stored*');
      await expectNoContradictions(copy, 'replayed');
    }),
  );

  it(
    'counts a copy again that was to be dropped by an older database, and forgets what nothing refers to',
    onNewDatabase(open, async (harness) => {
      const { repository } = harness;
      const { restore } = repository;
      const blobId = await bindBlob(repository, '/a', { content: 'x', nodes: [nodeA, nodeB] });
      const loose = await bindBlob(repository, '/loose', { content: 'y', nodes: [nodeA] });
      await restore.begin('replay');
      await harness.rows(
        `update replicas set state = 'dropping', next_attempt_at = 0 where blob_id = '${blobId}'`,
      );
      await harness.rows(`delete from entries where name = 'loose'`);
      await restore.adopt({ ...repository.identity(), epoch: 2 }, 2);
      expect((await restore.mend()).contentsWithoutName).toBeGreaterThan(0);
      await restore.forgetUnreferenced();
      const held = listed(repository, blobId, 'x');
      expect(await restore.addCopies(nodeB, [held])).toMatchObject({ known: 1 });
      expect(await restore.addCopies(nodeA, [listed(repository, loose, 'y')])).toMatchObject({
        known: 0,
        unknown: 1,
      });
      await restore.derive({ isSure: false });
      expect(await restore.foundBlobs({ limit: 10 })).toMatchObject([{ blobId: loose }]);
      await restore.end();
      expect(await copiesOf(repository, blobId)).toBe('A:dropping B:stored*');
      await expectNoContradictions(harness, 'counted again');
    }),
  );

  it(
    'mends what a journal with a hole left: no name without content, no entry without a way to it',
    onNewDatabase(open, async (harness) => {
      const { repository } = harness;
      const { restore } = repository;
      await bind(repository, '/a/b/c/file');
      await bind(repository, '/a/other');
      const images = await snapshotImages(repository);
      const idOf = (name: string) =>
        images.find(({ row }) => (row as { name?: string } | undefined)?.name === name)?.key[
          'id'
        ] as string;
      const a = images.find((image) => image.key['id'] === idOf('a')) as RowImage;
      await restore.begin('whole');
      await load(repository, [
        ...images.filter(
          (image) =>
            image.key['id'] !== idOf('a') &&
            !(image.table === 'file_blobs' && image !== firstOf(images, 'file_blobs')),
        ),
        // A ring: the directory above is put into the one below.
        { ...a, row: { ...(a.row as object), parent_id: idOf('b') } },
      ]);
      await restore.adopt(repository.identity(), 9);
      const mended = await restore.mend();
      expect(mended.namesWithoutContent).toMatchObject({ count: 1 });
      expect(mended.namesWithoutContent.names).toHaveLength(1);
      expect(mended.orphans.count).toBe(1);
      const [adopted] = mended.orphans.paths;
      await restore.derive({ isSure: false });
      await restore.end();
      await expectNoContradictions(harness, 'mended');
      // What nothing refers to may have been referred to by what is missing.
      expect(
        await harness.rows('select id from blobs where unreferenced_since is not null'),
      ).toEqual([]);
      expect(adopted).toMatch(/^\/\.restored\//);
      expect(await repository.findEntry(path(adopted as string))).toBeDefined();
      const records = await repository.journalRecords(10, 10);
      expect(records.flatMap((record) => record.images)).not.toHaveLength(0);
    }),
  );

  it(
    'counts the files of which no copy is known, beyond those that it names',
    onTwoDatabases(open, async (live, copy) => {
      for (const name of ['/a', '/b', '/c']) await bind(live.repository, name);
      await copy.repository.restore.begin('whole');
      await load(copy.repository, await snapshotImages(live.repository));
      const { restore } = copy.repository;
      await restore.adopt(live.repository.identity(), 3);
      await restore.derive({ isSure: true });
      const { count, paths } = await restore.filesWithoutCopy(2);
      expect([count, paths.length]).toEqual([3, 2]);
      await restore.end();
    }),
  );

  it(
    'sets copies of unknown blobs aside, whole files at a time',
    onNewDatabase(open, async ({ repository }) => {
      const { restore } = repository;
      await restore.begin('whole');
      const { clusterId } = repository.identity();
      await restore.adopt({ clusterId: clusterId as ClusterId, epoch: 2 }, 0);
      const blobs = ['0', '1', '2'].map((digit): StoredBlob => {
        const id = `0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b1${digit}` as StoredBlob['blobId'];
        const whole = digit === '0' ? {} : { whole: { blobCount: 1, sizeBytes: 1, md5: 'x' } };
        return listed(repository, id, 'x', { path: `/p${digit}`, ...whole });
      });
      await restore.addCopies(nodeA, blobs);
      await restore.addCopies(nodeB, blobs.slice(1));
      const first = await restore.foundBlobs({ limit: 2 });
      expect(first.map(({ blobId, nodeId }) => [blobId.at(-1), nodeId === nodeA])).toEqual([
        ['0', true],
        ['1', true],
        ['1', false],
      ]);
      const after = first.at(-1)?.fileId;
      const rest = await restore.foundBlobs({ ...(after && { after }), limit: 2 });
      expect(rest).toHaveLength(2);
      expect(rest[0]?.whole).toEqual({ blobCount: 1, sizeBytes: 1, md5: 'x' });
      const found = blobs.map(
        ({ fileId }, index): FoundFile => ({
          file: { ...bindRequest('/f').file, id: fileId, blobs: [] },
          path: index === 2 ? '/other' : '/one',
          storedAtMs: 7,
          holders: [[nodeA]],
          ...(index === 0 ? { doubt: 'Grüße 👋' } : {}),
        }),
      );
      await restore.keepFound(found);
      await restore.keepFound(found.slice(0, 1));
      const groups = [];
      for (let key: string | undefined; ; ) {
        const group = await restore.foundAtNextPath(key);
        if (!group) break;
        key = group.key;
        groups.push(group.files);
      }
      expect(groups.sort((a, b) => b.length - a.length)).toEqual([found.slice(0, 2), [found[2]]]);
      await restore.derive({ isSure: true });
      await restore.end();
    }),
  );
}

const onTwoDatabases = (
  open: OpenMetadata,
  test: (live: MetadataHarness, copy: MetadataHarness) => Promise<void>,
) =>
  onNewDatabase(open, async (live) => {
    await onNewDatabase(open, (copy) => test(live, copy))();
  });

const firstOf = (images: readonly RowImage[], table: string) =>
  images.find((image) => image.table === table);

const imagesIn = (lines: readonly SnapshotLine[]): RowImage[] =>
  lines.flatMap((line) => ('table' in line ? [{ ...line, op: 'upsert' as const }] : []));

async function snapshotImages(repository: MetadataRepository): Promise<RowImage[]> {
  const lines: SnapshotLine[] = [];
  for await (const piece of repository.snapshot({ isConsistent: true })) {
    lines.push(...(linesIn(piece) as SnapshotLine[]));
  }
  expect((lines.at(-1) as SnapshotEnd).end.images).toBe(lines.length - 2);
  return imagesIn(lines);
}

async function load(repository: MetadataRepository, images: readonly RowImage[]): Promise<void> {
  for (let at = 0; at < images.length; at += 100) {
    await repository.restore.applyImages(images.slice(at, at + 100));
  }
}

async function finish(repository: MetadataRepository, lastNumber: number): Promise<void> {
  const { restore } = repository;
  await restore.adopt({ ...repository.identity(), epoch: 2 }, lastNumber);
  await restore.mend();
  await restore.derive({ isSure: true });
  await restore.end();
}

/** All rows of the tables that are journaled, but blobs that nothing refers to: those the live database may have forgotten. */
async function journaledRows({ rows }: MetadataHarness): Promise<unknown> {
  const tables = journaledTables.map(async ({ name, columns }) => {
    const where = name === 'blobs' ? 'where id in (select blob_id from file_blobs)' : '';
    const found = await rows(`select ${columns.join(', ')} from ${name} ${where}`);
    return [name, found.map((row) => JSON.stringify(row)).sort()];
  });
  return Object.fromEntries(await Promise.all(tables));
}
