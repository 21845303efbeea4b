import { describe, expect, it } from 'vitest';
import type { StoredBlob } from '../../blob-store.ts';
import { inventoryKeyOf } from '../../ids.ts';
import { patternBytes } from '../blobs.ts';
import type { SuiteBlobs } from './suite-blobs.ts';

/** Everything that is stored, in pages. */
export function describeInventory(blobs: SuiteBlobs): void {
  describe('the inventory', () => {
    const pagesOf = async (limit: number): Promise<StoredBlob[][]> => {
      const pages: StoredBlob[][] = [];
      let after: string | undefined;
      do {
        const page = await blobs.peerFace.inventory(after, limit);
        expect(page.blobs.length).toBeLessThanOrEqual(limit);
        pages.push([...page.blobs]);
        expect(page.next).not.toBe(after ?? '');
        after = page.next;
      } while (after !== undefined);
      return pages;
    };

    it('lists every blob once, in order, whatever the length of its pages', async () => {
      const ids = await Promise.all(
        Array.from({ length: 9 }, (_, i) => blobs.stored(patternBytes(i * 10, i + 1))),
      );
      const gone = ids.pop() as (typeof ids)[number];
      await blobs.store.delete(gone, { expiresAtMs: blobs.nowMs() + 30_000 });
      for (const limit of [1, 2, 1_000]) {
        const listed = (await pagesOf(limit)).flat();
        const keys = listed.map(({ blobId }) => inventoryKeyOf(blobId));
        expect(keys).toEqual([...new Set(keys)].sort());
        expect(listed.map(({ blobId }) => blobId)).toEqual(expect.arrayContaining(ids));
        expect(listed.map(({ blobId }) => blobId)).not.toContain(gone);
      }
    });

    it('lists what a blob says of itself', async () => {
      const id = await blobs.stored(patternBytes(77));
      const listed = (await pagesOf(50)).flat();
      expect(listed.find(({ blobId }) => blobId === id)).toEqual(await blobs.store.describe(id));
    });

    it('goes on after a key that is not there any more', async () => {
      const id = await blobs.stored(patternBytes(5));
      await blobs.store.delete(id, { expiresAtMs: blobs.nowMs() + 30_000 });
      const { blobs: rest } = await blobs.peerFace.inventory(inventoryKeyOf(id), 1_000);
      for (const { blobId } of rest) expect(inventoryKeyOf(blobId) > inventoryKeyOf(id)).toBe(true);
    });

    it('is at its end after the last key', async () => {
      const last = await blobs.peerFace.inventory('zz', 10);
      expect(last).toEqual({ blobs: [], damaged: [] });
    });
  });
}
