import type { NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { Replica } from '../metadata/metadata-repository.ts';

const rank: Readonly<Record<NodeSnapshot['state'], number>> = {
  up: 0,
  draining: 0,
  suspect: 1,
  down: 2,
  removed: 3,
};

/**
 * Which copies to ask, best first: stored ones on nodes that are up, the primary before the others and those by how busy they are; then
 * suspect nodes, then silent ones, as a last hope. A node to avoid comes after them, and copies that were found bad come last of all. Nodes that are not
 * known are left out. Pure.
 */
export function readOrder(
  replicas: readonly Replica[],
  nodes: ReadonlyMap<NodeId, NodeSnapshot>,
  avoid?: NodeId,
): NodeId[] {
  const choices = replicas.flatMap((replica) => {
    const node = nodes.get(replica.nodeId);
    const mayBeRead = replica.state === 'stored' || replica.state === 'corrupt';
    if (!mayBeRead || !node) return [];
    const key = [
      // No bad byte of it is ever sent, and most of it may be right: better than nothing.
      Number(replica.state === 'corrupt'),
      Number(node.id === avoid),
      rank[node.state],
      Number(replica.role !== 'primary'),
      node.inFlight,
    ];
    return [{ id: node.id, key }];
  });
  return choices.sort((a, b) => compareKeys(a.key, b.key)).map((choice) => choice.id);
}

function compareKeys(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, position) => value !== b[position]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
