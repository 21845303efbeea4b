import { describe, expect, it } from 'vitest';
import { StoreError } from '../../errors.ts';
import type { BlobId } from '../../ids.ts';
import { patternBytes } from '../blobs.ts';
import { expectKind, expectSameBytes, type SuiteBlobs } from './suite-blobs.ts';

const mib = 2 ** 20;
const bytes = patternBytes(3 * mib + 5, 5);

/** Bad bytes are never given out. */
export function describeRot(blobs: SuiteBlobs): void {
  describe('bit rot', () => {
    const rotten = async (offset: number): Promise<BlobId> => {
      const id = await blobs.stored(bytes);
      await blobs.harness.corrupt?.(id, offset);
      return id;
    };

    it.each([0, 12_345, mib - 1])(
      'opens nothing when byte %i of the first block is bad',
      async (offset) => {
        await expectKind(blobs.store.open(await rotten(offset)), 'corrupt');
      },
    );

    it.each([mib, 2 * mib - 1, 3 * mib + 4])(
      'gives only good bytes before a bad byte at %i',
      async (offset) => {
        const id = await rotten(offset);
        const found: Buffer[] = [];
        const failure = await (async () => {
          const opened = await blobs.store.open(id);
          for await (const chunk of opened.bytes) found.push(Buffer.from(chunk as Buffer));
        })().then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(failure).toBeInstanceOf(StoreError);
        // Across a network the connection breaks off, which cannot tell why.
        expect(['corrupt', 'unavailable']).toContain((failure as StoreError).kind);
        const given = Buffer.concat(found);
        expect(given.length).toBeLessThanOrEqual(Math.floor(offset / mib) * mib);
        expectSameBytes(given, bytes.subarray(0, given.length));
      },
    );

    it('opens nothing of a range that begins in a bad block', async () => {
      const id = await rotten(mib + 10);
      await expectKind(
        blobs.store.open(id, { range: { start: mib + 500, end: mib + 501 } }),
        'corrupt',
      );
    });

    it('gives ranges that do not touch the bad block', async () => {
      const id = await rotten(mib + 10);
      for (const [start, end] of [
        [0, mib],
        [2 * mib, 3 * mib + 5],
        [100, 200],
      ] as const) {
        expectSameBytes(await blobs.read(id, { start, end }), bytes.subarray(start, end));
      }
    });
  });
}
