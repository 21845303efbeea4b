import { type BlobId, newBlobId, newNodeId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { CacheDirectory } from './cache-directory.ts';

const report = (...blobs: BlobId[]) => ({ bytes: 10, count: blobs.length, blobs, reads: [] });

describe('CacheDirectory', () => {
  it('believes the last word of each node', () => {
    const directory = new CacheDirectory();
    const [one, other] = [newNodeId(), newNodeId()];
    const [a, b, c] = [newBlobId(), newBlobId(), newBlobId()];
    directory.heard(one, report(a, b));
    directory.heard(other, report(b));
    expect(directory.holdersOf(b)).toEqual([one, other]);
    directory.heard(one, report(a, c));
    expect([a, b, c].map((blob) => directory.holdersOf(blob))).toEqual([[one], [other], [one]]);
    expect(directory.usageOf(one)).toEqual({ bytes: 10, count: 2 });
    directory.heard(one, undefined);
    expect([a, b, c].map((blob) => directory.holdersOf(blob))).toEqual([[], [other], []]);
    expect(directory.usageOf(one)).toBeUndefined();
    expect(directory.blobs()).toEqual([b]);
  });

  it('forgets what a read found missing until the node names it again', () => {
    const directory = new CacheDirectory();
    const [node, blob] = [newNodeId(), newBlobId()];
    directory.heard(node, report(blob));
    directory.lost(node, blob);
    expect(directory.holds(node, blob)).toBe(false);
    directory.heard(node, report(blob));
    expect(directory.holds(node, blob)).toBe(true);
  });

  it('holds no more of a node than a heartbeat may name', () => {
    const directory = new CacheDirectory();
    directory.heard(newNodeId(), report(...Array.from({ length: 1_500 }, newBlobId)));
    expect(directory.blobs()).toHaveLength(1_000);
  });
});
