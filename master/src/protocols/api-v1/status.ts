import type { NodeAnswer, NodeId, RebalanceAnswer, StatusAnswer } from '@dfs/shared';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { StoreCounts } from '../../metadata/metadata-repository.ts';
import type { GracePeriod } from '../../replication/grace-period.ts';
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
  /** Further blobs whose copies are all on nodes that are away or suspect. */
  readonly blobsInDoubt: number;
  /** Nodes that are away and whose copies are not wanted elsewhere yet. */
  readonly awaitedNodes: number;
}): StatusAnswer['health'] {
  const { recovery, counts, nodes, blobsUnreachable, blobsInDoubt, awaitedNodes } = state;
  if (recovery !== undefined) return 'recovery';
  const isAnyoneThere = nodes.some((node) => node.state === 'up' || node.state === 'draining');
  const isOut = counts.files > 0 && !isAnyoneThere;
  if (counts.blobsWithoutCopy + blobsUnreachable > 0 || isOut) return 'lost';
  const { wanted, corrupt } = counts.replicas;
  const inDoubt = blobsInDoubt + awaitedNodes;
  return wanted + corrupt + counts.blobsShort + inDoubt > 0 ? 'healing' : 'whole';
}

/** To ask which blobs are on some nodes only costs a look at all rows of these. */
const lookKeepMs = 5_000;

/** Answers `GET /api/v1/status` and `GET /api/v1/nodes`. */
export class StatusReader {
  readonly #front: Front;
  /** Answers that cost a look at all rows of some nodes. */
  readonly #looks = new Map<string, { readonly untilMs: number; readonly answer: unknown }>();

  constructor(front: Front) {
    this.#front = front;
  }

  async status(): Promise<StatusAnswer> {
    const { metadata, nodes, repair, clockDoubt, journal, version, config } = this.#front;
    const counts = await metadata.counts();
    const snapshots = nodes.snapshots();
    const recovery = nodes.recovery();
    const awaited = repair.awaited();
    const away = snapshots.filter(({ state }) => state === 'down');
    const there = snapshots.filter(({ state }) => state === 'up' || state === 'draining');
    const hasDoubt = away.length + there.length < snapshots.length;
    const blobsUnreachable = await this.#blobsOnlyOn(snapshots, away);
    const notThere = snapshots.filter((node) => !there.includes(node));
    const blobsNotThere = hasDoubt ? await this.#blobsOnlyOn(snapshots, notThere) : 0;
    // The two looks may be of different moments.
    const blobsInDoubt = Math.max(0, blobsNotThere - blobsUnreachable);
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
        blobsInDoubt,
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
      blobsInDoubt,
      healing: healingOf(counts, await this.#toMove(snapshots), repair.rate.perSecond()),
      away: awayOf(snapshots, awaited),
      draining: await this.#draining(snapshots),
      shortOfRoom: snapshots
        .filter((node) => node.state === 'up' && isShortOfRoom(node))
        .map((node) => ({ node: nameOf(node), free: node.freeBytes })),
      roomIsShort: roomIsShort(snapshots, config.copies),
      rebalance: rebalanceAnswerOf(repair.rebalance.progress(snapshots)),
      ...(journal ? { journal: journal() } : {}),
      ...clockAnswerOf(clockDoubt?.()),
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
      ...listenerOf(node),
      ...(node.zone === undefined ? {} : { zone: node.zone }),
      state: node.state,
      capacity: node.capacityBytes,
      used: node.usedBytes,
      free: node.freeBytes,
      ...(node.told === undefined
        ? {}
        : { cached: node.told.cachedBytes, cachedBlobs: node.told.cachedCount }),
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

  /** Copies that are only on drained nodes so far and not yet to be made elsewhere. */
  async #toMove(nodes: readonly NodeSnapshot[]) {
    const drained = nodes.filter((node) => node.isDraining).map(({ id }) => id);
    if (drained.length === 0) return { copies: 0, bytes: 0 };
    const { metadata } = this.#front;
    return this.#lookAt(`move ${drained.join()}`, () => metadata.copiesToMove(drained));
  }

  /** Blobs that are stored on some of these nodes and on no other one. */
  async #blobsOnlyOn(
    nodes: readonly NodeSnapshot[],
    some: readonly NodeSnapshot[],
  ): Promise<number> {
    if (some.length === 0) return 0;
    const { metadata } = this.#front;
    const ids = some.map(({ id }) => id);
    const others = nodes.filter((node) => !some.includes(node)).map(({ id }) => id);
    const look = () => metadata.lastCopiesOn(ids, others);
    return (await this.#lookAt(`only ${ids.join()}`, look)).blobs;
  }

  async #lookAt<Answer>(key: string, look: () => Promise<Answer>): Promise<Answer> {
    const { clock } = this.#front;
    const now = clock.monotonic();
    for (const [old, { untilMs }] of this.#looks) if (untilMs <= now) this.#looks.delete(old);
    const known = this.#looks.get(key);
    if (known) return known.answer as Answer;
    const answer = await look();
    this.#looks.set(key, { answer, untilMs: clock.monotonic() + lookKeepMs });
    return answer;
  }
}

const nameOf = ({ id, name }: NodeSnapshot) => ({ id, name });

function clockAnswerOf(doubt: ReturnType<GracePeriod['doubt']>): Pick<StatusAnswer, 'clock'> {
  if (!doubt) return {};
  return 'restMs' in doubt
    ? { clock: { trustedIn: Math.ceil(doubt.restMs / 1000) } }
    : { clock: { aheadOfNodes: Math.round(doubt.aheadOfNodesMs / 1000) } };
}

function healingOf(
  counts: StoreCounts,
  toMove: { readonly copies: number; readonly bytes: number },
  perSecond: { readonly copies: number; readonly bytes: number },
): StatusAnswer['healing'] {
  const { wanted, corrupt } = counts.replicas;
  const left = {
    copies: wanted + corrupt + counts.blobsShort + toMove.copies,
    bytes: counts.missingBytes + toMove.bytes,
  };
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

/** At the host by which others reach the node. */
function listenerOf({ told, publicUrl, url }: NodeSnapshot): { listenerUrl?: string } {
  if (told?.publicPort === undefined) return {};
  const { protocol, hostname } = new URL(publicUrl ?? url);
  return { listenerUrl: `${protocol}//${hostname}:${told.publicPort}` };
}
