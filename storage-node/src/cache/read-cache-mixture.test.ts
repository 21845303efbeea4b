import { readdir } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { eventually, seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { makeBlob, openTestCache, type TestBlob, TestSource } from '../testing/test-cache.ts';
import { flipByte } from '../testing/test-disk.ts';

const MiB = 2 ** 20;
const readersCount = 12;
const readsEach = 25;

/** Reads a part, perhaps leaves early; the bytes that came must be the right ones. */
async function readSome(
  open: (start: number, end: number) => Promise<Readable>,
  blob: TestBlob,
  random: () => number,
): Promise<'read' | 'left' | 'refused'> {
  const start = Math.floor(random() * blob.sizeBytes);
  const end =
    random() < 0.5 ? blob.sizeBytes : start + Math.floor(random() * (blob.sizeBytes - start));
  const leavesAt = random() < 0.3 ? start + random() * (end - start) : Number.POSITIVE_INFINITY;
  let position = start;
  try {
    const stream = await open(start, end);
    for await (const piece of stream as AsyncIterable<Buffer>) {
      expect(piece.equals(blob.bytes.subarray(position, position + piece.byteLength))).toBe(true);
      position += piece.byteLength;
      if (position > leavesAt) return 'left';
      if (random() < 0.2) await new Promise(setImmediate);
    }
  } catch (error) {
    if ((error as { kind?: string }).kind !== 'unavailable') throw error;
    return 'refused';
  }
  expect(position).toBe(end);
  return 'read';
}

describe('any mixture of readers, failing sources, evictions, drops and damage', () => {
  it.each([1, 2])('gives right bytes only, and leaves nothing behind (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const blobs = Array.from({ length: 6 }, (_, index) =>
      makeBlob(Math.floor(random() * 5 * MiB) + 1, index),
    );
    const first = new TestSource('first').has(...blobs);
    const second = new TestSource('second').has(...blobs);
    for (const source of [first, second]) {
      source.gate = async () => {
        if (random() < 0.02) throw new Error('It broke off.');
        if (random() < 0.3) await new Promise(setImmediate);
      };
    }
    const test = await openTestCache({ sources: [first, second], limitBytes: 9 * MiB });
    const { cache, open } = test;
    const outcomes = { read: 0, left: 0, refused: 0 };
    const reader = async () => {
      for (let read = 0; read < readsEach; read += 1) {
        const blob = blobs[Math.floor(random() * blobs.length)] as TestBlob;
        if (random() < 0.05) await cache.blobs.drop(blob.blobId);
        if (random() < 0.05) await cache.blobs.yield(MiB);
        if (random() < 0.05) await flipByte(test.filePath(blob), 0).catch(() => undefined);
        first.isDown = random() < 0.1;
        const opened = (start: number, end: number) => open(blob, { range: { start, end } });
        outcomes[await readSome(opened, blob, random)] += 1;
      }
    };
    await Promise.all(Array.from({ length: readersCount }, reader));
    expect(outcomes.read).toBeGreaterThan((readersCount * readsEach) / 3);
    expect(outcomes.left).toBeGreaterThan(0);
    expect(cache.counters.hitBlocks).toBeGreaterThan(0);
    expect(cache.blobs.evictedBlobs).toBeGreaterThan(0);
    await eventually(() => first.runningCount + second.runningCount).toBe(0);
    // Nobody holds anything any more: all of it can go, and is counted right.
    await eventually(() => cache.blobs.yieldableBytes - cache.blobs.usedBytes).toBe(0);
    expect(cache.blobs.usedBytes).toBeLessThanOrEqual(9 * MiB);
    await cache.blobs.yield(Number.MAX_SAFE_INTEGER);
    expect(cache.blobs.usedBytes).toBe(0);
    expect(cache.blobs.count).toBe(0);
    expect(await readdir(`${test.path}/cache`)).toEqual([]);
    await expect(test.space.claim(2 ** 39)).resolves.toBeDefined();
    await test.close();
  });
});
