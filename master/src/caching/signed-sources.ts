import {
  type BlobId,
  blobPathOf,
  type NodeId,
  type SignedBlobSource,
  signBlobPath,
} from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { Replica } from '../metadata/metadata-repository.ts';
import { type ReadOrderOptions, readOrder } from '../replication/read-order.ts';

export interface SignedSourcesRequest {
  readonly blobId: BlobId;
  readonly replicas: readonly Replica[];
  readonly nodes: ReadonlyMap<NodeId, NodeSnapshot>;
  readonly order: ReadOrderOptions;
  /** The first of the keyring's `blobUrlKeys`; absent in a cluster without a key. */
  readonly urlKey: Buffer | undefined;
  /** When the URLs end, seconds since 1970. */
  readonly expiresAtSeconds: number;
}

/** Where a node can fetch a blob from, the best first: stored copies and caches in the order of `readOrder`, none that was found bad. Pure. */
export function signedSourcesOf(request: SignedSourcesRequest): SignedBlobSource[] {
  const { blobId, replicas, nodes, order, urlKey, expiresAtSeconds } = request;
  const stored = replicas.filter(({ state }) => state === 'stored');
  return readOrder(stored, nodes, order).flatMap((nodeId) => {
    const url = nodes.get(nodeId)?.url.replace(/\/+$/, '');
    if (url === undefined) return [];
    const path = urlKey ? signBlobPath(urlKey, { blobId, nodeId, expiresAtSeconds }) : '';
    return [{ nodeId, url, query: path.slice(blobPathOf(blobId).length + 1) }];
  });
}
