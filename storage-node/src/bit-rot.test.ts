import { mkdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  type BlobId,
  type BlobReceipt,
  newBlobId,
  newNodeId,
  type StoredBlob,
  StoreError,
} from '@dfs/shared';
import { makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FetchBlob } from './disk-blob-store.ts';
import { flipByte, openTestDisk, type TestDisk } from './testing/test-disk.ts';

const mib = 2 ** 20;
const bytes = patternBytes(3 * mib + 777);
const small = bytes.subarray(0, 4096);

/** One disk for all tests: each has blobs of its own. */
let disk: TestDisk;
const opened: TestDisk[] = [];
/** What the other node gives to pulls. */
let source: { description: StoredBlob; bytes: Buffer } | undefined;

const fetchBlob: FetchBlob = async () => {
  if (!source) throw new StoreError('not-found', 'The source has none.');
  return { description: source.description, bytes: Readable.from([source.bytes]) };
};

beforeAll(async () => {
  disk = await openTestDisk({ fetchBlob });
  opened.push(disk);
});
afterAll(async () => {
  for (const each of opened.reverse()) await each.close();
});

/** Opens another store on the same directory, as a new start of the process does. */
async function reopen(): Promise<void> {
  disk = await openTestDisk({ path: disk.path, fetchBlob });
  opened.push(disk);
}

/** Offsets into the file of a blob of `bytes`; negative ones count from its end. */
const places: [string, number][] = [
  ['the first byte of the data', 0],
  ['the data of the second block', mib + 5],
  ['the last byte of the data', bytes.byteLength - 1],
  ['the CRC table', bytes.byteLength + 1],
  ['the last entry of the CRC table', bytes.byteLength + 15],
  ['the first byte of the description', bytes.byteLength + 16],
  ['the middle of the description', bytes.byteLength + 200],
  ['the last byte of the description', -33],
  ['the magic of the footer', -32],
  ['the version in the footer', -24],
  ['the block size in the footer', -20],
  ['the data length in the footer', -16],
  ['the description length in the footer', -8],
  ['the CRC in the footer', -1],
];

describe.each<[string, { isKnown: boolean; prepare: (id: BlobId) => Promise<unknown> }]>([
  ['that was just written', { isKnown: true, prepare: async () => undefined }],
  ['that was just read', { isKnown: true, prepare: (id) => readAll(id) }],
  ['after a new start', { isKnown: false, prepare: () => reopen() }],
])('a blob %s', (_, { isKnown, prepare }) => {
  it.each(places)(
    'with one bit flipped in %s reaches no reader, is reported and replaced',
    async (__, at) => {
      const id = await stored(bytes);
      await prepare(id);
      await flipByte(disk.pathOf(id), at);
      const { given, failure } = await readAll(id);
      expect(failure).toBe('corrupt');
      expect(md5Of(given)).toBe(md5Of(bytes.subarray(0, given.byteLength)));
      expect(damagesOf(id)[0]?.kind).toBe('corrupt');
      expect(damagesOf(id)[0]?.detail).toContain(id);
      await pull(id, bytes);
      await expectWhole(id, bytes);
      expect(disk.mended).toContain(id);
    },
  );

  it.each([0, 1, 31, 32, 5_000, mib, bytes.byteLength, bytes.byteLength + 300])(
    'cut to %i bytes reaches no reader, is reported and replaced',
    async (length) => {
      const id = await stored(bytes);
      await prepare(id);
      await truncate(disk.pathOf(id), length);
      const { given, failure } = await readAll(id);
      expect({ failure, sizeBytes: given.byteLength }).toEqual({
        failure: 'corrupt',
        sizeBytes: 0,
      });
      expect(damagesOf(id).map(({ kind }) => kind)).toEqual(['corrupt']);
      await pull(id, bytes);
      await expectWhole(id, bytes);
    },
  );

  it.each<[string, (path: string) => Promise<void>]>([
    ['written over with junk', (path) => writeFile(path, 'junk')],
    ['written over with zeros', (path) => writeFile(path, Buffer.alloc(small.byteLength + 500))],
    ['renamed from elsewhere', replaceByRename],
    ['a directory', replaceByDirectory],
  ])('whose file is %s reaches no reader and is reported', async (__, replace) => {
    const id = await stored(small);
    await prepare(id);
    await replace(disk.pathOf(id));
    expect((await readAll(id)).failure).toBe('corrupt');
    expect(damagesOf(id).map(({ kind }) => kind)).toEqual(['corrupt']);
  });

  it('whose file was deleted by somebody is not here, and can be pulled again', async () => {
    const id = await stored(small);
    await prepare(id);
    await rm(disk.pathOf(id));
    expect((await readAll(id)).failure).toBe('not-found');
    expect(await disk.store.describe(id)).toBeUndefined();
    // Of a blob that this process never saw, only the master knows that it should be here.
    expect(damagesOf(id).map(({ kind }) => kind)).toEqual(isKnown ? ['missing'] : []);
    await pull(id, small);
    await expectWhole(id, small);
  });

  it('is replaced by a put of the same bytes after it was damaged', async () => {
    const id = await stored(bytes);
    await prepare(id);
    await flipByte(disk.pathOf(id), mib + 9);
    const description = makeDescription({ blobId: id });
    await disk.store.put(id, Readable.from([bytes]), { description });
    await expectWhole(id, bytes);
  });

  it('stays as it is when a pull that would replace it fails', async () => {
    const id = await stored(bytes);
    await prepare(id);
    await flipByte(disk.pathOf(id), mib + 9);
    await expect(pull(id, bytes, { given: bytes.subarray(1) })).rejects.toThrow();
    expect((await readAll(id)).failure).toBe('corrupt');
    expect(await disk.staged()).toEqual([]);
  });
});

const damagesOf = (id: BlobId) => disk.damages.filter(({ blobId }) => blobId === id);

async function stored(content: Buffer): Promise<BlobId> {
  const id = newBlobId();
  await disk.store.put(id, content, { description: makeDescription({ blobId: id }) });
  return id;
}

/** What a reader gets before it fails, and the kind of the failure. */
async function readAll(id: BlobId): Promise<{ given: Buffer; failure: string | undefined }> {
  const given: Buffer[] = [];
  try {
    const { bytes: stream } = await disk.store.open(id);
    for await (const chunk of stream) given.push(chunk as Buffer);
    return { given: Buffer.concat(given), failure: undefined };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { given: Buffer.concat(given), failure: error.kind };
  }
}

/** Compares by digest: a failure must not print megabytes. */
async function expectWhole(id: BlobId, wanted: Buffer): Promise<void> {
  const { given, failure } = await readAll(id);
  expect({ failure, md5: md5Of(given) }).toEqual({ failure: undefined, md5: md5Of(wanted) });
}

/** Pulls from a source that has `content`, and gives `given`. */
async function pull(
  id: BlobId,
  content: Buffer,
  { given = content }: { given?: Buffer } = {},
): Promise<BlobReceipt> {
  const facts = { sizeBytes: content.byteLength, md5: md5Of(content) };
  const description = { ...makeDescription({ blobId: id }), ...facts, storedAtMs: 1 };
  source = { description, bytes: given };
  const at = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
  return disk.store.pull({ blobId: id, source: at, ...facts });
}

/** A way in which many programs save: the old file stays whole for who has it open. */
async function replaceByRename(path: string): Promise<void> {
  await writeFile(`${path}.new`, patternBytes(4500, 7));
  await rename(`${path}.new`, path);
}

async function replaceByDirectory(path: string): Promise<void> {
  await rm(path);
  await mkdir(path);
}
