import { baseNameOf, type NodeId, signBlobPath } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { NamedFile } from '../metadata/metadata-repository.ts';
import { readOrder } from '../replication/read-order.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';

/** How long a signed URL opens its blob. Long enough to follow the redirect; a download that began goes on. */
const urlLifeSeconds = 300;

/**
 * A signed URL at which a node gives the file to anyone: for files of one blob with a copy, stored or cached, on a node that is well and has a public address; of
 * several the one least busy with readers; else undefined.
 */
export async function locateBlob(
  { metadata, nodes, clock, blobUrlKeyNow, caching }: FileServiceDependencies,
  { path, file }: NamedFile,
  avoid?: NodeId,
): Promise<string | undefined> {
  const [blob, second] = file.blobs;
  const blobUrlKey = blobUrlKeyNow?.();
  if (blobUrlKey === undefined || !blob || second) return undefined;
  const replicas = (await metadata.replicasOf([blob.blobId])).get(blob.blobId) ?? [];
  // A node alone cannot go on from another copy: only good ones will do.
  const stored = replicas.filter(({ state }) => state === 'stored');
  const caches = caching?.holdersOf(blob.blobId) ?? [];
  const holders = new Map<NodeId, NodeSnapshot>();
  for (const id of [...stored.map((replica) => replica.nodeId), ...caches]) {
    const node = nodes.find(id);
    const isWell = node?.state === 'up' || node?.state === 'draining';
    if (!node?.publicUrl || !isWell || id === avoid) continue;
    holders.set(id, { ...node, inFlight: node.inFlight + (caching?.readsLately(id) ?? 0) });
  }
  const [nodeId] = readOrder(stored, holders, { caches, isHot: true });
  const publicUrl = nodeId && holders.get(nodeId)?.publicUrl;
  if (!nodeId || !publicUrl) return undefined;
  caching?.givenTo(nodeId);
  caching?.wasRead(file.id);
  const signedPath = signBlobPath(blobUrlKey, {
    blobId: blob.blobId,
    nodeId,
    expiresAtSeconds: Math.floor(clock.now() / 1000) + urlLifeSeconds,
    contentType: file.contentType,
    fileName: baseNameOf(path),
  });
  return publicUrl.replace(/\/+$/, '') + signedPath;
}
