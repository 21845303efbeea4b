import type { BlobId, NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies } from '../metadata/metadata-repository.ts';

/** A copy on its way from a fuller node to an emptier one. */
export interface Move {
  readonly blobId: BlobId;
  readonly from: NodeId;
  readonly to: NodeId;
  readonly sizeBytes: number;
}

/** The fullest and the emptiest node may differ by this share of their room before anything is moved. */
export const spreadMax = 0.05;

/** How full nodes will be when what is on its way has arrived. */
class Fullness {
  readonly #nodes: ReadonlyMap<NodeId, NodeSnapshot>;
  readonly #changes = new Map<NodeId, number>();

  constructor(nodes: readonly NodeSnapshot[], moving: readonly Move[]) {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    for (const move of moving) this.move(move);
  }

  move({ from, to, sizeBytes }: Move): void {
    this.#changes.set(from, (this.#changes.get(from) ?? 0) - sizeBytes);
    this.#changes.set(to, (this.#changes.get(to) ?? 0) + sizeBytes);
  }

  /** From 0 to 1, of the room that blobs may take there, with so many bytes more. */
  of(id: NodeId, moreBytes = 0): number {
    const node = this.#nodes.get(id);
    if (!node) return 1;
    const used = node.usedBytes + (this.#changes.get(id) ?? 0) + moreBytes;
    const room = node.usedBytes + node.freeBytes;
    return room <= 0 ? 1 : Math.max(0, used / room);
  }

  hasRoomFor(id: NodeId, bytes: number): boolean {
    const freeBytes = this.#nodes.get(id)?.freeBytes ?? 0;
    return freeBytes - (this.#changes.get(id) ?? 0) >= bytes;
  }
}

/** Nodes that give and take: up, and not to be emptied anyway. */
const takingPart = (nodes: readonly NodeSnapshot[]) =>
  nodes.filter((node) => node.state === 'up' && !node.isDraining);

/** By how much the fullest node is fuller than the emptiest, from 0 to 1. Pure. */
export function spreadOf(nodes: readonly NodeSnapshot[], moving: readonly Move[] = []): number {
  const part = takingPart(nodes);
  const fullness = new Fullness(part, moving);
  const shares = part.map((node) => fullness.of(node.id));
  return shares.length === 0 ? 0 : Math.max(...shares) - Math.min(...shares);
}

/** The node from which to move next: the fullest that is too much fuller than the emptiest and has not given all it can. Pure. */
export function chooseDonor(
  nodes: readonly NodeSnapshot[],
  moving: readonly Move[],
  exhausted: ReadonlySet<NodeId>,
): NodeId | undefined {
  const part = takingPart(nodes);
  const fullness = new Fullness(part, moving);
  const emptiest = Math.min(...part.map((node) => fullness.of(node.id)));
  const [donor] = part
    .filter((node) => !exhausted.has(node.id))
    .filter((node) => fullness.of(node.id) - emptiest > spreadMax)
    .sort((a, b) => fullness.of(b.id) - fullness.of(a.id));
  return donor?.id;
}

export interface MovePlan {
  readonly moves: readonly Move[];
  /** How many of the blobs were looked at: the limit, or a donor that is empty enough, may have ended it before the last. */
  readonly looked: number;
  /** How many of them are on their way already, and may be looked at again. */
  readonly busy: number;
}

/** What bounds one plan. */
interface PlanLimits {
  readonly donor: NodeId;
  readonly moving: readonly Move[];
  /** Blobs whose move was given up: not again in this run. */
  readonly hopeless?: ReadonlySet<BlobId>;
  readonly movesMax: number;
  readonly bytesMax: number;
}

/**
 * Which of these blobs of a donor move where, at most so many and so many bytes (but one at least): to the emptiest node that has no row of it, has room,
 * stays less full than the donor, and is in no zone that makes the copies' zones fewer. Blobs that lack a copy or have one too many are left
 * to repair. Pure.
 */
export function planMoves(
  blobs: readonly BlobCopies[],
  nodes: readonly NodeSnapshot[],
  options: PlanLimits & {
    /** Nodes that have given all they can. */
    readonly exhausted: ReadonlySet<NodeId>;
  },
): MovePlan {
  const { donor, moving, exhausted } = options;
  const part = takingPart(nodes);
  const zones = zonesOf(nodes);
  const fullness = new Fullness(part, moving);
  const givers = part.map(({ id }) => id).filter((id) => !exhausted.has(id));
  return planEach(blobs, options, fullness, {
    // Others are fuller by now: it is for them to give.
    isOver: () => {
      const fullest = Math.max(...givers.map((id) => fullness.of(id)));
      return fullness.of(donor) < fullest - spreadMax / 2;
    },
    receiverOf: (blob) => receiverOf(blob, donor, part, zones, fullness),
  });
}

/** Nodes that may hold copies which share a zone while there is another zone: those with a zone, where nodes that take part are in several. Pure. */
export function zoneDonors(nodes: readonly NodeSnapshot[]): NodeId[] {
  const part = takingPart(nodes);
  // A node that tells no zone is one by itself, as in placement.
  const zones = new Set(part.map(({ id, zone }) => zone || id));
  return zones.size < 2 ? [] : part.filter(({ zone }) => zone).map(({ id }) => id);
}

/**
 * Which of these blobs of a donor move to another zone, within the same limits: those with another copy in the donor's zone, to the emptiest node with room in a zone that
 * has no copy. Pure.
 */
export function planSpread(
  blobs: readonly BlobCopies[],
  nodes: readonly NodeSnapshot[],
  options: PlanLimits,
): MovePlan {
  const { donor, moving } = options;
  const part = takingPart(nodes);
  const zones = zonesOf(nodes);
  const fullness = new Fullness(part, moving);
  return planEach(blobs, options, fullness, {
    isOver: () => false,
    receiverOf: (blob) => {
      if (!isSettled(blob)) return undefined;
      const holders = new Set(blob.replicas.map(({ nodeId }) => nodeId));
      const others = [...holders].filter((id) => id !== donor).map((id) => zones.get(id));
      const donorZone = zones.get(donor);
      if (!holders.has(donor) || donorZone === undefined || !others.includes(donorZone)) {
        return undefined;
      }
      const [receiver] = part
        .filter(({ id }) => !holders.has(id) && fullness.hasRoomFor(id, blob.sizeBytes))
        .filter(({ zone }) => !zone || (zone !== donorZone && !others.includes(zone)))
        .sort((a, b) => fullness.of(a.id) - fullness.of(b.id));
      return receiver?.id;
    },
  });
}

const zonesOf = (nodes: readonly NodeSnapshot[]): ReadonlyMap<NodeId, string | undefined> =>
  new Map(nodes.map((node) => [node.id, node.zone || undefined]));

const isSettled = ({ replicas, copiesWanted }: BlobCopies) =>
  replicas.length === copiesWanted && replicas.every(({ state }) => state === 'stored');

function planEach(
  blobs: readonly BlobCopies[],
  { donor, moving, hopeless, movesMax, bytesMax }: PlanLimits,
  fullness: Fullness,
  choice: {
    readonly isOver: () => boolean;
    readonly receiverOf: (blob: BlobCopies) => NodeId | undefined;
  },
): MovePlan {
  const onTheirWay = new Set(moving.map((move) => move.blobId));
  const moves: Move[] = [];
  let bytes = 0;
  let busy = 0;
  for (const [looked, blob] of blobs.entries()) {
    if (moves.length >= movesMax || bytes >= bytesMax || choice.isOver()) {
      return { moves, looked, busy };
    }
    if (onTheirWay.has(blob.blobId)) {
      busy += 1;
      continue;
    }
    const to = hopeless?.has(blob.blobId) ? undefined : choice.receiverOf(blob);
    if (to === undefined) continue;
    const move = { blobId: blob.blobId, from: donor, to, sizeBytes: blob.sizeBytes };
    moves.push(move);
    fullness.move(move);
    bytes += blob.sizeBytes;
  }
  return { moves, looked: blobs.length, busy };
}

function receiverOf(
  blob: BlobCopies,
  donor: NodeId,
  nodes: readonly NodeSnapshot[],
  zones: ReadonlyMap<NodeId, string | undefined>,
  fullness: Fullness,
): NodeId | undefined {
  const { sizeBytes, replicas } = blob;
  if (!isSettled(blob) || sizeBytes === 0) return undefined;
  const holders = new Set(replicas.map(({ nodeId }) => nodeId));
  if (!holders.has(donor)) return undefined;
  const otherZones = new Set(
    [...holders].filter((id) => id !== donor).flatMap((id) => zones.get(id) ?? []),
  );
  // A zone that already holds two copies loses nothing.
  const donorZone = zones.get(donor);
  const isDouble = donorZone !== undefined && otherZones.has(donorZone);
  const donorAfter = fullness.of(donor, -sizeBytes);
  const [receiver] = nodes
    .filter(({ id }) => !holders.has(id) && fullness.hasRoomFor(id, sizeBytes))
    .filter(({ zone }) => isDouble || !zone || !otherZones.has(zone))
    // Much emptier, or copies would go round in circles between nodes that are alike.
    .filter(({ id }) => fullness.of(donor) - fullness.of(id) > spreadMax)
    .filter(({ id }) => fullness.of(id, sizeBytes) <= donorAfter)
    .sort((a, b) => fullness.of(a.id) - fullness.of(b.id));
  return receiver?.id;
}
