import { type BlobId, type Clock, inventoryKeyOf, type NodeId } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type {
  BlobCopies,
  BlobCopiesPage,
  MetadataRepository,
  Replica,
} from '../metadata/metadata-repository.ts';
import {
  chooseDonor,
  type Move,
  type MovePlan,
  planMoves,
  planSpread,
  spreadOf,
  zoneDonors,
} from './rebalance-plan.ts';
import { planRepair, type RepairFacts } from './repair-plan.ts';

export interface RebalanceDependencies {
  readonly metadata: Pick<MetadataRepository, 'blobsOnNode' | 'changeCopies' | 'replicasOf'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How far evening out has come; of the last run, when none is running. */
export interface RebalanceProgress {
  readonly isRunning: boolean;
  readonly movedCopies: number;
  readonly movedBytes: number;
  /** By how much the fullest node is fuller than the emptiest, from 0 to 1. */
  readonly spread: number;
}

/** Copies on their way at a time: gently. */
const movesMax = 64;
const bytesMax = 256 * 2 ** 20;
const blobsPerPage = 300;
/** What nodes say of their room is so old at most: a move counts so much longer. */
const settleMs = 10_000;
/** A move that does not come about in this time is given up. */
const moveMaxMs = 10 * 60_000;
const failuresMax = 3;
/** A run in which so many moves were given up ends: they are remembered. */
const hopelessMax = 10_000;
/** A step looks at so many pages in which nothing is to move: most blobs are where they belong. */
const pagesPerStep = 20;

interface MoveUnderWay extends Move {
  readonly blob: BlobCopies;
  readonly startedAtMs: number;
  /** The copy it moves away from is on its way out. */
  isDropping?: boolean;
  /** When that copy was gone. */
  doneAtMs?: number;
}

/** A search over the blobs of several nodes for what to move. */
class Search {
  /** Where it goes on, by donor. */
  readonly cursors = new Map<NodeId, string>();
  readonly exhausted = new Set<NodeId>();
  /** Donors of whose blobs some moved, or were moving, since the search was at the beginning. */
  readonly #fruitful = new Set<NodeId>();

  /** A page of a donor was looked at as far as the plan says. */
  advance(donor: NodeId, { blobs, next }: BlobCopiesPage, plan: MovePlan): void {
    if (plan.moves.length > 0 || plan.busy > 0) this.#fruitful.add(donor);
    const last = blobs[plan.looked - 1];
    if (plan.looked < blobs.length) {
      if (last) this.cursors.set(donor, inventoryKeyOf(last.blobId));
      return;
    }
    if (next !== undefined) {
      this.cursors.set(donor, next);
      return;
    }
    // The end. What could not move for the moment may the next time.
    this.cursors.delete(donor);
    if (!this.#fruitful.delete(donor)) this.exhausted.add(donor);
  }
}

/**
 * Moves copies that share a zone to zones that have none, then from fuller nodes to emptier ones until they differ little: each is made on the emptier node first, and dropped from the fuller one by the
 * rules for surplus copies. Waits while a node is away, and ends by itself. Lives in memory: after a restart of the master it is to be asked for again, and what was
 * on its way then is a surplus like any other.
 */
export class Rebalance {
  readonly #deps: RebalanceDependencies;
  readonly #moves = new Map<BlobId, MoveUnderWay>();
  /** For copies that share a zone, and then for what makes nodes uneven. */
  #zoneSearch = new Search();
  #evenSearch = new Search();
  /** Blobs whose move was given up in this run. */
  readonly #hopeless = new Set<BlobId>();
  #isRunning = false;
  #movedCopies = 0;
  #movedBytes = 0;

  constructor(dependencies: RebalanceDependencies) {
    this.#deps = dependencies;
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** True while copies are on their way, also after a run was stopped. */
  get isBusy(): boolean {
    return this.#isRunning || this.#moves.size > 0;
  }

  /** Copies that are to leave their nodes, for the repair plan. */
  get leaving(): ReadonlyMap<BlobId, NodeId> {
    const underWay = [...this.#moves.values()].filter((move) => move.doneAtMs === undefined);
    return new Map(underWay.map(({ blobId, from }) => [blobId, from]));
  }

  progress(nodes: readonly NodeSnapshot[]): RebalanceProgress {
    return {
      isRunning: this.#isRunning,
      movedCopies: this.#movedCopies,
      movedBytes: this.#movedBytes,
      spread: spreadOf(nodes),
    };
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#movedCopies = 0;
    this.#movedBytes = 0;
    this.#zoneSearch = new Search();
    this.#evenSearch = new Search();
    this.#hopeless.clear();
    this.#deps.logger.info('rebalancing begins');
  }

  /** No further copies are moved; those on their way arrive. */
  stop(): void {
    if (this.#isRunning) this.#deps.logger.info('rebalancing was stopped');
    this.#isRunning = false;
  }

  /** Looks after what is on its way and begins more. Gives blobs whose copies are to be made now. */
  async step(nodes: readonly NodeSnapshot[], facts: RepairFacts): Promise<readonly BlobCopies[]> {
    await this.#settle(nodes, facts);
    if (!this.#isRunning) return [];
    // What is missing because of a node that is away is more urgent than an even look.
    if (!nodes.every(({ state }) => state === 'up' || state === 'draining')) return [];
    for (let page = 0; page < pagesPerStep && this.#isRunning; page += 1) {
      const begun = await this.#begin(nodes);
      if (begun === undefined || begun.length > 0) return begun ?? [];
    }
    return [];
  }

  async #settle(nodes: readonly NodeSnapshot[], facts: RepairFacts): Promise<void> {
    if (this.#moves.size === 0) return;
    const { metadata, clock } = this.#deps;
    const now = clock.monotonic();
    const rows = await metadata.replicasOf([...this.#moves.keys()]);
    const ready: BlobCopies[] = [];
    for (const move of [...this.#moves.values()]) {
      const replicas = rows.get(move.blobId) ?? [];
      const verdict = judge(move, replicas, now);
      if (verdict === 'ended') this.#moves.delete(move.blobId);
      else if (verdict === 'done') this.#done(move, now);
      else if (verdict === 'dropping') move.isDropping = true;
      else if (verdict === 'failed') await this.#giveUp(move);
      else if (verdict === 'arrived') ready.push({ ...move.blob, replicas });
    }
    const changes = planRepair(ready, nodes, { ...facts, leaving: this.leaving });
    if (changes.length > 0) await metadata.changeCopies(changes, clock.now());
  }

  /** Begins to move what one page has to move; undefined when there is no page to look at now. */
  async #begin(nodes: readonly NodeSnapshot[]): Promise<readonly BlobCopies[] | undefined> {
    const { metadata, clock } = this.#deps;
    const moving = [...this.#moves.values()];
    const underWay = moving.filter((move) => move.doneAtMs === undefined && !move.isDropping);
    const bytes = underWay.reduce((sum, move) => sum + move.sizeBytes, 0);
    if (underWay.length >= movesMax || bytes >= bytesMax) return undefined;
    const zoneDonor = zoneDonors(nodes).find((id) => !this.#zoneSearch.exhausted.has(id));
    const search = zoneDonor === undefined ? this.#evenSearch : this.#zoneSearch;
    const donor = zoneDonor ?? chooseDonor(nodes, moving, search.exhausted);
    if (donor === undefined) {
      if (moving.length === 0) this.#end(nodes);
      return undefined;
    }
    const after = search.cursors.get(donor);
    const page = await metadata.blobsOnNode(donor, {
      ...(after === undefined ? {} : { after }),
      limit: blobsPerPage,
    });
    const limits = {
      donor,
      moving,
      hopeless: this.#hopeless,
      movesMax: movesMax - underWay.length,
      bytesMax: bytesMax - bytes,
    };
    const plan =
      zoneDonor === undefined
        ? planMoves(page.blobs, nodes, { ...limits, exhausted: search.exhausted })
        : planSpread(page.blobs, nodes, limits);
    search.advance(donor, page, plan);
    const { moves } = plan;
    if (moves.length === 0) return [];
    const wants = moves.map(({ blobId, to }) => ({ kind: 'want' as const, blobId, nodeId: to }));
    // Before the rows: from then on the plan must not take the new copies for needless ones.
    const byId = new Map(page.blobs.map((blob) => [blob.blobId, blob]));
    for (const move of moves) {
      const blob = byId.get(move.blobId) as BlobCopies;
      this.#moves.set(move.blobId, { ...move, blob, startedAtMs: clock.monotonic() });
    }
    await metadata.changeCopies(wants, clock.now());
    const wanted = await metadata.replicasOf(moves.map(({ blobId }) => blobId));
    return moves.map(({ blobId }) => ({
      ...(byId.get(blobId) as BlobCopies),
      replicas: wanted.get(blobId) ?? [],
    }));
  }

  #done(move: MoveUnderWay, now: number): void {
    if (move.doneAtMs !== undefined) return;
    move.doneAtMs = now;
    this.#movedCopies += 1;
    this.#movedBytes += move.sizeBytes;
  }

  async #giveUp({ blobId, to }: MoveUnderWay): Promise<void> {
    this.#moves.delete(blobId);
    this.#hopeless.add(blobId);
    if (this.#hopeless.size >= hopelessMax && this.#isRunning) {
      this.#deps.logger.warn('rebalancing ends: too many copies could not be moved');
      this.#isRunning = false;
    }
    await this.#deps.metadata.changeCopies(
      [{ kind: 'unwant', blobId, nodeId: to }],
      this.#deps.clock.now(),
    );
  }

  #end(nodes: readonly NodeSnapshot[]): void {
    this.#isRunning = false;
    const { logger } = this.#deps;
    const spreadPercent = Math.round(spreadOf(nodes) * 100);
    logger.info('rebalancing ended', {
      movedCopies: this.#movedCopies,
      movedBytes: this.#movedBytes,
      spreadPercent,
    });
  }
}

/** waiting: the new copy is not there yet · arrived: the old one may go · dropping: it goes · done: it is gone · ended: nothing more to say of it. */
function judge(
  move: MoveUnderWay,
  replicas: readonly Replica[],
  now: number,
): 'waiting' | 'arrived' | 'dropping' | 'done' | 'failed' | 'ended' {
  if (move.doneAtMs !== undefined) return now - move.doneAtMs < settleMs ? 'waiting' : 'ended';
  const from = replicas.find(({ nodeId }) => nodeId === move.from);
  const to = replicas.find(({ nodeId }) => nodeId === move.to);
  if (replicas.length === 0) return 'ended';
  if (!to) return 'ended';
  if (to.state === 'stored') {
    if (!from) return 'done';
    if (from.state === 'dropping') return 'dropping';
    return now - move.startedAtMs > moveMaxMs ? 'ended' : 'arrived';
  }
  const isHopeless = to.attempts >= failuresMax || now - move.startedAtMs > moveMaxMs;
  return isHopeless ? 'failed' : 'waiting';
}
