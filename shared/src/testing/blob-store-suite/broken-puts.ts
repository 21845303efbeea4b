import { describe, expect, it } from 'vitest';
import type { BlobReceipt } from '../../blob-store.ts';
import { newBlobId } from '../../ids.ts';
import { md5Of, patternBytes } from '../blobs.ts';
import {
  brokenStreamOf,
  expectKind,
  expectSameBytes,
  type SuiteBlobs,
  streamOf,
  stuckStreamOf,
} from './suite-blobs.ts';

const bytes = patternBytes(2 ** 21 + 17, 3);
const small = bytes.subarray(0, 5_000);
const bothWays = [
  ['held bytes', small, () => small],
  ['a short stream', small, () => streamOf(small)],
  ['a long stream', bytes, () => streamOf(bytes)],
] as const;

/** Puts that fail leave nothing; puts of a known id; the facts of the whole file. */
export function describeBrokenPuts(blobs: SuiteBlobs): void {
  describe('puts that fail', () => {
    it.each(bothWays)('refuses %s with another MD5 and keeps nothing', async (_, __, body) => {
      const id = newBlobId();
      const expectedMd5 = md5Of(Buffer.from('something else'));
      await expectKind(blobs.put(body(), { id, expectedMd5 }), 'digest-mismatch');
      await blobs.expectNothing(id);
    });

    it.each(bothWays)('refuses %s that is shorter than announced', async (_, all, body) => {
      const id = newBlobId();
      await expectKind(blobs.put(body(), { id, sizeBytes: all.length + 1 }), 'incomplete-body');
      await blobs.expectNothing(id);
    });

    it.each(bothWays)('refuses %s that is longer than announced', async (_, all, body) => {
      const id = newBlobId();
      await expectKind(blobs.put(body(), { id, sizeBytes: all.length - 1 }), 'incomplete-body');
      await blobs.expectNothing(id);
    });

    it.each([0, 1, 70_000, bytes.length])(
      'keeps nothing of a stream that breaks after %i bytes',
      async (n) => {
        const id = newBlobId();
        const body = brokenStreamOf(bytes.subarray(0, n));
        await expectKind(blobs.put(body, { id }), 'incomplete-body');
        await blobs.expectNothing(id);
        expect(body.destroyed).toBe(true);
      },
    );

    it('keeps nothing of a stream of known length that breaks', async () => {
      const id = newBlobId();
      const body = brokenStreamOf(bytes.subarray(0, 100_000));
      await expectKind(blobs.put(body, { id, sizeBytes: bytes.length }), 'incomplete-body');
      await blobs.expectNothing(id);
    });

    it('takes nothing from a sender that left before', async () => {
      const id = newBlobId();
      const body = streamOf(bytes);
      const signal = AbortSignal.abort();
      await expectKind(blobs.put(body, { id, signal }), 'cancelled');
      await expectKind(blobs.put(small, { id, signal }), 'cancelled');
      await blobs.expectNothing(id);
      expect(body.destroyed).toBe(true);
    });

    it('keeps nothing from a sender that leaves in the middle', async () => {
      const id = newBlobId();
      const leaving = new AbortController();
      const body = stuckStreamOf(bytes);
      const putting = blobs.put(body, { id, signal: leaving.signal });
      body.once('data', () => setImmediate(() => leaving.abort()));
      await expectKind(putting, 'cancelled');
      await blobs.expectNothing(id);
      expect(body.destroyed).toBe(true);
    });

    it('destroys the stream of a put that went well, too', async () => {
      const body = streamOf(small);
      await blobs.put(body);
      expect(body.destroyed).toBe(true);
    });
  });

  describe('puts of an id that is stored', () => {
    it.each(bothWays)('succeeds with the same bytes from %s', async (_, all, body) => {
      const id = await blobs.stored(all);
      const before = await blobs.store.describe(id);
      expect(await blobs.put(body(), { id })).toEqual({ sizeBytes: all.length, md5: md5Of(all) });
      expect(await blobs.store.describe(id)).toEqual(before);
    });

    it.each(bothWays)('refuses other bytes than those of %s', async (_, all, body) => {
      const others = patternBytes(all.length, 99);
      const id = await blobs.stored(others);
      await expectKind(blobs.put(body(), { id }), 'conflict');
      expectSameBytes(await blobs.read(id), others);
    });

    it('lets one of two writers win, never a mixture', async () => {
      const id = newBlobId();
      const others = patternBytes(bytes.length, 98);
      const outcomes = await Promise.allSettled([
        blobs.put(streamOf(bytes), { id }),
        blobs.put(streamOf(others), { id }),
      ]);
      const winners = outcomes.flatMap((outcome) =>
        outcome.status === 'fulfilled' ? [outcome.value.md5] : [],
      );
      expect(winners).toHaveLength(1);
      expect(winners).toEqual([md5Of(await blobs.read(id))]);
      const losers = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [outcome.reason.kind] : [],
      );
      expect(losers).toEqual(['conflict']);
    });

    it('lets two writers of the same bytes both succeed', async () => {
      const id = newBlobId();
      await Promise.all([blobs.put(streamOf(bytes), { id }), blobs.put(streamOf(bytes), { id })]);
      expectSameBytes(await blobs.read(id), bytes);
    });
  });

  describe('the facts of the whole file', () => {
    const facts = { blobCount: 3, sizeBytes: 123_456_789, md5: md5Of(Buffer.from('whole')) };

    it.each(bothWays)('stands by itself without them, from %s', async (_, all, body) => {
      const id = newBlobId();
      const receipt = await blobs.put(body(), { id });
      const stored = await blobs.store.describe(id);
      expect(stored?.whole).toEqual({ blobCount: 1, ...receipt });
      expect(receipt.sizeBytes).toBe(all.length);
    });

    it.each(bothWays)('keeps what is told after the last byte of %s', async (_, all, body) => {
      for (const sizeBytes of [undefined, all.length]) {
        const id = newBlobId();
        const told: BlobReceipt[] = [];
        const whole = (receipt: BlobReceipt) => {
          told.push(receipt);
          return facts;
        };
        await blobs.put(body(), { id, whole, ...(sizeBytes === undefined ? {} : { sizeBytes }) });
        expect(told).toEqual([{ sizeBytes: all.length, md5: md5Of(all) }]);
        expect((await blobs.store.describe(id))?.whole).toEqual(facts);
        expectSameBytes(await blobs.read(id), all);
      }
    });

    it.each(bothWays)(
      'keeps none for a part that is not the last, from %s',
      async (_, __, body) => {
        const id = newBlobId();
        await blobs.put(body(), { id, whole: () => undefined });
        expect(await blobs.store.describe(id)).toBeDefined();
        expect((await blobs.store.describe(id))?.whole).toBeUndefined();
      },
    );

    it.each(bothWays)('keeps nothing of %s when they are refused', async (_, __, body) => {
      const id = newBlobId();
      const refusal = new Error('The sender changed its mind.');
      const whole = () => {
        throw refusal;
      };
      await expect(blobs.put(body(), { id, whole })).rejects.toBe(refusal);
      await blobs.expectNothing(id);
    });
  });
}
