import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { fileIdOfFirstBlob, newBlobId } from '../../ids.ts';
import { bytesOf, md5Of, patternBytes } from '../blobs.ts';
import { expectKind, expectSameBytes, type SuiteBlobs, streamOf } from './suite-blobs.ts';

const kib = 1024;
const mib = 1024 * kib;
const sizes = [0, 1, 4 * kib, 64 * kib, mib - 1, mib, mib + 1, 3.5 * mib];
const big = patternBytes(3.5 * mib);

/** Bytes in, the same bytes out; ranges; deletes. */
export function describeBlobs(blobs: SuiteBlobs): void {
  describe('whole blobs', () => {
    it.each(sizes)(
      'gives back the %i bytes that it was given, held or as a stream',
      async (size) => {
        const wanted = big.subarray(0, size);
        const receipt = { sizeBytes: size, md5: md5Of(wanted) };
        const ways = [
          { body: () => wanted, options: {} },
          { body: () => wanted, options: { sizeBytes: size, expectedMd5: receipt.md5 } },
          { body: () => streamOf(wanted), options: {} },
          { body: () => streamOf(wanted), options: { sizeBytes: size, expectedMd5: receipt.md5 } },
        ];
        for (const { body, options } of ways) {
          const id = newBlobId();
          expect(await blobs.put(body(), { id, ...options })).toEqual(receipt);
          const opened = await blobs.store.open(id);
          expect(opened.sizeBytes).toBe(size);
          expectSameBytes(await bytesOf(opened.bytes), wanted);
          expect(await blobs.store.describe(id)).toMatchObject(receipt);
        }
      },
    );

    it('takes a plain Uint8Array that is a part of a larger buffer', async () => {
      const part = new Uint8Array(big.buffer, big.byteOffset + 3, 1000);
      const id = newBlobId();
      await blobs.put(part, { id });
      expectSameBytes(await blobs.read(id), part);
    });

    it('gives the description back as it was, with what it learnt itself', async () => {
      const id = newBlobId();
      const bytes = big.subarray(0, 100);
      const description = blobs.description({
        blobId: id,
        fileId: fileIdOfFirstBlob(newBlobId()),
        sequence: 7,
        path: '/Ordner mit Leerzeichen/"\\\u0001\u{1f4be}/日本語 %2e%2e.txt',
        contentType: 'text/plain; charset="utf-8"',
      });
      await blobs.put(bytes, { id, description });
      const stored = await blobs.store.describe(id);
      expect(stored).toMatchObject({ ...description, sizeBytes: 100, md5: md5Of(bytes) });
      expect(stored?.storedAtMs).toBeGreaterThan(0);
    });

    it('takes a path of 4 096 bytes that JSON must escape', async () => {
      const id = newBlobId();
      const path = `/${`${'\u0001'.repeat(254)}/`.repeat(16)}`.slice(0, 4096);
      await blobs.put(Buffer.from('x'), {
        id,
        description: blobs.description({ blobId: id, path }),
      });
      expect(await blobs.store.describe(id)).toMatchObject({ path });
    });

    it('has nothing to open or to describe under an unknown id', async () => {
      await blobs.expectNothing(newBlobId());
    });

    it('keeps many blobs apart that are put and read at once', async () => {
      const contents = Array.from({ length: 16 }, (_, i) =>
        patternBytes(50_000 * (i % 5) + i, i + 2),
      );
      const ids = await Promise.all(contents.map((bytes) => blobs.stored(bytes)));
      const found = await Promise.all(ids.map((id) => blobs.read(id)));
      found.forEach((bytes, i) => {
        expectSameBytes(bytes, contents[i] as Buffer);
      });
    });
  });

  describe('ranges', () => {
    it.each([
      [0, 1],
      [0, 3.5 * mib],
      [1, 2],
      [5, 64 * kib + 5],
      [mib - 1, mib],
      [mib, mib + 1],
      [mib - 1, mib + 1],
      [mib, 2 * mib],
      [mib - 7, 2 * mib + 7],
      [2 * mib + 100, 3 * mib - 100],
      [3 * mib, 3.5 * mib],
      [3.5 * mib - 1, 3.5 * mib],
    ])('gives exactly the bytes from %i to %i', async (start, end) => {
      const id = await bigId();
      const opened = await blobs.store.open(id, { range: { start, end } });
      expect(opened.sizeBytes).toBe(end - start);
      expectSameBytes(await bytesOf(opened.bytes), big.subarray(start, end));
    });

    it.each([
      [0, 3.5 * mib + 1],
      [3.5 * mib, 3.5 * mib + 1],
      [9 * mib, 10 * mib],
      [5, 5],
    ])('refuses a range from %i to %i that is empty or not inside', async (start, end) => {
      await expectKind(
        blobs.store.open(await bigId(), { range: { start, end } }),
        'range-not-satisfiable',
      );
    });

    it('has no range of an unknown blob', async () => {
      await expectKind(blobs.store.open(newBlobId(), { range: { start: 0, end: 1 } }), 'not-found');
    });
  });

  describe('readers', () => {
    it('waits for a slow reader', async () => {
      const { bytes } = await blobs.store.open(await bigId());
      const chunks: Buffer[] = [];
      for await (const chunk of bytes) {
        chunks.push(Buffer.from(chunk as Buffer));
        for (let turn = 0; turn < 20; turn += 1) await nextTurn();
      }
      expectSameBytes(Buffer.concat(chunks), big);
    });

    it('goes on after a reader left in the middle', async () => {
      const { bytes } = await blobs.store.open(await bigId());
      for await (const _ of bytes) break;
      expect(bytes.destroyed).toBe(true);
      expectSameBytes(await blobs.read(await bigId()), big);
    });

    it('opens nothing for a reader that left before', async () => {
      const signal = AbortSignal.abort();
      await expectKind(blobs.store.open(await bigId(), { signal }), 'cancelled');
    });

    it('fails the bytes of a reader that is cancelled in the middle', async () => {
      const leaving = new AbortController();
      const { bytes } = await blobs.store.open(await bigId(), { signal: leaving.signal });
      const reading = (async () => {
        for await (const _ of bytes) leaving.abort();
      })();
      await expect(reading).rejects.toThrow();
    });
  });

  describe('deletes', () => {
    const soon = () => ({ expiresAtMs: blobs.nowMs() + 30_000 });

    it('deletes a blob', async () => {
      const id = await blobs.stored(big.subarray(0, 10));
      await blobs.store.delete(id, soon());
      await blobs.expectNothing(id);
    });

    it('takes the delete of an absent blob as done', async () => {
      await blobs.store.delete(newBlobId(), soon());
    });

    it('refuses a delete that arrives after its time, and keeps the blob', async () => {
      const id = await blobs.stored(big.subarray(0, 10));
      const late = { expiresAtMs: blobs.nowMs() - 1_000 };
      await expectKind(blobs.store.delete(id, late), 'expired');
      expectSameBytes(await blobs.read(id), big.subarray(0, 10));
    });

    it('refuses a late delete of an absent blob, too', async () => {
      const late = { expiresAtMs: blobs.nowMs() - 1_000 };
      await expectKind(blobs.store.delete(newBlobId(), late), 'expired');
    });

    it('lets a reader finish that has it open', async () => {
      const id = await blobs.stored(big);
      const { bytes } = await blobs.store.open(id);
      await blobs.store.delete(id, soon());
      expectSameBytes(await bytesOf(bytes), big);
      await blobs.expectNothing(id);
    });
  });

  let knownBigId: Promise<ReturnType<typeof newBlobId>> | undefined;
  const bigId = () => {
    knownBigId ??= blobs.stored(big);
    return knownBigId;
  };
}
