import { open, stat } from 'node:fs/promises';
import { eventually, seededRandom, temporaryDirectory } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { makeBlob, openTestCache, TestSource } from '../testing/test-cache.ts';

const MiB = 2 ** 20;
const pageBytes = 4_096;
const seed = 20_261;

/** Writes over a part of a file. */
async function overwrite(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.byteLength, at);
  } finally {
    await file.close();
  }
}

describe('a cache whose files lost pages in a crash of the machine', () => {
  it.each([
    // Pages that were never written are zeros.
    ['zeros', () => Buffer.alloc(pageBytes)],
    ['old bytes', () => Buffer.alloc(pageBytes, 'an older file ')],
  ])('serves no wrong byte where there are %s', async (_, damage) => {
    const directory = await temporaryDirectory();
    const random = seededRandom(seed);
    const blobs = Array.from({ length: 6 }, (_, index) => makeBlob(2 * MiB + 1_000 * index, index));
    const source = new TestSource('source').has(...blobs);
    const before = await openTestCache({ path: directory.path, sources: [source] });
    for (const blob of blobs) await before.read(blob);
    await eventually(() => blobs.every(({ blobId }) => before.cache.blobs.isComplete(blobId))).toBe(
      true,
    );
    await before.close();
    for (const [index, blob] of blobs.entries()) {
      const path = before.filePath(blob);
      const { size } = await stat(path);
      // Of every third file what stands behind the data, of the others any page.
      const page =
        index % 3 === 0
          ? Math.floor(blob.sizeBytes / pageBytes)
          : Math.floor(random() * (size / pageBytes));
      const at = page * pageBytes;
      await overwrite(path, at, damage().subarray(0, Math.min(pageBytes, size - at)));
    }
    const fetchedBefore = source.sentBytes;
    const after = await openTestCache({ path: directory.path, sources: [source] });
    for (const blob of blobs) expect((await after.read(blob)).equals(blob.bytes)).toBe(true);
    expect(source.sentBytes).toBeGreaterThan(fetchedBefore);
    expect(after.cache.counters.hitBlocks).toBeGreaterThan(0);
    await eventually(() => blobs.every(({ blobId }) => after.cache.blobs.isComplete(blobId))).toBe(
      true,
    );
    await after.close();
    await directory.remove();
  });
});
