import type { BlobId, BlobSource, NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { FileRecord } from '../metadata/metadata-repository.ts';
import { readOrder } from '../replication/read-order.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';

/**
 * For each blob of a file the nodes that may give it, from their stored copies or their caches, the best first; an empty list where no node is known that has it.
 */
export async function blobSourcesOf(
  { metadata, nodes, caching }: Pick<FileServiceDependencies, 'metadata' | 'nodes' | 'caching'>,
  { id, blobs }: Pick<FileRecord, 'id' | 'blobs'>,
): Promise<ReadonlyMap<BlobId, readonly BlobSource[]>> {
  const replicas = await metadata.replicasOf(blobs.map(({ blobId }) => blobId));
  const sources = new Map<BlobId, readonly BlobSource[]>();
  for (const { blobId } of blobs) {
    const copies = replicas.get(blobId) ?? [];
    const caches = caching?.holdersOf(blobId) ?? [];
    const holders = new Map<NodeId, NodeSnapshot>();
    for (const nodeId of [...copies.map((copy) => copy.nodeId), ...caches]) {
      const node = nodes.find(nodeId);
      if (node && node.url !== '') holders.set(nodeId, node);
    }
    sources.set(
      blobId,
      readOrder(copies, holders, { caches, isHot: caching?.isHot(id) ?? false }).map((nodeId) => ({
        nodeId,
        url: (holders.get(nodeId) as NodeSnapshot).url.replace(/\/+$/, ''),
      })),
    );
  }
  return sources;
}
