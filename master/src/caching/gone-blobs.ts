import type { BlobId, NodeId } from '@dfs/shared';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { CacheDirectory } from './cache-directory.ts';
import type { CacheOrders } from './cache-orders.ts';

export interface GoneBlobsDependencies {
  readonly directory: CacheDirectory;
  readonly orders: Pick<CacheOrders, 'drop'>;
  readonly nodes: Pick<NodeDirectory, 'find' | 'recovery' | 'isConfirmed'>;
  readonly metadata: Pick<MetadataRepository, 'replicasOf'>;
}

const pageSize = 500;

/**
 * Has nodes let go of cached blobs that the database no longer knows, however they went. One look over all that nodes reported; nothing is dropped in recovery or before a node
 * confirmed the database. A node that is not there is told at a later look.
 */
export async function dropGoneBlobs(dependencies: GoneBlobsDependencies): Promise<void> {
  const { directory, orders, nodes, metadata } = dependencies;
  if (nodes.recovery() !== undefined || !nodes.isConfirmed()) return;
  const cached = directory.blobs();
  const gone = new Map<NodeId, BlobId[]>();
  for (let start = 0; start < cached.length; start += pageSize) {
    const page = cached.slice(start, start + pageSize);
    const known = await metadata.replicasOf(page);
    for (const blobId of page) {
      if (known.has(blobId)) continue;
      for (const nodeId of directory.holdersOf(blobId))
        gone.set(nodeId, [...(gone.get(nodeId) ?? []), blobId]);
    }
  }
  for (const [nodeId, blobIds] of gone) {
    if (nodes.find(nodeId)?.state !== 'up') continue;
    await orders.drop(nodeId, blobIds).catch(() => undefined);
  }
}
