import type { NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';

export interface PlacementRequest {
  /** How many nodes to name, the primary included. */
  readonly copies: number;
  /** What each must have room for; 0 when unknown. */
  readonly sizeBytes: number;
  /** In [0, 1): one call per choice. */
  readonly random: () => number;
  /** Nodes that must not be named (they failed, or hold a copy already). */
  readonly exclude?: ReadonlySet<NodeId>;
  /** Zones that have a copy already, when copies are added to some. */
  readonly zonesTaken?: ReadonlySet<string>;
}

/**
 * Which nodes get a new blob, primary first: drawn at random without repetition among those that are up and have room, with chances in
 * proportion to free bytes; while a zone without a copy has a candidate, a zone with one is not used. A node that tells no zone
 * is a zone by itself. Fewer than asked when there are not enough. Pure.
 */
export function placeBlob(nodes: readonly NodeSnapshot[], request: PlacementRequest): NodeId[] {
  const chosen: NodeId[] = [];
  const zonesTaken = new Set(request.zonesTaken);
  let candidates = nodes.filter(
    (node) =>
      node.state === 'up' &&
      node.freeBytes >= Math.max(1, request.sizeBytes) &&
      !request.exclude?.has(node.id),
  );
  while (chosen.length < request.copies && candidates.length > 0) {
    const fresh = candidates.filter((node) => !node.zone || !zonesTaken.has(node.zone));
    const node = draw(fresh.length > 0 ? fresh : candidates, request.random());
    chosen.push(node.id);
    if (node.zone) zonesTaken.add(node.zone);
    candidates = candidates.filter((other) => other.id !== node.id);
  }
  return chosen;
}

function draw(nodes: readonly NodeSnapshot[], random: number): NodeSnapshot {
  let rest = random * nodes.reduce((sum, node) => sum + node.freeBytes, 0);
  for (const node of nodes) {
    rest -= node.freeBytes;
    if (rest < 0) return node;
  }
  return nodes.at(-1) as NodeSnapshot;
}
