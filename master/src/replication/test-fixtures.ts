import { type NodeId, newBlobId, newNodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, Replica } from '../metadata/metadata-repository.ts';

/** A node that is up and has room, for tests. */
export function makeNode(overrides: Partial<NodeSnapshot> = {}): NodeSnapshot {
  const id = overrides.id ?? newNodeId();
  return {
    id,
    name: id.slice(-4),
    url: `http://127.0.0.1/${id}`,
    state: 'up',
    dataDir: '/data',
    capacityBytes: 1_000_000,
    usedBytes: 0,
    freeBytes: 1_000_000,
    inFlight: 0,
    silentForMs: 0,
    ...overrides,
  };
}

/** A blob of three wanted copies with a row per given node: `stored` replicas but for what the row says. */
export function makeBlob(
  rows: readonly (Partial<Replica> & { readonly nodeId: NodeId })[],
  overrides: Partial<BlobCopies> = {},
): BlobCopies {
  const blobId = overrides.blobId ?? newBlobId();
  return {
    blobId,
    sizeBytes: 1_000,
    md5: 'd41d8cd98f00b204e9800998ecf8427e',
    copiesWanted: 3,
    path: '/file.txt',
    replicas: rows.map((row, index) => ({
      blobId,
      role: index === 0 ? 'primary' : 'replica',
      state: 'stored',
      attempts: 0,
      ...row,
    })),
    ...overrides,
  };
}

/** Numbers in [0, 1) that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
