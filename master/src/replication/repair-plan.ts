import type { BlobId, NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import { livingCopiesMax } from '../metadata/blob-state.ts';
import type { BlobCopies, CopyChange, Replica } from '../metadata/metadata-repository.ts';
import { isConfirmed, isLost, isReachable } from './node-silence.ts';
import { placeBlob } from './placement.ts';

export interface RepairFacts {
  /** A node silent for this long is not waited for any more. */
  readonly replaceAfterMs: number;
  /** Nodes whose inventory was compared with the rows since they last came: only their copies justify dropping another one. */
  readonly verified: ReadonlySet<NodeId>;
  /** True while nothing may be decided: more than half of the nodes fell silent, or not all were heard yet. */
  readonly isOnHold: boolean;
  /** In [0, 1). */
  readonly random: () => number;
  /** Copies that rebalancing moves elsewhere: each is dropped once enough others are stored. */
  readonly leaving?: ReadonlyMap<BlobId, NodeId>;
}

/** A row with what is known of its node; undefined: the node was removed. */
interface Copy extends Replica {
  readonly node: NodeSnapshot | undefined;
}

/** Nodes whose free bytes shrink while copies are planned onto them. */
type Room = { -readonly [Key in keyof NodeSnapshot]: NodeSnapshot[Key] };

/**
 * What has to change about where these blobs should be: copies wanted anew for those that are missing or on lost nodes, primaries moved off lost nodes, and
 * copies beyond the wanted number dropped. Rows of stored copies are never forgotten: a lost node may come back. Pure.
 */
export function planRepair(
  blobs: readonly BlobCopies[],
  nodes: readonly NodeSnapshot[],
  facts: RepairFacts,
): CopyChange[] {
  if (facts.isOnHold) return [];
  const rooms = new Map<NodeId, Room>(nodes.map((node) => [node.id, { ...node }]));
  return blobs.flatMap((blob) => planBlob(blob, rooms, facts));
}

/**
 * True when a blob has, or will have, more copies than wanted: where `planRepair` says nothing on it, something keeps it from being trimmed for now, such as
 * a holder that is in doubt. Pure.
 */
export function hasSurplus(
  blob: BlobCopies,
  nodes: ReadonlyMap<NodeId, NodeSnapshot>,
  facts: RepairFacts,
): boolean {
  const there = blob.replicas.filter(
    ({ nodeId, state }) => state !== 'dropping' && !isLost(nodes.get(nodeId), facts.replaceAfterMs),
  );
  return there.length > blob.copiesWanted;
}

function planBlob(
  blob: BlobCopies,
  rooms: ReadonlyMap<NodeId, Room>,
  facts: RepairFacts,
): CopyChange[] {
  const copies = blob.replicas.map((replica) => ({ ...replica, node: rooms.get(replica.nodeId) }));
  const hasSource = copies.some((copy) => copy.state === 'stored' && isReachable(copy.node));
  // Without a copy to read, a new row would only wait with the old ones, and be one too many when a holder returns.
  if (!hasSource) return [];
  const primary = choosePrimary(copies, facts);
  const promotion: CopyChange[] =
    primary === undefined || primary.role === 'primary'
      ? []
      : [{ kind: 'promote', blobId: blob.blobId, nodeId: primary.nodeId }];
  const changes = [...promotion, ...planRank(blob, copies, facts)];
  const expected = copies.filter((copy) => countsAsCopy(copy, facts));
  const missing = blob.copiesWanted - expected.length;
  if (missing > 0) return [...changes, ...planMissing(blob, missing, { copies, rooms, facts })];
  return [...changes, ...planSurplus(blob, copies, { primary, facts })];
}

/** Rows of copies to be made say how many others live, so that the most endangered are made first; nodes were lost or came back since. */
function planRank(blob: BlobCopies, copies: readonly Copy[], facts: RepairFacts): CopyChange[] {
  const living = copies.filter((copy) => {
    return copy.state === 'stored' && !isLost(copy.node, facts.replaceAfterMs);
  });
  const rank = Math.min(livingCopiesMax, living.length);
  const isRight = ({ livingCopies = rank }: Copy) => livingCopies === rank;
  return copies.every(isRight) ? [] : [{ kind: 'rank', blobId: blob.blobId }];
}

/** True when this copy is to be elsewhere: its node is drained, or rebalancing moves it. */
const isLeaving = (copy: Copy, facts: RepairFacts) =>
  copy.node?.state === 'draining' ||
  copy.node?.isDraining === true ||
  facts.leaving?.get(copy.blobId) === copy.nodeId;

/** Copies that are there or can be expected to come about where they are. */
const countsAsCopy = (copy: Copy, facts: RepairFacts) =>
  copy.state !== 'dropping' &&
  !isLeaving(copy, facts) &&
  !isLost(copy.node, facts.replaceAfterMs) &&
  !isRefused(copy);

/** A copy that its node had no room for is better made elsewhere. */
const isRefused = (copy: Copy) =>
  copy.state === 'wanted' && (copy.lastError?.startsWith('no-room') ?? false);

/** The stored primary where it can stay, else the stored copy to take the role, if any is on a node that is up. */
function choosePrimary(copies: readonly Copy[], facts: RepairFacts): Copy | undefined {
  const primary = copies.find((copy) => copy.role === 'primary' && copy.state === 'stored');
  const mayStay =
    primary?.node && !isLeaving(primary, facts) && !isLost(primary.node, facts.replaceAfterMs);
  if (mayStay) return primary;
  const heirs = copies.filter(
    (copy) => copy.state === 'stored' && copy.node?.state === 'up' && !isLeaving(copy, facts),
  );
  return heirs[Math.floor(facts.random() * heirs.length)];
}

function planMissing(
  blob: BlobCopies,
  missing: number,
  context: { copies: readonly Copy[]; rooms: ReadonlyMap<NodeId, Room>; facts: RepairFacts },
): CopyChange[] {
  const { copies, rooms, facts } = context;
  const { blobId } = blob;
  const zonesTaken = copies
    .filter((copy) => countsAsCopy(copy, facts))
    .flatMap((copy) => copy.node?.zone ?? []);
  const targets = placeBlob([...rooms.values()], {
    copies: missing,
    sizeBytes: blob.sizeBytes,
    random: facts.random,
    exclude: new Set(copies.map((copy) => copy.nodeId)),
    zonesTaken: new Set(zonesTaken),
  });
  for (const target of targets) {
    const room = rooms.get(target);
    if (room) room.freeBytes -= blob.sizeBytes;
  }
  // A row that never became durable moves with its replacement; one on a removed node waits for nothing. That a copy is
  // bad must be remembered until it is dropped: its node would list it as a good one when it returns.
  const gone = copies.filter(
    (copy) => copy.node === undefined && (copy.state === 'wanted' || copy.state === 'corrupt'),
  );
  const replaced = copies.filter(
    (copy) =>
      copy.state === 'wanted' &&
      copy.node &&
      (isRefused(copy) || isLost(copy.node, facts.replaceAfterMs)),
  );
  const forgotten = [...gone, ...replaced.slice(0, targets.length)];
  return [
    ...targets.map((nodeId) => ({ kind: 'want', blobId, nodeId }) as const),
    ...forgotten.map(({ nodeId }) => ({ kind: 'unwant', blobId, nodeId }) as const),
  ];
}

function planSurplus(
  blob: BlobCopies,
  copies: readonly Copy[],
  { primary, facts }: { primary: Copy | undefined; facts: RepairFacts },
): CopyChange[] {
  const { blobId, copiesWanted } = blob;
  const stored = copies.filter(
    (copy) => copy.state === 'stored' && isConfirmed(copy.node) && facts.verified.has(copy.nodeId),
  );
  const staying = stored.filter((copy) => copy.node?.state === 'up' && !isLeaving(copy, facts));
  const pending = copies.filter((copy) => copy.state === 'wanted' || copy.state === 'corrupt');
  const promising = pending.filter((copy) => countsAsCopy(copy, facts));
  const needless = staying.length + promising.length - copiesWanted;
  const unwanted = [
    ...pending.filter((copy) => !promising.includes(copy)),
    ...chooseLeastPromising(promising, needless),
  ].filter((copy) => copy.state === 'wanted');
  const forgotten = unwanted.map(({ nodeId }) => ({ kind: 'unwant', blobId, nodeId }) as const);
  if (staying.length < copiesWanted) return forgotten;
  const kept = chooseKept(staying, copiesWanted, primary);
  const confirmedNodes = kept.map((copy) => copy.nodeId);
  // A bad copy that nobody needs is deleted rather than made anew.
  const corrupt = pending.filter((copy) => copy.state === 'corrupt');
  const surplus = [...corrupt, ...stored.filter((copy) => !kept.includes(copy))];
  return [
    ...forgotten,
    ...surplus.map(({ nodeId }) => {
      return { kind: 'drop-surplus', blobId, nodeId, confirmedNodes } as const;
    }),
  ];
}

/** Copies on their way that can be given up: first those whose target does not take them now. A bad copy there is made anew first of all. */
function chooseLeastPromising(pending: readonly Copy[], count: number): Copy[] {
  const rank = (copy: Copy) => [
    Number(copy.state === 'corrupt'),
    Number(copy.node?.state === 'up'),
    -copy.attempts,
  ];
  const ranked = pending.toSorted((a, b) => compareRanks(rank(a), rank(b)));
  return ranked.slice(0, Math.max(0, count));
}

/** The copies to keep: the primary, then zones without one, then nodes with more room. */
function chooseKept(copies: readonly Copy[], count: number, primary: Copy | undefined): Copy[] {
  const kept: Copy[] = [];
  const zones = new Set<string>();
  const rank = (copy: Copy) => [
    Number(copy !== primary),
    Number(copy.node?.zone !== undefined && zones.has(copy.node.zone)),
    -(copy.node?.freeBytes ?? 0),
  ];
  while (kept.length < count) {
    const rest = copies.filter((copy) => !kept.includes(copy));
    const [best] = rest
      .map((copy) => ({ copy, rank: rank(copy) }))
      .sort((a, b) => compareRanks(a.rank, b.rank));
    if (!best) return kept;
    kept.push(best.copy);
    if (best.copy.node?.zone) zones.add(best.copy.node.zone);
  }
  return kept;
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((value, position) => value !== b[position]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
