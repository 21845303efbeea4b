import { newBlobId, newFileId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { BindRequest, MetadataRepository } from '../metadata-repository.ts';
import {
  bind,
  bindRequest,
  copiesOf,
  type FileOptions,
  kindOf,
  md5Of,
  newDirectory,
  nodeA,
  nodeB,
  nodeC,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

const dayMs = 24 * 60 * 60_000;

/** One bind at a time: what it gives, refuses and lets go. */
export function describeBinding(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  it('binds a name, making its parents, and gives it back by path and by id, also after a restart', async () => {
    const { repository, reopen } = harness();
    const at = `${newDirectory()}/sub/file.txt`;
    const outcome = await bind(repository, at, { blobSizes: [5, 7, 0], nodes: [nodeA, nodeB] });
    const { named } = outcome;
    expect(outcome).toMatchObject({ repeated: false, named: { path: at, isPublic: false } });
    expect(outcome).not.toHaveProperty('replaced');
    expect(named.file).toMatchObject({ sizeBytes: 12, attributes: { title: 'Grüße 👋' } });
    expect(named.file.blobs.map((blob) => blob.offsetBytes)).toEqual([0, 5, 12]);
    const isFound = async () => {
      const current = harness().repository;
      expect(await current.findFile(path(at))).toEqual(named);
      expect(await current.findFileById(named.file.id)).toEqual(named);
    };
    await isFound();
    await reopen();
    await isFound();
  });

  it('records which copies are stored and which are wanted', async () => {
    const { repository, reopen } = harness();
    const nodes = [nodeA, nodeC];
    const request = bindRequest(`${newDirectory()}/file`, { nodes, copiesWanted: 3 });
    const [blob] = request.blobs;
    if (!blob) throw new Error('A file has a blob.');
    await repository.bindFiles([{ ...request, blobs: [{ ...blob, storedOn: [nodeB] }] }]);
    const expected = 'A:stored* B:stored C:wanted';
    expect(await copiesOf(repository, blob.blobId)).toBe(expected);
    expect(await copiesOf(await reopen(), blob.blobId)).toBe(expected);
  });

  it('replaces: the name keeps its id and its birth, the old content is gone', async () => {
    const { repository, clock } = harness();
    const at = `${newDirectory()}/file`;
    const first = await bind(repository, at, { content: 'old' });
    clock.advance(1_000);
    const second = await bind(repository, at, { content: 'newer' });
    expect(second.replaced).toBe(first.named.file.id);
    expect(second.named.entry).toEqual({
      ...first.named.entry,
      fileId: second.named.file.id,
      modifiedAtMs: first.named.entry.modifiedAtMs + 1_000,
    });
    expect((await repository.findFile(path(at)))?.file.md5).toBe(md5Of('newer'));
    expect(await repository.findFileById(first.named.file.id)).toBeUndefined();
  });

  it('keeps both under a free name, with the end of the name kept', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const put = async (name: string) =>
      (await bind(repository, `${directory}/${name}`, { onConflict: 'rename' })).named.path;
    expect(await put('report.pdf')).toBe(`${directory}/report.pdf`);
    expect(await put('report.pdf')).toBe(`${directory}/report (1).pdf`);
    expect(await put('report.pdf')).toBe(`${directory}/report (2).pdf`);
    expect(await put('.profile')).toBe(`${directory}/.profile`);
    expect(await put('.profile')).toBe(`${directory}/.profile (1)`);
    await repository.removeEntry(path(`${directory}/report (1).pdf`));
    expect(await put('report.pdf')).toBe(`${directory}/report (1).pdf`);
    await repository.makeDirectory(path(`${directory}/sub`));
    expect(await put('sub')).toBe(`${directory}/sub (1)`);
  });

  it('keeps both of each of 1 000 files that are sent a second time', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const send = () => {
      const requests = Array.from({ length: 1_000 }, (_, n) =>
        bindRequest(`${directory}/${n}.jpg`, { onConflict: 'rename' }),
      );
      return repository.bindFiles(requests);
    };
    await send();
    const names = (await send()).map(({ named }) => named.entry.name);
    expect(names).toEqual(names.map((_, n) => `${n} (1).jpg`));
  });

  it('keeps both where the free name must be cut to fit', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const name = `${'ü'.repeat(125)}.txt`;
    await bind(repository, `${directory}/${name}`);
    const { named } = await bind(repository, `${directory}/${name}`, { onConflict: 'rename' });
    expect(named.entry.name).toMatch(/^ü+ \(1\)\.txt$/);
    expect(Buffer.byteLength(named.entry.name)).toBeLessThanOrEqual(255);
    expect(await repository.findFile(named.path)).toEqual(named);
  });

  const [old, other] = [md5Of('old'), md5Of('other')];
  it.each<[string, FileOptions, 'absent' | 'file' | 'directory', string]>([
    ['fail, free', { onConflict: 'fail' }, 'absent', 'bound'],
    ['fail, taken', { onConflict: 'fail' }, 'file', 'precondition-failed'],
    ['fail, a directory', { onConflict: 'fail' }, 'directory', 'precondition-failed'],
    ['replace, a directory', {}, 'directory', 'is-a-directory'],
    ['If-None-Match *, free', { ifNoneMatch: '*' }, 'absent', 'bound'],
    ['If-None-Match *, taken', { ifNoneMatch: '*' }, 'file', 'precondition-failed'],
    ['If-None-Match *, a directory', { ifNoneMatch: '*' }, 'directory', 'precondition-failed'],
    ['If-None-Match its tag', { ifNoneMatch: [other, old] }, 'file', 'precondition-failed'],
    ['If-None-Match another tag', { ifNoneMatch: [other] }, 'file', 'bound'],
    ['If-Match *, free', { ifMatch: '*' }, 'absent', 'precondition-failed'],
    ['If-Match *, taken', { ifMatch: '*' }, 'file', 'bound'],
    ['If-Match *, a directory', { ifMatch: '*' }, 'directory', 'is-a-directory'],
    ['If-Match its tag', { ifMatch: [other, old] }, 'file', 'bound'],
    ['If-Match another tag', { ifMatch: [other] }, 'file', 'precondition-failed'],
    ['If-Match a tag, free', { ifMatch: [old] }, 'absent', 'precondition-failed'],
    ['If-Match a tag, a directory', { ifMatch: [old] }, 'directory', 'precondition-failed'],
    [
      'If-Match, keeping both',
      { ifMatch: [other], onConflict: 'rename' },
      'file',
      'precondition-failed',
    ],
  ])('decides %s', async (_, options, before, expected) => {
    const { repository } = harness();
    const at = `${newDirectory()}/name`;
    if (before === 'file') await bind(repository, at, { content: 'old' });
    if (before === 'directory') await repository.makeDirectory(path(at));
    const outcome = bind(repository, at, { content: 'new', ...options });
    if (expected === 'bound') expect((await outcome).named.path).toBe(at);
    else await expect(outcome).rejects.toMatchObject({ kind: expected });
    if (before === 'absent' && expected !== 'bound') {
      // Neither the name nor the directory above it.
      expect(await repository.findEntry(path(at.replace('/name', '')))).toBeUndefined();
    }
  });

  it.each([
    ['its tag', { ifMatch: [md5Of('old')] }, undefined],
    ['another tag', { ifMatch: [md5Of('new')] }, 'precondition-failed'],
    ['whatever is there', { ifMatch: '*' as const }, undefined],
    ['nothing', { ifNoneMatch: '*' as const }, 'precondition-failed'],
  ])('removes on the condition of %s', async (_, condition, kind) => {
    const { repository } = harness();
    const at = path(`${newDirectory()}/name`);
    await bind(repository, at, { content: 'old' });
    const removed = repository.removeEntry(at, condition);
    if (kind === undefined) await removed;
    else await expect(removed).rejects.toMatchObject({ kind });
    expect((await repository.findFile(at)) === undefined).toBe(kind === undefined);
  });

  it('refuses the root, and a file below a file', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/file`);
    await expect(bind(repository, '/')).rejects.toEqual(kindOf('is-a-directory'));
    for (const below of [`${directory}/file/x`, `${directory}/file/x/y`]) {
      await expect(bind(repository, below)).rejects.toEqual(kindOf('not-a-directory'));
    }
  });

  it('binds several names all or none', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/taken`);
    const requests = [
      bindRequest(`${directory}/sub/a`),
      bindRequest(`${directory}/b`),
      bindRequest(`${directory}/taken`, { onConflict: 'fail' }),
    ];
    await expect(repository.bindFiles(requests)).rejects.toEqual(kindOf('precondition-failed'));
    const names = async () =>
      (await repository.listDirectory(path(directory), { limit: 9 })).entries.map((e) => e.name);
    expect(await names()).toEqual(['taken']);
    expect((await repository.replicasOf(requests.map((r) => blobOf(r).blobId))).size).toBe(0);
    await repository.bindFiles(requests.slice(0, 2));
    expect(await names()).toEqual(['b', 'sub', 'taken']);
  });

  it('binds two files of one name in one call by the rule for names that are taken', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const twice = (onConflict: 'rename' | 'replace') =>
      repository.bindFiles([
        bindRequest(`${directory}/${onConflict}`, { content: 'one', onConflict }),
        bindRequest(`${directory}/${onConflict}`, { content: 'two', onConflict }),
      ]);
    const renamed = await twice('rename');
    expect(renamed.map((outcome) => outcome.named.entry.name)).toEqual(['rename', 'rename (1)']);
    const [first, second] = await twice('replace');
    expect(second?.replaced).toBe(first?.named.file.id);
    expect((await repository.findFile(path(`${directory}/replace`)))?.file.md5).toBe(md5Of('two'));
  });

  it('gives the outcome again when the same content is bound to the same name again', async () => {
    const { repository } = harness();
    // As a caller that did not learn the first outcome: the name that must be free is its own by now.
    const request = bindRequest(`${newDirectory()}/file`, { onConflict: 'fail', ifNoneMatch: '*' });
    const [first] = await repository.bindFiles([request]);
    const [again] = await repository.bindFiles([request]);
    expect(again).toEqual({ ...first, repeated: true });
    const elsewhere = { ...request, path: path(`${newDirectory()}/other`) };
    await expect(repository.bindFiles([elsewhere])).rejects.toEqual(kindOf('conflict'));
  });

  describe('idempotency keys', () => {
    it('give the first outcome again and change nothing', async () => {
      const { repository, reopen } = harness();
      const at = `${newDirectory()}/file`;
      const options = { onConflict: 'rename', idempotencyKey: `key ${at}` } as const;
      await bind(repository, at);
      const first = await bind(repository, at, options);
      expect(first).toMatchObject({ repeated: false, named: { entry: { name: 'file (1)' } } });
      const request = bindRequest(at, options);
      const [again] = await repository.bindFiles([request]);
      expect(again).toEqual({ ...first, repeated: true });
      expect((await repository.replicasOf([blobOf(request).blobId])).size).toBe(0);
      const reopened = await reopen();
      expect(await reopened.findRepeated(options.idempotencyKey, path(at))).toEqual(again);
      expect(
        (await reopened.listDirectory(path(at).replace('/file', '') as never, { limit: 9 }))
          .entries,
      ).toHaveLength(2);
    });

    it('are refused for another path, in a bind and in a look-up', async () => {
      const { repository } = harness();
      const [at, elsewhere] = [`${newDirectory()}/file`, `${newDirectory()}/file`];
      const idempotencyKey = `key ${at}`;
      await bind(repository, at, { idempotencyKey });
      await expect(bind(repository, elsewhere, { idempotencyKey })).rejects.toEqual(
        kindOf('idempotency-conflict'),
      );
      await expect(repository.findRepeated(idempotencyKey, path(elsewhere))).rejects.toEqual(
        kindOf('idempotency-conflict'),
      );
      expect(await repository.findRepeated('unknown', path(at))).toBeUndefined();
    });

    it('outlive the file, and are forgotten after a day', async () => {
      const { repository, clock } = harness();
      const at = path(`${newDirectory()}/file`);
      const idempotencyKey = `a key of any length ${'k'.repeat(5_000)} ${at}`;
      const first = await bind(repository, at, { idempotencyKey });
      await repository.removeEntry(at);
      clock.advance(dayMs);
      expect(await bind(repository, at, { idempotencyKey })).toEqual({ ...first, repeated: true });
      expect(await repository.findFile(at)).toBeUndefined();
      clock.advance(1);
      expect(await repository.findRepeated(idempotencyKey, at)).toBeUndefined();
      const anew = await bind(repository, at, { idempotencyKey });
      expect(anew).toMatchObject({ repeated: false });
      expect(await repository.findFile(at)).toEqual(anew.named);
    });

    it('used twice at once bind once', async () => {
      const { repository } = harness();
      const at = `${newDirectory()}/file`;
      const options = { onConflict: 'rename', idempotencyKey: `key ${at}` } as const;
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, () => bind(repository, at, options)),
      );
      expect(outcomes.filter((outcome) => !outcome.repeated)).toHaveLength(1);
      expect(new Set(outcomes.map((outcome) => outcome.named.file.id)).size).toBe(1);
    });

    it('of a bind that was refused are not remembered', async () => {
      const { repository } = harness();
      const at = `${newDirectory()}/file`;
      await bind(repository, at);
      const idempotencyKey = `key ${at}`;
      await expect(bind(repository, at, { onConflict: 'fail', idempotencyKey })).rejects.toEqual(
        kindOf('precondition-failed'),
      );
      expect(await repository.findRepeated(idempotencyKey, path(at))).toBeUndefined();
    });
  });

  describe('blobs that files share', () => {
    it('stay referenced while one of the files is there, and want the most copies of them', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const request = bindRequest(`${directory}/a`, { nodes: [nodeA, nodeB] });
      await repository.bindFiles([request]);
      const { blobId } = blobOf(request);
      await repository.bindFiles([copyOf(request, `${directory}/b`, 3)]);
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted');
      expect(await shortBlobs(repository)).toContain(blobId);
      await repository.removeEntry(path(`${directory}/a`));
      expect(await releaseAll(repository)).not.toContain(blobId);
      expect(await copiesOf(repository, blobId)).toBe('A:stored* B:wanted');
      expect(await repository.findFile(path(`${directory}/b`))).toBeDefined();
    });

    it('are revived by a bind while they are only unreferenced', async () => {
      const { repository, clock } = harness();
      const directory = newDirectory();
      const request = bindRequest(`${directory}/a`);
      await repository.bindFiles([request]);
      await repository.removeEntry(path(`${directory}/a`));
      await repository.bindFiles([copyOf(request, `${directory}/b`, 1)]);
      clock.advance(10);
      await releaseUnreferenced(repository, clock.now());
      expect(await copiesOf(repository, blobOf(request).blobId)).toBe('A:stored*');
    });

    it('are refused once they are being dropped', async () => {
      const { repository, clock } = harness();
      const directory = newDirectory();
      const request = bindRequest(`${directory}/a`);
      await repository.bindFiles([request]);
      await repository.removeEntry(path(`${directory}/a`));
      clock.advance(10);
      await releaseUnreferenced(repository, clock.now());
      const again = repository.bindFiles([copyOf(request, `${directory}/b`, 1)]);
      await expect(again).rejects.toEqual(kindOf('conflict'));
      expect(await repository.findEntry(path(`${directory}/b`))).toBeUndefined();
    });

    it('are refused with other bytes than they are known with', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const blobId = newBlobId();
      await bind(repository, `${directory}/a`, { blobId, content: 'one' });
      const request = bindRequest(`${directory}/b`, { blobId, content: 'another' });
      const other = { ...request, file: { ...request.file, id: newFileId() } };
      await expect(repository.bindFiles([other])).rejects.toEqual(kindOf('conflict'));
    });
  });
}

function blobOf(request: BindRequest) {
  const [blob] = request.blobs;
  if (!blob) throw new Error('A file has a blob.');
  return blob;
}

/** A second file with the same blobs. */
const copyOf = (request: BindRequest, to: string, copiesWanted: number): BindRequest => ({
  ...request,
  path: path(to),
  file: { ...request.file, id: newFileId() },
  minCopies: copiesWanted,
});

async function shortBlobs(repository: MetadataRepository) {
  const { blobs } = await repository.blobsShortOfCopies({ limit: 1_000 });
  return blobs.map((blob) => blob.blobId);
}

const releaseUnreferenced = (repository: MetadataRepository, nowMs: number) =>
  repository.releaseUnreferenced({ beforeMs: nowMs, nowMs, held: new Set(), limit: 1_000 });

async function releaseAll(repository: MetadataRepository) {
  const nowMs = Date.UTC(2031, 0, 1);
  await releaseUnreferenced(repository, nowMs);
  const drops = await repository.dueDrops({ nowMs, nodes: [nodeA, nodeB, nodeC], limit: 1_000 });
  return drops.map((drop) => drop.blobId);
}
