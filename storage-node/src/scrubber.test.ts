import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { type BlobId, newBlobId, newNodeId, type StoredBlob, systemClock } from '@dfs/shared';
import { makeDescription, md5Of, patternBytes, recordingLogger } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeTail, footerBytes, parseFooter, parseTail } from './blob-format.ts';
import type { DiskBlobStore } from './disk-blob-store.ts';
import { Scrubber } from './scrubber.ts';
import { flipByte, openTestDisk, type TestDisk } from './testing/test-disk.ts';

const bytes = patternBytes(2 ** 20 + 333);

let disk: TestDisk;
let scrubber: Scrubber;
const source = new Map<BlobId, StoredBlob>();

beforeEach(async () => {
  disk = await openTestDisk({
    fetchBlob: async ({ blobId }) => ({
      description: source.get(blobId) as StoredBlob,
      bytes: Readable.from([bytes]),
    }),
  });
});
afterEach(async () => {
  await scrubber.stop();
  await disk.close();
  source.clear();
});

async function stored(count: number): Promise<BlobId[]> {
  const ids = Array.from({ length: count }, () => newBlobId());
  for (const id of ids) {
    await disk.store.put(id, bytes, { description: makeDescription({ blobId: id }) });
    source.set(id, (await disk.store.describe(id)) as StoredBlob);
  }
  return ids;
}

async function start(
  options: { everyMs?: number; verify?: DiskBlobStore['verify']; requestsNow?: () => number } = {},
) {
  const { logger, lines } = recordingLogger();
  scrubber = await Scrubber.start({
    store: { verify: options.verify ?? ((id, how) => disk.store.verify(id, how)) },
    directory: disk.directory,
    clock: systemClock,
    logger,
    requestsNow: options.requestsNow ?? (() => 0),
    everyMs: options.everyMs ?? 0,
  });
  return lines;
}

const ended = () => vi.waitFor(() => expect(scrubber.status().last?.isAsked).toBe(true), 20_000);

/** As what replicates does it when the master hears of the damage. */
async function replaced(id: BlobId): Promise<void> {
  await disk.store.pull({
    blobId: id,
    source: { nodeId: newNodeId(), url: 'http://127.0.0.1:1' },
    sizeBytes: bytes.byteLength,
    md5: md5Of(bytes),
  });
  expect(disk.mended).toContain(id);
  scrubber.mended(id);
}

describe('a scrub', () => {
  it('finds the copies with a flipped bit that no reader has met, and no others', async () => {
    const ids = await stored(12);
    const bad = [ids[3], ids[7], ids[11]] as BlobId[];
    await flipByte(disk.pathOf(bad[0] as BlobId), 5);
    await flipByte(disk.pathOf(bad[1] as BlobId), 2 ** 20 + 10);
    await flipByte(disk.pathOf(bad[2] as BlobId), -1);
    await start();
    scrubber.scrubNow();
    await ended();
    expect(scrubber.status().last).toMatchObject({ checkedBlobs: 12, damagedBlobs: 3 });
    expect(disk.damages.map(({ blobId }) => blobId).sort()).toEqual([...bad].sort());
    expect(disk.damages.every(({ kind }) => kind === 'corrupt')).toBe(true);
    expect(scrubber.status().awaitingRepair).toBe(3);
  });

  it('finds a copy whose blocks fit their checksums and which is not what was stored', async () => {
    const [id] = (await stored(1)) as [BlobId];
    const path = disk.pathOf(id);
    const file = await readFile(path);
    const footer = parseFooter(file.subarray(-footerBytes), file.byteLength, id);
    const { description, table } = parseTail(file.subarray(-footer.tailBytes), footer, id);
    const crcs = [table.readUInt32LE(0), table.readUInt32LE(4)];
    const wrong = encodeTail({ ...description, md5: 'f'.repeat(32) }, crcs);
    await writeFile(path, Buffer.concat([bytes, wrong]));
    await start();
    scrubber.scrubNow();
    await ended();
    expect(disk.damages).toMatchObject([{ blobId: id, kind: 'corrupt' }]);
  });

  it('reads a replaced copy again before it counts as repaired', async () => {
    const [id, other] = (await stored(2)) as [BlobId, BlobId];
    await flipByte(disk.pathOf(id), 1);
    await flipByte(disk.pathOf(other), 1);
    const lines = await start();
    scrubber.scrubNow();
    await ended();
    await replaced(id);
    await vi.waitFor(() => expect(scrubber.status().repairedBlobs).toBe(1), 20_000);
    // The other one was said to be replaced, and is as bad as before.
    scrubber.mended(other);
    scrubber.scrubNow();
    await vi.waitFor(() => expect(scrubber.status().last?.checkedBlobs).toBe(2), 20_000);
    await vi.waitFor(() => expect(scrubber.status().awaitingRepair).toBe(1), 20_000);
    expect(scrubber.status().repairedBlobs).toBe(1);
    expect(lines.filter(({ fields }) => fields['blobId'] === id)).toHaveLength(1);
  });

  it('goes on where it was after a new start of the node', async () => {
    const ids = await stored(20);
    const read: BlobId[] = [];
    await start({
      verify: async (id, { signal }) => {
        if (read.length === 10) {
          await once(signal, 'abort');
          return { kind: 'cancelled' };
        }
        read.push(id);
        return { kind: 'whole', sizeBytes: 1 };
      },
    });
    scrubber.scrubNow();
    await vi.waitFor(() => expect(read).toHaveLength(10));
    await scrubber.stop();
    await start({
      verify: async (id) => {
        read.push(id);
        return { kind: 'whole', sizeBytes: 1 };
      },
    });
    await ended();
    expect(read.slice().sort()).toEqual(ids.slice().sort());
    expect(scrubber.status().last).toMatchObject({ checkedBlobs: 20, checkedBytes: 20 });
  });

  it('that is asked for reads everything, also what a scheduled one has read already', async () => {
    const ids = await stored(5);
    const read: BlobId[] = [];
    const verify: DiskBlobStore['verify'] = async (id) => {
      read.push(id);
      return { kind: 'whole', sizeBytes: 1 };
    };
    await start({ everyMs: 30 * 86_400_000, verify });
    await vi.waitFor(() => expect(scrubber.status().running?.isAsked).toBe(false));
    expect(scrubber.scrubNow().running).toMatchObject({ isAsked: true, checkedBlobs: 0 });
    await ended();
    expect(scrubber.status().last?.checkedBlobs).toBe(5);
    expect(new Set(read)).toEqual(new Set(ids));
    // The next scheduled one has begun and waits for its time.
    await vi.waitFor(() => expect(scrubber.status().running?.isAsked).toBe(false));
  });

  it('passes over blobs that were dropped meanwhile', async () => {
    const [id] = (await stored(1)) as [BlobId];
    await start({
      verify: async (each, how) => {
        await disk.store.delete(id, { expiresAtMs: Date.now() + 30_000 });
        return disk.store.verify(each, how);
      },
    });
    scrubber.scrubNow();
    await ended();
    expect(scrubber.status().last).toMatchObject({ checkedBlobs: 0, damagedBlobs: 0 });
    expect(disk.damages).toEqual([]);
  });
});
