import { once } from 'node:events';
import { readdir, rm, truncate, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { eventually, FakeClock } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  makeBlob,
  openTestCache,
  type TestBlob,
  type TestCache,
  type TestCacheOptions,
  TestSource,
} from '../testing/test-cache.ts';
import { flipByte } from '../testing/test-disk.ts';

const MiB = 2 ** 20;

let first: TestSource;
let second: TestSource;
let opened: TestCache[];
beforeEach(() => {
  first = new TestSource('first');
  second = new TestSource('second');
  opened = [];
});
afterEach(async () => {
  for (const test of opened) await test.close();
});

async function openCache(options: TestCacheOptions = {}): Promise<TestCache> {
  const test = await openTestCache({ sources: [first, second], ...options });
  opened.push(test);
  return test;
}

/** Opens when it is told, and tells who waits. */
function makeGate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** The next bytes of a stream, at least so many, or fewer at its end. */
async function take(stream: Readable, bytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let taken = 0;
  while (taken < bytes && !stream.readableEnded) {
    const piece = stream.read() as Buffer | null;
    if (piece) {
      pieces.push(piece);
      taken += piece.byteLength;
    } else await Promise.race([once(stream, 'readable'), once(stream, 'end')]);
  }
  return Buffer.concat(pieces);
}

describe('a cache that is read through', () => {
  it('fetches a blob once, and serves it from then on while all its sources are down', async () => {
    const blob = makeBlob(3 * MiB + 17);
    first.has(blob);
    const { cache, read } = await openCache();
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    first.isDown = true;
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    const part = await read(blob, MiB - 3, MiB + 5);
    expect(part.equals(blob.bytes.subarray(MiB - 3, MiB + 5))).toBe(true);
    expect(first.sentBytes).toBe(blob.sizeBytes);
    await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
    expect(cache.blobs.mostRead()).toEqual([blob.blobId]);
    expect(cache.blobs.list(undefined, 10).blobs).toMatchObject([
      { blobId: blob.blobId, cachedBytes: blob.sizeBytes, isComplete: true, reads: 3 },
    ]);
  });

  it('has simultaneous readers share one fetch, who get bytes while it goes on', async () => {
    const blob = makeBlob(3 * MiB);
    first.has(blob);
    const gate = makeGate();
    first.gate = (position) => (position < 2 * MiB ? Promise.resolve() : gate.opened);
    const { open } = await openCache();
    const streams = await Promise.all(Array.from({ length: 8 }, () => open(blob)));
    for (const stream of streams) {
      expect((await take(stream, 2 * MiB)).equals(blob.bytes.subarray(0, 2 * MiB))).toBe(true);
    }
    expect(first.asked).toHaveLength(1);
    gate.open();
    for (const stream of streams) {
      const rest = Buffer.concat(await stream.toArray());
      expect(rest.equals(blob.bytes.subarray(2 * MiB))).toBe(true);
    }
    expect(first.sentBytes).toBe(blob.sizeBytes);
  });

  it('fetches from where a reader seeks to, and only what is missing there', async () => {
    const blob = makeBlob(20 * MiB);
    first.has(blob);
    const { read } = await openCache();
    await read(blob, 10 * MiB + 5, 10 * MiB + 10);
    expect(first.asked).toEqual([{ start: 10 * MiB, end: 11 * MiB }]);
    await read(blob, 9 * MiB, 12 * MiB);
    expect(first.asked.slice(1)).toEqual([
      { start: 9 * MiB, end: 10 * MiB },
      { start: 11 * MiB, end: 12 * MiB },
    ]);
  });

  it('stays a little ahead of a slow reader and ends at the source when it leaves', async () => {
    const blob = makeBlob(40 * MiB);
    first.has(blob);
    const { open } = await openCache();
    const stream = await open(blob);
    await take(stream, 5 * MiB);
    // One block in the stream, one ahead of it that is being gathered.
    await eventually(() => first.sentBytes >= 7 * MiB).toBe(true);
    expect(first.runningCount).toBe(1);
    stream.destroy();
    await eventually(() => first.runningCount === 0).toBe(true);
    expect(first.abortedCount).toBe(1);
    expect(first.sentBytes).toBeLessThanOrEqual(8 * MiB);
  });

  it('lets a fetch go on for those who stay when one reader leaves', async () => {
    const blob = makeBlob(6 * MiB);
    first.has(blob);
    const { open } = await openCache();
    const leaving = await open(blob);
    const staying = await open(blob);
    await take(leaving, MiB);
    leaving.destroy();
    expect(Buffer.concat(await staying.toArray()).equals(blob.bytes)).toBe(true);
    expect(first.asked).toHaveLength(1);
    expect(first.abortedCount).toBe(0);
  });

  it('goes on at the same byte from the next source when one breaks off', async () => {
    const blob = makeBlob(4 * MiB);
    first.has(blob);
    second.has(blob);
    first.gate = async (position) => {
      if (position >= 2 * MiB + 200_000) first.isDown = true;
    };
    const { read } = await openCache();
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    expect(first.sentBytes + second.sentBytes).toBe(blob.sizeBytes);
  });

  it('refuses before the first byte when no source has it, and keeps nothing', async () => {
    const blob = makeBlob(MiB);
    const { cache, open, path } = await openCache();
    await expect(open(blob)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(cache.blobs.count).toBe(0);
    expect(await readdir(`${path}/cache`)).toEqual([]);
  });

  it.each([
    [0, 0],
    [5, 5],
  ])('gives no bytes and asks nobody for an empty range', async (start, end) => {
    const { read } = await openCache();
    expect(await read(makeBlob(10), start, end)).toHaveLength(0);
    expect(await read(makeBlob(0))).toHaveLength(0);
  });

  it('refuses a range outside the blob', async () => {
    const { read } = await openCache();
    await expect(read(makeBlob(10), 0, 11)).rejects.toMatchObject({
      kind: 'range-not-satisfiable',
    });
  });

  it('ends with the abort of its signal, before and after the first byte', async () => {
    const blob = makeBlob(40 * MiB);
    first.has(blob);
    const gate = makeGate();
    first.gate = () => gate.opened;
    const { open } = await openCache();
    const stopping = new AbortController();
    const waiting = open(blob, { signal: stopping.signal });
    await eventually(() => first.runningCount === 1).toBe(true);
    stopping.abort();
    await expect(waiting).rejects.toMatchObject({ kind: 'cancelled' });
    await eventually(() => first.runningCount === 0).toBe(true);
    gate.open();
    const later = new AbortController();
    const stream = await open(blob, { signal: later.signal });
    const failed = once(stream, 'error');
    later.abort();
    expect(await failed).toMatchObject([{ kind: 'cancelled' }]);
    await eventually(() => first.runningCount === 0).toBe(true);
    await expect(open(blob, { signal: later.signal })).rejects.toMatchObject({ kind: 'cancelled' });
  });
});

describe('bytes that are wrong', () => {
  it('are never served from the disk: a damaged block is fetched anew', async () => {
    const blob = makeBlob(3 * MiB);
    first.has(blob);
    const { cache, read, filePath } = await openCache();
    await read(blob);
    await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
    await flipByte(filePath(blob), MiB + 77);
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    expect(first.asked.slice(1)).toEqual([{ start: MiB, end: 2 * MiB }]);
    expect(cache.counters.damaged).toBe(1);
    await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
    // It was written right.
    first.isDown = true;
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
  });

  it('are not served as a complete copy either, which is then none any more', async () => {
    const blob = makeBlob(2 * MiB);
    first.has(blob);
    const { cache, read, filePath } = await openCache();
    await read(blob);
    await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
    await flipByte(filePath(blob), 5);
    const whole = ({ sizeBytes }: { sizeBytes: number }) => ({ start: 0, end: sizeBytes });
    const before = cache.counters.hitBlocks;
    const none = () => undefined;
    expect(await cache.read(blob.blobId, none)).toEqual({ blob: blob.facts });
    expect(cache.counters.hitBlocks).toBe(before);
    const end = await cache.read(blob.blobId, () => ({ start: 2 * MiB - 1, end: 2 * MiB }));
    expect((await end?.reader?.next())?.bytes).toEqual(blob.bytes.subarray(-1));
    end?.reader?.close();
    expect(cache.counters.hitBlocks).toBe(before + 1);
    await expect(cache.read(blob.blobId, whole)).rejects.toMatchObject({ kind: 'corrupt' });
    expect(await cache.read(blob.blobId, whole)).toBeUndefined();
    expect(cache.blobs.usedBytes).toBe(0);
  });

  it('of a short blob are noticed before any of them is served, and another source asked', async () => {
    const blob = makeBlob(100_000);
    first.has(blob);
    second.has(blob);
    first.distort = (chunk) => chunk.fill(0, 10, 11);
    const { cache, read, lines } = await openCache();
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    expect(lines.filter(({ level }) => level === 'warn')).toMatchObject([
      { fields: { sources: [first.nodeId] } },
    ]);
    await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
  });

  it('of a long blob break its readers off before the end, and are kept by nobody', async () => {
    const blob = makeBlob(3 * MiB);
    first.has(blob);
    first.distort = (chunk, position) => (position === 0 ? chunk.fill(0, 10, 11) : chunk);
    const { cache, open, path } = await openCache();
    const stream = await open(blob);
    let receivedBytes = 0;
    stream.on('data', (piece: Buffer) => {
      receivedBytes += piece.byteLength;
    });
    expect(await once(stream, 'error')).toMatchObject([{ kind: 'unavailable' }]);
    expect(receivedBytes).toBe(2 * MiB);
    await eventually(async () => (await readdir(`${path}/cache`)).length === 0).toBe(true);
    expect(cache.blobs.usedBytes).toBe(0);
    // For a while that source is not asked for this blob.
    await expect(open(blob)).rejects.toMatchObject({ kind: 'unavailable' });
    expect(first.asked).toHaveLength(1);
  });

  it('that came in parts are noticed once the last one is here, and are then served to nobody', async () => {
    const blob = makeBlob(3 * MiB);
    first.has(blob);
    first.distort = (chunk, position) => (position === 0 ? chunk.fill(0, 10, 11) : chunk);
    const { cache, read } = await openCache();
    await read(blob, 2 * MiB);
    await read(blob, MiB, 2 * MiB);
    await read(blob, 0, MiB);
    await eventually(() => cache.counters.damaged === 1).toBe(true);
    expect(cache.blobs.isComplete(blob.blobId)).toBe(false);
    expect(cache.blobs.count).toBe(0);
  });
});

describe('what an earlier run left', () => {
  it('is served after a restart, also blobs that are there in part', async () => {
    const whole = makeBlob(2 * MiB + 5);
    const part = makeBlob(5 * MiB, 1);
    first.has(whole, part);
    const before = await openCache();
    await before.read(whole);
    await before.read(part, 2 * MiB, 3 * MiB);
    await before.open(part, { range: { start: 0, end: 1 }, priority: 7 }).then((s) => s.toArray());
    await eventually(() => before.cache.blobs.isComplete(whole.blobId)).toBe(true);
    await eventually(() => before.cache.blobs.usedBytes > 4 * MiB).toBe(true);
    const usedBytes = before.cache.blobs.usedBytes;
    await before.cache.close();
    first.isDown = true;
    const after = await openCache({ path: before.path });
    expect((await after.read(whole)).equals(whole.bytes)).toBe(true);
    const middle = await after.read(part, 2 * MiB + 1, 3 * MiB);
    expect(middle.equals(part.bytes.subarray(2 * MiB + 1, 3 * MiB))).toBe(true);
    expect(after.cache.blobs.mostRead()).toEqual([whole.blobId]);
    expect(after.cache.blobs.usedBytes).toBe(usedBytes);
    expect(after.cache.blobs.list(undefined, 10).blobs.find((b) => !b.isComplete)).toMatchObject({
      priority: 7,
      cachedBytes: 2 * MiB,
    });
  });

  it('is removed where it is no whole file of ours', async () => {
    const blob = makeBlob(2 * MiB);
    const cut = makeBlob(2 * MiB, 2);
    first.has(blob, cut);
    const before = await openCache();
    await before.read(blob);
    await before.read(cut);
    await before.cache.close();
    await truncate(before.filePath(cut), 2 * MiB);
    await writeFile(`${before.path}/cache/gone.3`, 'x');
    await writeFile(before.filePath(makeBlob(5)), '');
    await writeFile(before.filePath(makeBlob(5)), 'x'.repeat(1_000));
    const after = await openCache({ path: before.path });
    await after.cache.blobs.loaded;
    expect(await readdir(`${before.path}/cache`)).toEqual([blob.blobId]);
    expect((await after.read(cut)).equals(cut.bytes)).toBe(true);
  });

  it('shrinks to a lower limit, and goes when nothing is to be cached', async () => {
    const blobs = [makeBlob(MiB), makeBlob(MiB, 1), makeBlob(MiB, 2)];
    first.has(...blobs);
    const before = await openCache();
    for (const blob of blobs) await before.read(blob);
    await before.cache.close();
    const smaller = await openCache({ path: before.path, limitBytes: 2.5 * MiB });
    await smaller.cache.blobs.loaded;
    expect(smaller.cache.blobs.count).toBe(2);
    await smaller.cache.close();
    const none = await openCache({ path: before.path, limitBytes: 0 });
    await none.cache.blobs.loaded;
    expect(await readdir(`${before.path}/cache`)).toEqual([]);
    expect((await none.read(blobs[0] as never)).byteLength).toBe(MiB);
    expect(none.cache.blobs.count).toBe(0);
  });
});

describe('room', () => {
  it('is made by letting go of what was read least', async () => {
    const clock = new FakeClock();
    const blobs = Array.from({ length: 4 }, (_, seed) => makeBlob(MiB, seed));
    first.has(...blobs);
    const [a, b, c, d] = blobs as [TestBlob, TestBlob, TestBlob, TestBlob];
    const { cache, read } = await openCache({ clock, limitBytes: 3.5 * MiB });
    for (const blob of [a, a, b, c, c]) {
      await read(blob);
      await eventually(() => cache.blobs.isComplete(blob.blobId)).toBe(true);
      clock.advance(1_000);
    }
    await read(d);
    await eventually(() => cache.blobs.isComplete(d.blobId)).toBe(true);
    expect(cache.blobs.list(undefined, 9).blobs.map(({ blobId }) => blobId)).toEqual(
      [blobs[0], blobs[2], blobs[3]].map((blob) => blob?.blobId),
    );
    expect(cache.blobs.evictedBlobs).toBe(1);
    expect(cache.blobs.usedBytes).toBeLessThanOrEqual(3.5 * MiB);
  });

  it('is never made of what is being read: then bytes pass by', async () => {
    const kept = makeBlob(3 * MiB);
    const other = makeBlob(2 * MiB, 1);
    first.has(kept, other);
    const { cache, open, read } = await openCache({ limitBytes: 3.1 * MiB });
    const stream = await open(kept);
    await take(stream, 2 * MiB);
    await eventually(() => cache.blobs.usedBytes > 3 * MiB).toBe(true);
    expect((await read(other)).equals(other.bytes)).toBe(true);
    expect(first.asked).toHaveLength(2);
    expect(cache.blobs.list(undefined, 9).blobs.map(({ blobId }) => blobId)).toEqual([kept.blobId]);
    expect(Buffer.concat(await stream.toArray()).equals(kept.bytes.subarray(2 * MiB))).toBe(true);
    await read(other);
    expect(cache.blobs.list(undefined, 9).blobs.map(({ blobId }) => blobId)).toEqual([
      other.blobId,
    ]);
  });

  it('that is not there costs readers nothing: they share what passes by', async () => {
    const blob = makeBlob(6 * MiB);
    first.has(blob);
    const full = async () => ({ capacityBytes: 100 * MiB, freeBytes: 0 });
    const { cache, open } = await openCache({ measure: full });
    const streams = await Promise.all([open(blob), open(blob)]);
    const read = await Promise.all(streams.map((stream) => stream.toArray()));
    for (const pieces of read) expect(Buffer.concat(pieces).equals(blob.bytes)).toBe(true);
    expect(cache.blobs.usedBytes).toBe(0);
  });

  it('that cannot be written to costs readers nothing either', async () => {
    const blob = makeBlob(3 * MiB);
    first.has(blob);
    const { cache, read, path } = await openCache();
    await cache.blobs.loaded;
    await rm(`${path}/cache`, { recursive: true });
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    expect((await read(blob)).equals(blob.bytes)).toBe(true);
    expect(cache.blobs.usedBytes).toBe(0);
    expect(cache.blobs.count).toBe(0);
  });

  it('is given to writes of blobs, which count what is cached as free', async () => {
    const blobs = Array.from({ length: 5 }, (_, seed) => makeBlob(MiB, seed));
    first.has(...blobs);
    let cacheOf: () => number = () => 0;
    const capacityBytes = 20 * MiB;
    // 12 MiB are of others.
    const measure = async () => ({ capacityBytes, freeBytes: 8 * MiB - cacheOf() });
    const { cache, space, read, open } = await openCache({ measure });
    cacheOf = () => cache.blobs.usedBytes;
    for (const blob of blobs) await read(blob);
    await eventually(() => blobs.every(({ blobId }) => cache.blobs.isComplete(blobId))).toBe(true);
    // Has the disk looked at.
    await space.claimSpare(9 * MiB);
    expect(cache.blobs.count).toBe(5);
    expect(space.freeBytes).toBe(8 * MiB);
    const room = await space.claim(5 * MiB - 100_000);
    expect(cache.blobs.count).toBe(3);
    // A reader keeps what it reads, and what would not be enough is not let go either.
    const stream = await open(blobs[4] as TestBlob);
    await expect(space.claim(3 * MiB)).rejects.toMatchObject({ kind: 'no-room' });
    expect(cache.blobs.count).toBe(3);
    await space.claim(2 * MiB);
    expect(cache.blobs.list(undefined, 9).blobs.map(({ blobId }) => blobId)).toEqual([
      blobs[4]?.blobId,
    ]);
    stream.destroy();
    await once(stream, 'close');
    room.release();
    await space.claim(6 * MiB);
    expect(cache.blobs.count).toBe(0);
  });

  it('is freed when a blob is dropped; who reads it comes to the end', async () => {
    const blob = makeBlob(5 * MiB);
    first.has(blob);
    const { cache, open, path } = await openCache();
    const stream = await open(blob);
    await take(stream, MiB);
    await cache.blobs.drop(blob.blobId);
    expect(cache.blobs.usedBytes).toBe(0);
    expect(await readdir(`${path}/cache`)).toEqual([]);
    expect(Buffer.concat(await stream.toArray()).equals(blob.bytes.subarray(MiB))).toBe(true);
    expect(cache.blobs.count).toBe(0);
    expect(await readdir(`${path}/cache`)).toEqual([]);
  });
});
