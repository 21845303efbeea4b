import type { NodeAnswer, NodeId, RebalanceAnswer, StatusAnswer } from '@dfs/shared';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { StoreCounts } from '../../metadata/metadata-repository.ts';
import type { RebalanceProgress } from '../../replication/rebalance.ts';
import { secondsFor } from '../../replication/recent-rate.ts';
import { isShortOfRoom, roomIsShort } from '../../replication/room.ts';
import type { Front } from '../http/front.ts';

/** How the store as a whole is, the worst first. Pure. */
export function healthOf(state: {
  readonly recovery: string | undefined;
  readonly counts: StoreCounts;
  readonly nodes: readonly Pick<NodeSnapshot, 'state'>[];
  /** Blobs whose copies are all on nodes that are away. */
  readonly blobsUnreachable: number;
  /** Nodes that are away and whose copies are not wanted elsewhere yet. */
  readonly awaitedNodes: number;
}): StatusAnswer['health'] {
  const { recovery, counts, nodes, blobsUnreachable, awaitedNodes } = state;
  if (recovery !== undefined) return 'recovery';
  const isAnyoneThere = nodes.some((node) => node.state === 'up' || node.state === 'draining');
  const isOut = counts.files > 0 && !isAnyoneThere;
  if (counts.blobsWithoutCopy + blobsUnreachable > 0 || isOut) return 'lost';
  const { wanted, corrupt } = counts.replicas;
  return wanted + corrupt + counts.blobsShort + awaitedNodes > 0 ? 'healing' : 'whole';
}

/** To ask which blobs cannot be reached costs a look at all rows of the nodes that are away. */
const unreachableKeepMs = 5_000;

/** Answers `GET /api/v1/status` and `GET /api/v1/nodes`. */
export class StatusReader {
  readonly #front: Front;
  #unreachable: { readonly key: string; readonly untilMs: number; readonly blobs: number } = {
    key: '',
    untilMs: 0,
    blobs: 0,
  };

  constructor(front: Front) {
    this.#front = front;
  }

  async status(): Promise<StatusAnswer> {
    const { metadata, nodes, repair, journal, version, config } = this.#front;
    const counts = await metadata.counts();
    const snapshots = nodes.snapshots();
    const recovery = nodes.recovery();
    const awaited = repair.awaited();
    const blobsUnreachable = await this.#blobsUnreachable(snapshots);
    const { clusterId, epoch } = metadata.identity();
    return {
      version,
      clusterId,
      epoch,
      uptimeSeconds: Math.floor(process.uptime()),
      health: healthOf({
        recovery,
        counts,
        nodes: snapshots,
        blobsUnreachable,
        awaitedNodes: awaited.size,
      }),
      ...(recovery === undefined ? {} : { recovery }),
      files: counts.files,
      directories: counts.directories,
      bytes: counts.logicalBytes,
      nodes: {
        up: snapshots.filter(({ state }) => state === 'up' || state === 'draining').length,
        all: snapshots.length,
      },
      replicas: counts.replicas,
      blobsShort: counts.blobsShort,
      blobsWithoutCopy: counts.blobsWithoutCopy,
      blobsUnreachable,
      healing: healingOf(counts, repair.rate.perSecond()),
      away: awayOf(snapshots, awaited),
      draining: await this.#draining(snapshots),
      shortOfRoom: snapshots
        .filter((node) => node.state === 'up' && isShortOfRoom(node))
        .map((node) => ({ node: nameOf(node), free: node.freeBytes })),
      roomIsShort: roomIsShort(snapshots, config.copies),
      rebalance: rebalanceAnswerOf(repair.rebalance.progress(snapshots)),
      ...(journal ? { journal: journal() } : {}),
    };
  }

  async nodes(): Promise<NodeAnswer[]> {
    return Promise.all(this.#front.nodes.snapshots().map((node) => this.node(node)));
  }

  async node(node: NodeSnapshot): Promise<NodeAnswer> {
    const { metadata } = this.#front;
    return {
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
      ...(node.isDraining ? { copiesLeft: await metadata.copiesOn(node.id) } : {}),
      dataDir: node.dataDir,
    };
  }

  async #draining(nodes: readonly NodeSnapshot[]): Promise<StatusAnswer['draining']> {
    const { metadata } = this.#front;
    return Promise.all(
      nodes
        .filter((node) => node.isDraining)
        .map(async (node) => {
          return { node: nameOf(node), copiesLeft: await metadata.copiesOn(node.id) };
        }),
    );
  }

  async #blobsUnreachable(nodes: readonly NodeSnapshot[]): Promise<number> {
    const { metadata, clock } = this.#front;
    const idsOf = (some: readonly NodeSnapshot[]) => some.map(({ id }) => id);
    const away = nodes.filter(({ state }) => state === 'down');
    if (away.length === 0) return 0;
    const key = idsOf(away).join();
    const now = clock.monotonic();
    if (this.#unreachable.key === key && now < this.#unreachable.untilMs) {
      return this.#unreachable.blobs;
    }
    const there = nodes.filter(({ state }) => state !== 'down');
    const { blobs } = await metadata.lastCopiesOn(idsOf(away), idsOf(there));
    this.#unreachable = { key, untilMs: clock.monotonic() + unreachableKeepMs, blobs };
    return blobs;
  }
}

const nameOf = ({ id, name }: NodeSnapshot) => ({ id, name });

function healingOf(
  counts: StoreCounts,
  perSecond: { readonly copies: number; readonly bytes: number },
): StatusAnswer['healing'] {
  const { wanted, corrupt } = counts.replicas;
  const left = { copies: wanted + corrupt + counts.blobsShort, bytes: counts.missingBytes };
  const etaSeconds = secondsFor(left, perSecond);
  return {
    ...left,
    bytesPerSecond: Math.round(perSecond.bytes),
    copiesPerSecond: Math.round(perSecond.copies * 10) / 10,
    ...(etaSeconds === undefined ? {} : { etaSeconds }),
  };
}

const awayOf = (
  nodes: readonly NodeSnapshot[],
  awaited: ReadonlyMap<NodeId, number | undefined>,
): StatusAnswer['away'] =>
  nodes
    .filter(({ state }) => state === 'down')
    .map((node) => {
      const replacedInMs = awaited.get(node.id);
      return {
        node: nameOf(node),
        silentFor: Math.round(node.silentForMs / 1000),
        isReplaced: !awaited.has(node.id),
        ...(replacedInMs === undefined ? {} : { replacedIn: Math.ceil(replacedInMs / 1000) }),
      };
    });

export const rebalanceAnswerOf = (progress: RebalanceProgress): RebalanceAnswer => ({
  running: progress.isRunning,
  movedCopies: progress.movedCopies,
  movedBytes: progress.movedBytes,
  spread: Math.round(progress.spread * 1_000) / 1_000,
});
