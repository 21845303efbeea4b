import { type BlobId, newBlobId } from '@dfs/shared';
import { makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openTestDisk, type TestDisk } from './testing/test-disk.ts';
import type { Piece } from './verified-reader.ts';

const mib = 2 ** 20;
const bytes = patternBytes(5 * mib + 4321);
/** Four of them are for scratch: three can be kept. */
const blocksMax = 7;

let disk: TestDisk;
let id: BlobId;
beforeAll(async () => {
  disk = await openTestDisk({ blocksMax });
  id = newBlobId();
  await disk.store.put(id, bytes, { description: makeDescription({ blobId: id }) });
});
afterAll(() => disk.close());

const open = async (start = 0, end = bytes.byteLength) => {
  const { reader } = await disk.store.read(id, () => ({ start, end }));
  if (!reader) throw new Error('No reader came.');
  return reader;
};

/** Reads to the end, and gives each piece back as soon as it was copied. */
async function readAll(start?: number, end?: number): Promise<Buffer> {
  const reader = await open(start, end);
  const found: Buffer[] = [];
  for (let piece = await reader.next(); piece; piece = await reader.next()) {
    found.push(Buffer.from(piece.bytes));
    // What is given back is written over at once, so that a piece used too long shows.
    piece.release();
  }
  reader.close();
  return Buffer.concat(found);
}

const expectRange = (found: Buffer, start: number, end: number) =>
  expect([found.byteLength, md5Of(found)]).toEqual([
    end - start,
    md5Of(bytes.subarray(start, end)),
  ]);

describe('readers that share a bounded pool of buffers', () => {
  it('get their bytes, twenty at once', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => readAll()));
    for (const found of all) expectRange(found, 0, bytes.byteLength);
  });

  it('get any range while slow ones hold every buffer', async () => {
    const slow = await Promise.all(Array.from({ length: 10 }, () => open()));
    const held: Piece[] = [];
    for (const reader of slow) {
      const piece = await reader.next();
      if (piece) held.push(piece);
    }
    for (const [start, end] of [
      [0, bytes.byteLength],
      [mib - 1, mib + 1],
      [3 * mib + 17, 5 * mib + 4000],
      [5 * mib + 4320, bytes.byteLength],
    ] as const) {
      expectRange(await readAll(start, end), start, end);
    }
    // Those who held the pool read on where they stood.
    for (const [index, reader] of slow.entries()) {
      const first = held[index];
      const found = [Buffer.from(first?.bytes ?? [])];
      first?.release();
      for (let piece = await reader.next(); piece; piece = await reader.next()) {
        found.push(Buffer.from(piece.bytes));
        piece.release();
      }
      reader.close();
      expectRange(Buffer.concat(found), 0, bytes.byteLength);
    }
  });

  it('give everything back when they leave at any point', async () => {
    for (let steps = 0; steps < 6; steps += 1) {
      const readers = await Promise.all(Array.from({ length: 10 }, () => open()));
      for (const reader of readers) {
        for (let step = 0; step < steps; step += 1) (await reader.next())?.release();
        reader.close();
        reader.close();
      }
    }
    // With the pool whole, a reader gets blocks of full length again.
    const reader = await open();
    const piece = await reader.next();
    expect(piece?.bytes.byteLength).toBe(mib);
    piece?.release();
    reader.close();
  });

  it('read on from a file that was deleted under them', async () => {
    const other = newBlobId();
    await disk.store.put(other, bytes, { description: makeDescription({ blobId: other }) });
    const { reader } = await disk.store.read(other, () => ({ start: 0, end: bytes.byteLength }));
    await disk.store.delete(other, { expiresAtMs: Date.now() + 30_000 });
    const found: Buffer[] = [];
    for (let piece = await reader?.next(); piece; piece = await reader?.next()) {
      found.push(Buffer.from(piece.bytes));
      piece.release();
    }
    reader?.close();
    expectRange(Buffer.concat(found), 0, bytes.byteLength);
  });
});
