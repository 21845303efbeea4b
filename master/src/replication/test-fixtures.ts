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
