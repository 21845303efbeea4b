import type { NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';

/** Nodes that keep the journal, where there are so many. */
export const keepersMax = 3;
/** Fewer that have all of it are worth a word to people, where there are as many nodes. */
export const keepersMin = 2;

export interface KeeperChoice {
  readonly nodes: readonly Pick<
    NodeSnapshot,
    'id' | 'zone' | 'state' | 'isDraining' | 'freeBytes'
  >[];
  readonly keepers: readonly NodeId[];
  /** Of the keepers, those that have failed for so long that another one shall take their place. */
  readonly failing: ReadonlySet<NodeId>;
  /** Of the keepers, those that have all changes. */
  readonly current: ReadonlySet<NodeId>;
  /** Newest change of this epoch that a node has already; absent: nobody asked it yet. */
  readonly known: ReadonlyMap<NodeId, number>;
}

/**
 * Which nodes shall keep the journal: those that do, as long as they can; others as they are needed, zones apart, those first that have most of it. One that is leaving
 * stays until another takes its place, and one may be exchanged for the sake of the zones when all are well. Pure.
 */
export function chooseKeepers(choice: KeeperChoice): NodeId[] {
  const { nodes, keepers, failing } = choice;
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const there = keepers.filter((id) => byId.has(id));
  const isDraining = (node: Pick<NodeSnapshot, 'state' | 'isDraining'> | undefined) =>
    node?.state === 'draining' || node?.isDraining === true;
  const chosen = there.filter((id) => !failing.has(id) && !isDraining(byId.get(id)));
  const leaving = there.filter((id) => !chosen.includes(id));
  const zoneOf = (id: NodeId) => byId.get(id)?.zone ?? '';
  const candidates = nodes.filter(
    (node) =>
      node.state === 'up' &&
      !isDraining(node) &&
      !there.includes(node.id) &&
      choice.known.has(node.id),
  );
  const takeBest = (taken: readonly NodeId[]) => {
    const zones = new Set(taken.map(zoneOf));
    const [best] = candidates
      .filter(({ id }) => !taken.includes(id))
      .sort(
        (a, b) =>
          Number(zones.has(zoneOf(a.id))) - Number(zones.has(zoneOf(b.id))) ||
          (choice.known.get(b.id) ?? 0) - (choice.known.get(a.id) ?? 0) ||
          b.freeBytes - a.freeBytes ||
          (a.id < b.id ? -1 : 1),
      );
    return best?.id;
  };
  while (chosen.length < keepersMax) {
    const best = takeBest(chosen);
    if (best === undefined) break;
    chosen.push(best);
  }
  chosen.push(...leaving.slice(0, keepersMax - chosen.length));
  if (leaving.length > 0 || !chosen.every((id) => choice.current.has(id))) return chosen;
  return withZonesApart(chosen, { zoneOf, takeBest });
}

function withZonesApart(
  chosen: readonly NodeId[],
  {
    zoneOf,
    takeBest,
  }: { zoneOf: (id: NodeId) => string; takeBest: (taken: readonly NodeId[]) => NodeId | undefined },
): NodeId[] {
  const doubled = chosen.findLast((id) =>
    chosen.some((other) => other !== id && zoneOf(other) === zoneOf(id)),
  );
  const others = chosen.filter((id) => id !== doubled);
  const better = doubled === undefined ? undefined : takeBest(chosen);
  const isApart = better !== undefined && !chosen.some((id) => zoneOf(id) === zoneOf(better));
  return isApart ? [...others, better] : [...chosen];
}
