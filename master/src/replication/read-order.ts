import type { NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { Replica } from '../metadata/metadata-repository.ts';

/** Nodes are as good as equally busy while none has more pending reads than so many times those of the least busy one. */
const busierBy = 1.5;

const rank: Readonly<Record<NodeSnapshot['state'], number>> = {
  up: 0,
  draining: 0,
  suspect: 1,
  down: 2,
  removed: 3,
};

export interface ReadOrderOptions {
  /** Asked after all others. */
  readonly avoid?: NodeId | undefined;
  /** Nodes that have the blob in their caches. */
  readonly caches?: readonly NodeId[];
  /** The file is read so much that all who have it share the load. */
  readonly isHot?: boolean;
  /** How many readers a node was given lately. */
  readonly readsLately?: (id: NodeId) => number;
}

/**
 * Which copies to ask, best first: stored ones on nodes that are up, the primary before the others and those by how busy they are, then what such nodes have in their
 * caches; then suspect nodes, then silent ones, as a last hope. Of a hot file the least busy of them comes first, whatever it holds: of
 * nodes that are as good as equally busy the one that was given the fewest readers lately, so that the primary is first only while none is busy or was. A node to avoid comes after them, and copies that were found bad come last of all. Nodes that are not known are left out. Pure.
 */
export function readOrder(
  replicas: readonly Replica[],
  nodes: ReadonlyMap<NodeId, NodeSnapshot>,
  { avoid, caches = [], isHot = false, readsLately = () => 0 }: ReadOrderOptions = {},
): NodeId[] {
  const choices = replicas.flatMap((replica) => {
    const node = nodes.get(replica.nodeId);
    const mayBeRead = replica.state === 'stored' || replica.state === 'corrupt';
    if (!mayBeRead || !node) return [];
    // No bad byte of it is ever sent, and most of it may be right: better than nothing.
    const isBad = replica.state === 'corrupt';
    return [{ node, isBad, kind: replica.role === 'primary' ? 0 : 1 }];
  });
  for (const nodeId of caches) {
    const node = nodes.get(nodeId);
    // A node gives what it stores before what it caches.
    const isChosen = choices.some((choice) => choice.node.id === nodeId);
    if (node && !isChosen) choices.push({ node, isBad: false, kind: 2 });
  }
  const pending = choices.map(({ node }) =>
    rank[node.state] === 0 ? node.inFlight : Number.POSITIVE_INFINITY,
  );
  const busyFrom = Math.min(...pending) * busierBy;
  return choices
    .map(({ node, isBad, kind }) => {
      const shared = [Number(node.inFlight > busyFrom), readsLately(node.id), node.inFlight, kind];
      const load = isHot ? shared : [kind, node.inFlight];
      const isAvoided = Number(node.id === avoid);
      return { id: node.id, key: [Number(isBad), isAvoided, rank[node.state], ...load] };
    })
    .sort((a, b) => compareKeys(a.key, b.key))
    .map(({ id }) => id);
}

function compareKeys(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, position) => value !== b[position]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
