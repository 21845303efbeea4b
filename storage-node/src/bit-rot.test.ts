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
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FetchBlob } from './disk-blob-store.ts';
import { flipByte, openTestDisk, type TestDisk } from './testing/test-disk.ts';

const mib = 2 ** 20;
const bytes = patternBytes(3 * mib + 777);
const small = bytes.subarray(0, 4096);

let disk: TestDisk;
/** What the other node gives to pulls. */
let source: { description: StoredBlob; bytes: Buffer } | undefined;

const fetchBlob: FetchBlob = async () => {
  if (!source) throw new StoreError('not-found', 'The source has none.');
  return { description: source.description, bytes: Readable.from([source.bytes]) };
};

beforeEach(async () => {
  source = undefined;
  disk = await openTestDisk({ fetchBlob });
});
afterEach(() => disk.close());

async function stored(content: Buffer): Promise<BlobId> {
  const id = newBlobId();
  await disk.store.put(id, content, { description: makeDescription({ blobId: id }) });
  return id;
}

/** What a reader gets before it fails, and the kind of the failure. */
async function readAll(id: BlobId): Promise<{ given: Buffer; failure: string | undefined }> {
  const given: Buffer[] = [];
  try {
    const opened = await disk.store.open(id);
    for await (const chunk of opened.bytes) given.push(chunk as Buffer);
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

async function pull(id: BlobId, content: Buffer): Promise<BlobReceipt> {
  const facts = { sizeBytes: content.byteLength, md5: md5Of(content) };
  source = {
    description: { ...makeDescription({ blobId: id }), ...facts, storedAtMs: 1 },
    bytes: content,
  };
  const at = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
  return disk.store.pull({ blobId: id, source: at, ...facts });
}

/** Offsets into the file of a blob of `bytes`: data at its borders, then the CRC table, the description, the footer. */
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

describe.each([
  ['that was just written', async () => undefined],
  ['that was just read', async (id: BlobId) => void (await readAll(id))],
  ['after a new start', async () => reopen()],
])('a blob %s', (_, prepare) => {
  it.each(places)(
    'with one bit flipped in %s reaches no reader and is reported',
    async (__, at) => {
      const id = await stored(bytes);
      await prepare(id);
      await flipByte(disk.pathOf(id), at);
      const { given, failure } = await readAll(id);
      expect(failure).toBe('corrupt');
      expect(given.equals(bytes.subarray(0, given.byteLength))).toBe(true);
      expect(disk.damages[0]).toMatchObject({ blobId: id, kind: 'corrupt' });
      expect(disk.damages[0]?.detail).toContain(id);
    },
  );

  it.each([0, 1, 31, 32, 5_000, mib, bytes.byteLength, bytes.byteLength + 300])(
    'cut to %i bytes reaches no reader and is reported',
    async (length) => {
      const id = await stored(bytes);
      await prepare(id);
      await truncate(disk.pathOf(id), length);
      const { given, failure } = await readAll(id);
      expect({ failure, sizeBytes: given.byteLength }).toEqual({
        failure: 'corrupt',
        sizeBytes: 0,
      });
      expect(disk.damages).toMatchObject([{ blobId: id, kind: 'corrupt' }]);
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
    expect(disk.damages.at(-1)).toMatchObject({ blobId: id, kind: 'corrupt' });
  });

  it('whose file was deleted by somebody is not here', async () => {
    const id = await stored(small);
    await prepare(id);
    await rm(disk.pathOf(id));
    expect((await readAll(id)).failure).toBe('not-found');
    expect(await disk.store.describe(id)).toBeUndefined();
    // What was seen a moment ago is known to be gone; of what was never seen only the master knows.
    const isKnown = disk.damages.length > 0;
    if (isKnown) expect(disk.damages).toMatchObject([{ blobId: id, kind: 'missing' }]);
  });

  it.each(places)('is replaced by a pull after a bit flipped in %s', async (__, at) => {
    const id = await stored(bytes);
    await prepare(id);
    await flipByte(disk.pathOf(id), at);
    await pull(id, bytes);
    await expectWhole(id, bytes);
    expect(disk.mended).toContain(id);
  });

  it.each([0, 40, 3000])('is replaced by a pull after it was cut to %i bytes', async (length) => {
    const id = await stored(small);
    await prepare(id);
    await truncate(disk.pathOf(id), length);
    await pull(id, small);
    await expectWhole(id, small);
  });

  it('is pulled again after its file was deleted', async () => {
    const id = await stored(small);
    await prepare(id);
    await rm(disk.pathOf(id));
    await pull(id, small);
    await expectWhole(id, small);
  });

  it('is replaced by a put of the same bytes after it was damaged', async () => {
    const id = await stored(bytes);
    await prepare(id);
    await flipByte(disk.pathOf(id), mib + 9);
    await disk.store.put(id, Readable.from([bytes]), {
      description: makeDescription({ blobId: id }),
    });
    await expectWhole(id, bytes);
  });
});

/** Opens another store on the same directory, as a new start of the process does. */
async function reopen(): Promise<void> {
  const old = disk;
  const fresh = await openTestDisk({ path: old.path, fetchBlob });
  const close = async () => {
    await fresh.close();
    await old.close();
  };
  disk = { ...fresh, close };
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
