import {
  type BlobId,
  type FilePath,
  type NodeId,
  newBlobId,
  newNodeId,
  rootPath,
} from '@dfs/shared';
import {
  FakeClock,
  MemoryBlobStore,
  makeDescription,
  md5Of,
  recordingLogger,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { openMetadataRepository } from '../metadata/open-metadata-repository.ts';
import { placeFound } from './place-found.ts';

const [nodeA, nodeB, nodeC] = [newNodeId(), newNodeId(), newNodeId()] as [NodeId, NodeId, NodeId];
const noon = Date.UTC(2030, 0, 1, 12);

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let metadata: MetadataRepository;
let stores: Map<NodeId, MemoryBlobStore>;
let clock: FakeClock;

beforeEach(async () => {
  folder = await temporaryDirectory();
  clock = new FakeClock();
  metadata = await openMetadataRepository({ sqliteFile: `${folder.path}/metadata.sqlite`, clock });
  stores = new Map([nodeA, nodeB, nodeC].map((id) => [id, new MemoryBlobStore({ clock })]));
});

afterEach(async () => {
  await metadata.close();
  await folder.remove();
});

/** Stores a content, which says that it was written to this path then, on these nodes. */
async function store(
  content: string,
  {
    path = '/a',
    createdAtMs = noon,
    nodes = [nodeA],
  }: { path?: string; createdAtMs?: number; nodes?: NodeId[] } = {},
): Promise<BlobId> {
  const blobId = newBlobId();
  const description = { ...makeDescription({ blobId, path, createdAtMs }), ...metadata.identity() };
  for (const id of nodes) await stores.get(id)?.put(blobId, Buffer.from(content), { description });
  return blobId;
}

/** Restores from what the nodes hold; `lastRecordAtMs` as in a journal that ended then. */
async function restore({
  lastRecordAtMs,
  kind = 'whole',
}: {
  lastRecordAtMs?: number;
  kind?: 'whole' | 'replay';
} = {}) {
  const { restore: target } = metadata;
  await target.begin(kind);
  await target.adopt({ ...metadata.identity(), epoch: 2 }, metadata.journalNumber());
  for (const [id, { inventory }] of [...stores].map(
    ([id, store]) => [id, { inventory: store.inventory.bind(store) }] as const,
  )) {
    await target.addCopies(id, (await inventory(undefined, 1_000)).blobs);
  }
  await target.derive({ isSure: true });
  const placed = await placeFound({
    metadata,
    storeOf: (id) => stores.get(id),
    lastRecordAtMs,
    trashUntilMs: clock.now() + 86_400_000,
    logger: recordingLogger().logger,
    tell: () => {},
  });
  await target.end();
  return placed;
}

/** Path and MD5 of every file. */
async function tree(): Promise<Record<string, string | undefined>> {
  const files: Record<string, string | undefined> = {};
  for await (const page of metadata.walkTree(rootPath)) {
    for (const { path, file } of page) if (file) files[path] = file.md5;
  }
  return files;
}

const trashed = async () => {
  const { items } = await metadata.listTrash({ nowMs: clock.now(), limit: 100 });
  return items.map(({ path, reason }) => `${path} ${reason}`);
};

const md5 = (text: string) => md5Of(Buffer.from(text));

it('gives a file the path, the time and the copies that its blob tells of', async () => {
  const blobId = await store('hello', { path: '/deep/er/file', nodes: [nodeA, nodeB] });
  expect(await restore()).toMatchObject({ found: { count: 1 }, contested: { count: 0 } });
  const named = await metadata.findFile('/deep/er/file' as FilePath);
  expect(named?.entry.modifiedAtMs).toBe(noon);
  expect(named?.file.md5).toBe(md5('hello'));
  const replicas = (await metadata.replicasOf([blobId])).get(blobId) ?? [];
  expect(replicas.map(({ state }) => state)).toEqual(['stored', 'stored']);
  expect(await tree()).toEqual({ '/deep/er/file': md5('hello') });
});

it('gives a path to the newest content that can be read, and puts the others into the trash', async () => {
  await store('oldest', { createdAtMs: noon - 2 });
  await store('newest', { createdAtMs: noon });
  await store('middle', { createdAtMs: noon - 1 });
  expect(await restore()).toMatchObject({ contested: { count: 1, items: ['/a'] } });
  expect(await tree()).toEqual({ '/a': md5('newest') });
  expect(await trashed()).toEqual(['/a replaced', '/a replaced']);
  expect(await metadata.findEntry('/.restored' as FilePath)).toBeUndefined();
});

it('passes over a newest content of which no copy can be read whole', async () => {
  await store('older', { createdAtMs: noon - 1 });
  const bad = await store('newest', { nodes: [nodeA, nodeB] });
  for (const id of [nodeA, nodeB]) {
    const node = stores.get(id) as MemoryBlobStore;
    node.faultWhileReading = (blobId) => {
      if (blobId === bad) throw new Error('The disk is bad.');
    };
  }
  const placed = await restore();
  expect(await tree()).toEqual({ '/a': md5('older'), '/.restored/a': md5('newest') });
  expect(placed.doubtful.items).toEqual([
    { path: '/.restored/a', why: expect.stringContaining('no copy of it could be read') },
  ]);
});

it('reads the good copy of two', async () => {
  await store('older', { createdAtMs: noon - 1 });
  await store('newest', { nodes: [nodeA, nodeB] });
  const node = stores.get(nodeA) as MemoryBlobStore;
  node.faultWhileReading = () => {
    throw new Error('The disk is bad.');
  };
  await restore();
  expect((await tree())['/a']).toBe(md5('newest'));
});

it('takes of contents without an order the one that most nodes hold', async () => {
  await store('rare', { createdAtMs: 0, nodes: [nodeA] });
  await store('common', { createdAtMs: noon, nodes: [nodeB, nodeC] });
  await restore();
  expect(await tree()).toEqual({ '/a': md5('common') });
});

it('prefers what is newer than the journal to what the journal has there, which goes to the trash', async () => {
  const blobId = newBlobId();
  await metadata.bindFiles([
    {
      path: '/a' as FilePath,
      onConflict: 'replace',
      file: {
        id: blobId as string as never,
        sizeBytes: 3,
        md5: md5('old'),
        contentType: 'text/plain',
        attributes: {},
        createdAtMs: noon - 60_000,
      },
      blobs: [
        {
          blobId,
          sizeBytes: 3,
          md5: md5('old'),
          offsetBytes: 0,
          primary: nodeA,
          storedOn: [],
          wantedOn: [],
        },
      ],
    },
  ]);
  await store('new', { createdAtMs: noon + 60_000 });
  await store('deleted long ago', { path: '/gone', createdAtMs: noon - 3_600_000 });
  const placed = await restore({ lastRecordAtMs: noon, kind: 'replay' });
  expect(await tree()).toEqual({ '/a': md5('new') });
  expect(await trashed()).toEqual(['/a replaced']);
  expect(placed).toMatchObject({ unknownBlobs: 1, found: { items: ['/a'] } });
});

it('puts below /.restored what has no place: a path inside a file, a path that is none, a piece of a file', async () => {
  await store('file', { path: '/a' });
  await store('inside', { path: '/a/b/c', createdAtMs: noon + 1 });
  await store('nowhere', { path: '../../etc/passwd' });
  const piece = newBlobId();
  const description = {
    ...makeDescription({ blobId: piece, path: '/long', createdAtMs: noon }),
    ...metadata.identity(),
  };
  const options = { description, whole: () => undefined };
  await stores.get(nodeC)?.put(piece, Buffer.from('piece'), options);
  const placed = await restore();
  const files = await tree();
  expect(files[`/.restored/long/${piece}.part-00000`]).toBe(md5('piece'));
  expect(files['/a']).toBe(md5('file'));
  expect(Object.values(files)).toContain(md5('inside'));
  expect(Object.values(files)).toContain(md5('nowhere'));
  expect(placed.doubtful.count).toBe(3);
  for (const { path } of placed.doubtful.items) expect(path).toMatch(/^\/\.restored\//);
});
