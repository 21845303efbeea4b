import { describe, expect, it } from 'vitest';
import type { PullRequest } from '../../blob-store.ts';
import { type BlobId, newBlobId, newNodeId } from '../../ids.ts';
import { md5Of, patternBytes } from '../blobs.ts';
import { expectKind, expectSameBytes, type SuiteBlobs } from './suite-blobs.ts';

const bytes = patternBytes(2 ** 21 + 3, 11);
const md5 = md5Of(bytes);

/** Copies from another store. */
export function describePulls(blobs: SuiteBlobs, { canCorrupt }: { canCorrupt: boolean }): void {
  const atOther = async (content: Uint8Array = bytes): Promise<BlobId> => {
    const id = newBlobId();
    await blobs.other.store.put(id, content, { description: blobs.description({ blobId: id }) });
    return id;
  };
  const requestOf = (blobId: BlobId): PullRequest => ({
    blobId,
    source: blobs.other.source,
    sizeBytes: bytes.length,
    md5,
  });
  const pull = (blobId: BlobId, overrides: Partial<PullRequest> = {}) =>
    blobs.peerFace.pull({ ...requestOf(blobId), ...overrides });

  describe('pulls', () => {
    it('copies a blob with its description', async () => {
      const id = await atOther();
      expect(await pull(id)).toEqual({ sizeBytes: bytes.length, md5 });
      expectSameBytes(await blobs.read(id), bytes);
      const { storedAtMs: _, ...wanted } = (await blobs.other.store.describe(id)) ?? {};
      expect(await blobs.store.describe(id)).toMatchObject(wanted);
    });

    it('copies an empty blob', async () => {
      const id = await atOther(new Uint8Array());
      const md5OfNothing = md5Of(new Uint8Array());
      await pull(id, { sizeBytes: 0, md5: md5OfNothing });
      expectSameBytes(await blobs.read(id), new Uint8Array());
    });

    it('joins pulls of one blob that come at once', async () => {
      const id = await atOther();
      const receipts = await Promise.all([pull(id), pull(id), pull(id)]);
      expect(receipts).toEqual(Array.from({ length: 3 }, () => ({ sizeBytes: bytes.length, md5 })));
      expectSameBytes(await blobs.read(id), bytes);
    });

    it('has nothing to do when the blob is here, even if the source is gone', async () => {
      const id = await blobs.stored(bytes);
      const source = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
      expect(await pull(id, { source })).toEqual({ sizeBytes: bytes.length, md5 });
    });

    it('rejects when the source has no such blob', async () => {
      const id = newBlobId();
      await expectKind(pull(id), 'not-found');
      await blobs.expectNothing(id);
    });

    it('rejects when no source answers', async () => {
      const id = newBlobId();
      const source = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
      await expectKind(pull(id, { source }), 'unavailable');
      await blobs.expectNothing(id);
    });

    it.each([
      ['MD5', { md5: md5Of(Buffer.from('else')) }],
      ['size', { sizeBytes: bytes.length - 1 }],
      ['larger size', { sizeBytes: bytes.length + 1 }],
    ])('keeps no copy whose %s is not the wanted one', async (_, overrides) => {
      const id = await atOther();
      await expectKind(pull(id, overrides), 'corrupt');
      await blobs.expectNothing(id);
    });

    it.each([3, 2 ** 20 + 3, bytes.length - 1])(
      'keeps no copy of a source that is bad at byte %i',
      async (offset) => {
        const id = await atOther();
        await blobs.other.corrupt(id, offset);
        // A bad block in the middle breaks the connection, which cannot tell why.
        await expectKind(pull(id), 'corrupt', 'unavailable');
        await blobs.expectNothing(id);
      },
    );

    if (canCorrupt) {
      it('replaces a damaged copy', async () => {
        const id = await atOther();
        await pull(id);
        await blobs.harness.corrupt?.(id, 2 ** 20 + 1);
        await pull(id);
        expectSameBytes(await blobs.read(id), bytes);
      });
    }

    it('starts nothing for a caller that left before', async () => {
      const id = await atOther();
      await expectKind(blobs.peerFace.pull(requestOf(id), AbortSignal.abort()), 'cancelled');
      await blobs.expectNothing(id);
    });
  });
}
