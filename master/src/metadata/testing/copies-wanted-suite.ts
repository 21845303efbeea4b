import { type BlobId, newFileId } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { BindRequest, MetadataRepository } from '../metadata-repository.ts';
import { expectNoContradictions } from './invariants.ts';
import {
  bind,
  bindBlob,
  bindRequest,
  copiesOf,
  type FileOptions,
  kindOf,
  newDirectory,
  nodeA,
  nodeB,
  nodeC,
  onNewDatabase,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { MetadataHarness, OpenMetadata } from './metadata-harness.ts';

/** A file that asks for no number of copies. */
const plain = (at: string, options: FileOptions = {}): BindRequest => {
  const { minCopies: _, ...request } = bindRequest(at, options);
  return request;
};

async function bindPlain(repository: MetadataRepository, at: string): Promise<BlobId> {
  const [outcome] = await repository.bindFiles([plain(at)]);
  return outcome?.named.file.blobs[0]?.blobId as BlobId;
}

/** Another file over the blobs of this one. */
const sharing = (request: BindRequest, at: string): BindRequest => ({
  ...request,
  path: path(at),
  file: { ...request.file, id: newFileId() },
});

async function sweepAll(repository: MetadataRepository, limit = 1_000): Promise<number> {
  let pages = 0;
  while ((await repository.sweepCopies(limit)).looked > 0) pages += 1;
  return pages;
}

async function wantedOf({ rows }: MetadataHarness, blobId: BlobId): Promise<number | undefined> {
  const [row] = await rows<{ copies_wanted: number }>(
    `select copies_wanted from blobs where id = '${blobId}'`,
  );
  return row?.copies_wanted;
}

/** How many copies are wanted: configured, set on directories and files, asked for by uploads; the repository of these tests is configured for one. */
export function describeCopiesWanted(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  describe('where a file is bound', () => {
    it('come from the nearest directory that says a number, else from the configuration', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      await repository.makeDirectory(path(`${directory}/three/one/deep`));
      await repository.setCopies(path(`${directory}/three`), 3);
      await repository.setCopies(path(`${directory}/three/one`), 1);
      const wanted = async (at: string) =>
        wantedOf(harness(), await bindPlain(repository, `${directory}/${at}`));
      expect(await wanted('file')).toBe(1);
      expect(await wanted('three/file')).toBe(3);
      expect(await wanted('three/made/along/file')).toBe(3);
      expect(await wanted('three/one/deep/file')).toBe(1);
      const found = await repository.findFile(path(`${directory}/three/file`));
      expect(found).toMatchObject({ copiesWanted: 3 });
      expect(found?.entry).not.toHaveProperty('copies');
      const id = found?.file.id;
      expect(id && (await repository.findFileById(id))).toMatchObject({ copiesWanted: 3 });
    });

    it('are set on the file by an upload that asks for more, and stay when it is replaced', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      await repository.makeDirectory(path(directory));
      await repository.setCopies(path(directory), 2);
      const put = async (minCopies?: number) => {
        const request = plain(`${directory}/file`);
        const asked = minCopies === undefined ? request : { ...request, minCopies };
        const [outcome] = await repository.bindFiles([asked]);
        return [outcome?.named.entry.copies, outcome?.named.copiesWanted];
      };
      expect(await put(2)).toEqual([undefined, 2]);
      expect(await put(3)).toEqual([3, 3]);
      expect(await put(2)).toEqual([3, 3]);
      expect(await put()).toEqual([3, 3]);
      expect(await put(4)).toEqual([4, 4]);
    });

    it('leave out places that are not wanted any more', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      await repository.makeDirectory(path(directory));
      await repository.setCopies(path(directory), 2);
      const request = plain(`${directory}/file`, { nodes: [nodeA, nodeB, nodeC] });
      await repository.bindFiles([request]);
      expect(await copiesOf(repository, request.blobs[0]?.blobId as BlobId)).toBe(
        'A:stored* B:wanted',
      );
    });

    it('are told beforehand, for placing', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      await bind(repository, `${directory}/file`, { copiesWanted: 4 });
      const copiesFor = (at: string) => repository.copiesFor(path(at));
      expect(await copiesFor(`${directory}/other`)).toBe(1);
      expect(await copiesFor(`${directory}/file`)).toBe(4);
      await repository.setCopies(path(directory), 2);
      expect(await copiesFor(`${directory}/other`)).toBe(2);
      expect(await copiesFor(`${directory}/not/there/yet`)).toBe(2);
      expect(await copiesFor(`${directory}/file`)).toBe(4);
      expect(await copiesFor('/')).toBe(1);
    });
  });

  it('are refused where nothing is, and as no number', async () => {
    const { repository } = harness();
    const none = repository.setCopies(path('/none/at/all'), 2);
    await expect(none).rejects.toEqual(kindOf('not-found'));
    for (const copies of [0, -1, 1.5, 17, Number.NaN]) {
      const wrong = repository.setCopies(path('/'), copies);
      await expect(wrong).rejects.toEqual(kindOf('invalid-request'));
    }
  });

  it(
    'follow a number set above, down to what says one itself, in pages',
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      const files = ['/d/a', '/d/b', '/d/sub/c', '/d/sub/deep/e', '/d/own/f', '/other'];
      const blobs = new Map<string, BlobId>();
      for (const file of files) blobs.set(file, await bindPlain(repository, file));
      const kept = await bindBlob(repository, '/d/sub/kept', { copiesWanted: 4 });
      await repository.setCopies(path('/d/own'), 2);
      await sweepAll(repository);
      await repository.setCopies(path('/d'), 3);
      expect(await sweepAll(repository, 1)).toBeGreaterThan(4);
      const wanted = async (file: string) => wantedOf(own, blobs.get(file) as BlobId);
      const inD = ['/d/a', '/d/b', '/d/sub/c', '/d/sub/deep/e'];
      for (const file of inD) expect(await wanted(file), file).toBe(3);
      expect(await wanted('/d/own/f')).toBe(2);
      expect(await wanted('/other')).toBe(1);
      expect(await wantedOf(own, kept)).toBe(4);
      const { blobs: short } = await repository.blobsShortOfCopies({ limit: 100 });
      expect(short).toHaveLength(6);

      await repository.setCopies(path('/d'), null);
      expect(await repository.sweepCopies(100)).toMatchObject({ lowered: 2, raised: 0 });
      await sweepAll(repository);
      for (const file of inD) expect(await wanted(file), file).toBe(1);
      expect(await wanted('/d/own/f')).toBe(2);
      await expectNoContradictions(own, 'after a sweep');
    }),
  );

  it(
    'of the root are those of everything that says none',
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      const blob = await bindPlain(repository, '/a/b/c');
      await repository.setCopies(path('/'), 2);
      await sweepAll(repository);
      expect(await wantedOf(own, blob)).toBe(2);
      const again = await own.reopen();
      expect(await again.copiesFor(path('/new'))).toBe(2);
    }),
  );

  it(
    'follow another configuration after a restart',
    onNewDatabase(open, async (own) => {
      const blob = await bindPlain(own.repository, '/a/b/c');
      const asked = await bindBlob(own.repository, '/a/b/asked', { copiesWanted: 4 });
      await own.repository.makeDirectory(path('/own'));
      await own.repository.setCopies(path('/own'), 3);
      const inOwn = await bindPlain(own.repository, '/own/file');
      await sweepAll(own.repository);
      const again = await own.reopen({ copies: 2 });
      expect(await sweepAll(again)).toBeGreaterThan(0);
      expect(await wantedOf(own, blob)).toBe(2);
      expect(await wantedOf(own, asked)).toBe(4);
      expect(await wantedOf(own, inOwn)).toBe(3);
      expect(await sweepAll(await own.reopen({ copies: 2 }))).toBe(0);
    }),
  );

  it(
    'of a shared content are the most of all its names, wherever they are',
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      const request = plain('/low/file', { blobSizes: [3, 4] });
      await repository.bindFiles([request]);
      await repository.makeDirectory(path('/high/deep'));
      await repository.setCopies(path('/high'), 3);
      await repository.bindFiles([sharing(request, '/high/deep/file')]);
      const wanted = async () => {
        const numbers = request.blobs.map(({ blobId }) => wantedOf(own, blobId));
        return Promise.all(numbers);
      };
      expect(await wanted()).toEqual([3, 3]);
      await repository.setCopies(path('/low'), 2);
      await sweepAll(repository);
      expect(await wanted()).toEqual([3, 3]);
      await repository.setCopies(path('/high'), 1);
      await sweepAll(repository);
      expect(await wanted()).toEqual([2, 2]);
      await repository.setCopies(path('/low/file'), 4);
      await sweepAll(repository);
      expect(await wanted()).toEqual([4, 4]);
    }),
  );

  it(
    'heed a name that comes to be at the very moment of a sweep',
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      const request = plain('/low/file');
      await repository.bindFiles([request]);
      await repository.makeDirectory(path('/high'));
      await repository.setCopies(path('/high'), 3);
      await sweepAll(repository);
      await repository.setCopies(path('/low'), 2);
      // What arrives together is committed together.
      await Promise.all([
        repository.bindFiles([sharing(request, '/high/file')]),
        repository.sweepCopies(100),
      ]);
      await sweepAll(repository);
      expect(await wantedOf(own, request.blobs[0]?.blobId as BlobId)).toBe(3);
    }),
  );

  it(
    'go on where they were after a restart, what was asked for first coming first',
    onNewDatabase(open, async (own) => {
      const files = Array.from({ length: 12 }, (_, n) => `/d/${n % 4}/${n}`);
      const blobs: BlobId[] = [];
      for (const file of files) blobs.push(await bindPlain(own.repository, file));
      const late = await bindPlain(own.repository, '/late/file');
      await own.repository.setCopies(path('/d'), 2);
      own.clock.advance(1_000);
      await own.repository.setCopies(path('/late'), 2);
      for (let n = 0; n < 5; n += 1) await own.repository.sweepCopies(2);
      expect(await wantedOf(own, late)).toBe(1);
      const again = await own.reopen();
      await sweepAll(again, 2);
      for (const blob of [...blobs, late]) expect(await wantedOf(own, blob)).toBe(2);
      expect(await own.rows('select * from copies_sweeps')).toEqual([]);
    }),
  );

  it(
    'come out right whatever is set while uploads and sweeps run',
    onNewDatabase(open, async (own) => {
      const { repository } = own;
      const random = seededRandom(11);
      const pick = <Item>(items: readonly Item[]) =>
        items[Math.floor(random() * items.length)] as Item;
      const directories = ['/', '/a', '/a/b', '/a/b/c', '/d', '/d/e'];
      for (const at of directories) await repository.makeDirectory(path(at));
      const requests: BindRequest[] = [];
      const running: Promise<unknown>[] = [];
      for (let n = 0; n < 250; n += 1) {
        const roll = random();
        const at = `${pick(directories)}/file-${Math.floor(random() * 30)}`.replace('//', '/');
        if (roll < 0.4) {
          const request = random() < 0.2 ? bindRequest(at, { copiesWanted: 3 }) : plain(at);
          requests.push(request);
          running.push(repository.bindFiles([request]));
        } else if (roll < 0.55 && requests.length > 0) {
          running.push(repository.bindFiles([sharing(pick(requests), at)]));
        } else if (roll < 0.8) {
          const copies = random() < 0.3 ? null : 1 + Math.floor(random() * 4);
          running.push(repository.setCopies(path(random() < 0.5 ? at : pick(directories)), copies));
        } else running.push(repository.sweepCopies(1 + Math.floor(random() * 5)));
        if (random() < 0.2) await Promise.allSettled(running.splice(0));
      }
      await Promise.allSettled(running);
      // What was replaced may have wanted more: everything is looked at once more.
      await own.rows(
        `insert into copies_sweeps select id, '', 0 from entries where kind = 'directory' and not exists
         (select 1 from copies_sweeps s where s.directory_id = entries.id)`,
      );
      await sweepAll(repository, 7);
      const wrong = await own.rows(
        `with recursive tree (id, file_id, copies) as (
           select id, file_id, coalesce(copies, 1) from entries where name = '' and kind = 'directory'
           union all select e.id, e.file_id, coalesce(e.copies, t.copies) from entries e join tree t on e.parent_id = t.id
         ), most as (
           select fb.blob_id, max(t.copies) as copies from tree t join file_blobs fb on fb.file_id = t.file_id group by fb.blob_id
         ) select b.id, b.copies_wanted, m.copies from blobs b join most m on m.blob_id = b.id where b.copies_wanted <> m.copies`,
      );
      expect(wrong).toEqual([]);
      await expectNoContradictions(own, 'after copies were set');
    }),
  );

  describe('while a sweep is under way', () => {
    it('follow what moves from where it has not been to where it was', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const blobs: BlobId[] = [];
      for (let i = 0; i < 6; i += 1) {
        blobs.push(await bindPlain(repository, `${directory}/m${i}`));
        blobs.push(await bindPlain(repository, `${directory}/zdir/f${i}`));
      }
      await repository.setCopies(path(directory), 3);
      // It stands among the names that begin with m.
      await repository.sweepCopies(4);
      await repository.moveEntry({
        from: path(`${directory}/zdir`),
        to: path(`${directory}/adir`),
        overwrite: false,
      });
      await sweepAll(repository, 4);
      for (const blob of blobs) expect(await wantedOf(harness(), blob)).toBe(3);
    });
  });
}
