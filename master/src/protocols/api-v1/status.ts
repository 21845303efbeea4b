import type { NodeAnswer, StatusAnswer } from '@dfs/shared';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { StoreCounts } from '../../metadata/metadata-repository.ts';
import type { Front } from '../http/front.ts';

/** How the store as a whole is, the worst first. Pure. */
export function healthOf(state: {
  readonly recovery: string | undefined;
  readonly counts: StoreCounts;
  readonly nodes: readonly Pick<NodeSnapshot, 'state'>[];
}): StatusAnswer['health'] {
  const { recovery, counts, nodes } = state;
  if (recovery !== undefined) return 'recovery';
  const isAnyoneThere = nodes.some((node) => node.state === 'up' || node.state === 'draining');
  if (counts.blobsWithoutCopy > 0 || (counts.files > 0 && !isAnyoneThere)) return 'lost';
  const { wanted, corrupt } = counts.replicas;
  return wanted + corrupt + counts.blobsShort > 0 ? 'healing' : 'whole';
}

/** `GET /api/v1/status`. */
export async function statusOf({ metadata, nodes, version }: Front): Promise<StatusAnswer> {
  const counts = await metadata.counts();
  const snapshots = nodes.snapshots();
  const recovery = nodes.recovery();
  const { clusterId, epoch } = metadata.identity();
  return {
    version,
    clusterId,
    epoch,
    uptimeSeconds: Math.floor(process.uptime()),
    health: healthOf({ recovery, counts, nodes: snapshots }),
    ...(recovery === undefined ? {} : { recovery }),
    files: counts.files,
    directories: counts.directories,
    bytes: counts.logicalBytes,
    nodes: { up: snapshots.filter((node) => node.state === 'up').length, all: snapshots.length },
    replicas: counts.replicas,
    blobsShort: counts.blobsShort,
    blobsWithoutCopy: counts.blobsWithoutCopy,
  };
}

/** An element of `GET /api/v1/nodes`. */
export const nodeAnswerOf = (node: NodeSnapshot): NodeAnswer => ({
  id: node.id,
  name: node.name,
  url: node.url,
  ...(node.publicUrl === undefined ? {} : { publicUrl: node.publicUrl }),
  ...(node.zone === undefined ? {} : { zone: node.zone }),
  state: node.state,
  capacity: node.capacityBytes,
  used: node.usedBytes,
  free: node.freeBytes,
  silentFor: Math.round(node.silentForMs / 1000),
  dataDir: node.dataDir,
});
