import type { Clock, NodeId, ReplicationAttempt } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from './background-loop.ts';
import type { InventoryCheck } from './inventory-check.ts';
import { JobHandOut } from './job-hand-out.ts';
import { NodeScans } from './node-scans.ts';
import { isLost, isMajoritySilent } from './node-silence.ts';
import { NodeVerification } from './node-verification.ts';
import { Rebalance } from './rebalance.ts';
import { RecentRate } from './recent-rate.ts';
import type { RepairFacts } from './repair-plan.ts';
import type { ReplicationQueue } from './replication-queue.ts';
import { ShortBlobs } from './short-blobs.ts';
import { StandstillWatch } from './standstill-watch.ts';

export interface RepairLoopDependencies {
  readonly metadata: Pick<
    MetadataRepository,
    | 'dueReplications'
    | 'recordReplications'
    | 'blobsShortOfCopies'
    | 'blobsOnNode'
    | 'changeCopies'
    | 'noteLostNodes'
    | 'replicasOf'
  >;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'onChange' | 'removed' | 'recovery'>;
  readonly queue: ReplicationQueue;
  readonly inventories: Pick<InventoryCheck, 'check' | 'onFindings'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly config: {
    /** Silence after which a node is down, ms. */
    readonly nodeTimeoutMs: number;
    /** How long a node is down before its copies are made anew elsewhere, ms. */
    readonly replaceAfterMs: number;
    /** What the copies that this loop has made may take per second together; absent: as much as they can. */
    readonly repairBytesPerSecond?: number | undefined;
    /** Pause between two looks, ms; 2 s by default. */
    readonly everyMs?: number;
  };
}

/** Blobs of a lost node are looked at again this often: an upload that began before may have named it since, and room may have come free. */
const lookAgainMs = 10 * 60_000;
/** A page of a scan is followed by a pause this many times as long as it took, so that users' requests go first. */
const pausePerWork = 1;
/** The blobs of a node that is drained are gone through again so long after the last time, to drop what was made elsewhere since; */
const drainAgainMs = 3_000;
/** up to so long when nothing was made meanwhile. */
const drainAgainMaxMs = 60_000;
/** Pauses while something waits for the limit of bytes, and while copies are moved. */
const throttledPauseMs = 200;
const rebalancePauseMs = 500;

/**
 * Compares what copies should exist with what nodes are there, and hands out jobs for what is missing: whatever a queue, a worker or a node lost is found
 * again here. Decides nothing right after a start or a standstill, in recovery, and while more than half of the nodes are silent.
 */
export class RepairLoop {
  readonly #deps: RepairLoopDependencies;
  readonly #loop: BackgroundLoop;
  readonly #standstill: StandstillWatch;
  readonly #handOut: JobHandOut;
  readonly #shortBlobs: ShortBlobs;
  readonly #scans: NodeScans;
  readonly #verification: NodeVerification;
  readonly rebalance: Rebalance;
  /** Of copies that were made, those of new uploads among them. */
  readonly rate: RecentRate;
  /** Lost nodes, and when their blobs are to be looked at again, by the monotonic clock. */
  readonly #lost = new Map<NodeId, number>();
  /** Nodes that are drained, and when their blobs are to be looked at again, by the monotonic clock. */
  readonly #draining = new Map<NodeId, { readonly atMs: number; readonly pauseMs: number }>();
  #copiesStored = 0;
  #copiesStoredAtDrain = 0;
  readonly #startedAtMs: number;
  #stopListening: (() => void) | undefined;
  #isSettled = false;
  #isOnHold = false;
  #holdEndedAtMs = Number.NEGATIVE_INFINITY;

  constructor(dependencies: RepairLoopDependencies) {
    const { metadata, clock, logger, config } = dependencies;
    this.#deps = dependencies;
    this.#startedAtMs = clock.monotonic();
    this.#standstill = new StandstillWatch(clock);
    this.#handOut = new JobHandOut(dependencies);
    this.#shortBlobs = new ShortBlobs(metadata, clock);
    this.#scans = new NodeScans(metadata, clock);
    this.rate = new RecentRate(clock);
    this.rebalance = new Rebalance({ metadata, clock, logger });
    this.#verification = new NodeVerification({
      inventories: dependencies.inventories,
      clock,
      logger,
      onVerified: (id) => {
        this.#scans.request(id);
        // It may take what there was no room for.
        for (const lost of this.#lost.keys()) this.#scans.request(lost);
        this.wake();
      },
    });
    const everyMs = config.everyMs ?? 2_000;
    const step = () => this.step();
    this.#loop = new BackgroundLoop({ name: 'repair', everyMs, step, logger });
  }

  start(): void {
    this.#standstill.start();
    this.listen();
    this.#loop.start();
  }

  /** Hears of nodes and inventories; part of `start`. */
  listen(): void {
    const { nodes, inventories } = this.#deps;
    this.#stopListening = nodes.onChange((change) => {
      this.#verification.nodeChanged(change);
      if (change.state === 'up') this.#handOut.forgetTarget(change.id);
      this.wake();
    });
    // A copy nobody counted on may be one too many; one that is missing is due at once.
    inventories.onFindings((id, { found, missing, damaged }) => {
      if (found > 0) this.#scans.request(id);
      if (found + missing + damaged > 0) this.wake();
    });
  }

  /** Looks soon: something happened that may need a copy. */
  wake(): void {
    this.#loop.wake();
  }

  /** Looks soon at all blobs that have a row on this node. */
  scan(id: NodeId): void {
    this.#scans.request(id);
    this.wake();
  }

  /** Outcomes of attempts were committed. */
  reported(attempts: readonly ReplicationAttempt[]): void {
    const stored = attempts.filter(({ outcome }) => outcome === 'stored');
    this.#copiesStored += stored.length;
    const bytes = stored.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
    if (stored.length > 0) this.rate.add({ copies: stored.length, bytes });
    if (this.#handOut.reported(attempts)) this.wake();
  }

  /**
   * Nodes that are away and whose copies are not yet wanted elsewhere, and in how many ms they will be: undefined while nothing is decided, because too many
   * are away, and 0 while it is being done.
   */
  awaited(): ReadonlyMap<NodeId, number | undefined> {
    const nodes = this.#deps.nodes.snapshots();
    const down = this.#withPatience(nodes).filter(({ state }) => state === 'down');
    return new Map(
      down
        .filter(({ id }) => this.#isOnHold || !this.#lost.has(id) || this.#scans.isScanning(id))
        .map(({ id, silentForMs }) => {
          const restMs = Math.max(0, this.#lostAfterMs - silentForMs);
          return [id, this.#isOnHold ? undefined : restMs];
        }),
    );
  }

  /** Rows of copies went otherwise than by this loop: blobs may be short of some. */
  lookForShort(): void {
    this.#shortBlobs.lookAgain();
    this.wake();
  }

  /** Resolves when the step and the checks that run have ended. */
  async stop(): Promise<void> {
    this.#stopListening?.();
    this.#standstill.stop();
    await Promise.all([this.#loop.stop(), this.#verification.stop()]);
  }

  /** Resolves when no inventory is being compared. */
  verified(): Promise<void> {
    return this.#verification.idle();
  }

  /** Says that this process is alive; a timer does it, and a test that moves its clock. */
  tick(): void {
    this.#standstill.tick();
  }

  /** One look. Resolves with the pause until the next one, ms, when it should be shorter than usual. */
  async step(): Promise<number | undefined> {
    const { nodes, clock, logger } = this.#deps;
    if (this.#standstill.takeStandstill()) {
      logger.warn('this process stood still: what it knew of nodes is forgotten');
      return undefined;
    }
    if (nodes.recovery() !== undefined) return undefined;
    const snapshots = nodes.snapshots();
    this.#verification.start(snapshots);
    await this.#handOut.handOutDue(snapshots);
    if (!this.#mayDecide(snapshots)) return this.#pauseMs();
    const judged = this.#withPatience(snapshots);
    this.#noticeLost(judged);
    this.#noticeDraining(judged);
    const startedAtMs = clock.monotonic();
    const facts = this.#facts();
    const hasMoreShort = await this.#shortBlobs.step(judged, facts);
    const scanned = await this.#scans.step(judged, facts);
    if (scanned) await this.#handOut.handOutAgain(scanned, judged);
    const moved = await this.rebalance.step(judged, facts);
    if (moved.length > 0) await this.#handOut.handOutNow(moved, judged);
    if (!hasMoreShort && this.#scans.isIdle) return this.#pauseMs();
    return (clock.monotonic() - startedAtMs) * pausePerWork;
  }

  /** Until the next look, when no work was left over. */
  #pauseMs(): number | undefined {
    if (this.#handOut.isThrottled) return throttledPauseMs;
    return this.rebalance.isBusy ? rebalancePauseMs : undefined;
  }

  /** The whole time that a node is waited for: until it counts as down, and then until it is replaced. */
  get #lostAfterMs(): number {
    const { nodeTimeoutMs, replaceAfterMs } = this.#deps.config;
    return nodeTimeoutMs + replaceAfterMs;
  }

  #facts(): RepairFacts {
    return {
      replaceAfterMs: this.#lostAfterMs,
      verified: this.#verification.verified,
      isOnHold: false,
      random: this.#deps.random,
      leaving: this.rebalance.leaving,
    };
  }

  #mayDecide(nodes: readonly NodeSnapshot[]): boolean {
    const { clock, config, logger } = this.#deps;
    const allAreUp = nodes.length > 0 && nodes.every((node) => node.state === 'up');
    this.#isSettled ||= allAreUp || clock.monotonic() - this.#startedAtMs >= config.nodeTimeoutMs;
    const isMajorityGone = isMajoritySilent(nodes, config.nodeTimeoutMs);
    if (isMajorityGone !== this.#isOnHold) {
      if (isMajorityGone) {
        logger.error(
          'more than half of the nodes fell silent at once: nothing is made anew or dropped until one returns',
        );
      } else {
        logger.info('enough nodes are back: repair goes on');
        this.#holdEndedAtMs = clock.monotonic();
      }
      this.#isOnHold = isMajorityGone;
    }
    return this.#isSettled && !isMajorityGone;
  }

  /**
   * Those who fell silent together return one after the other: from the first return on, the rest is waited for once more in full, or the second of three
   * to come would find all its copies made anew.
   */
  #withPatience(nodes: readonly NodeSnapshot[]): readonly NodeSnapshot[] {
    const sinceMs = this.#deps.clock.monotonic() - this.#holdEndedAtMs;
    if (sinceMs >= this.#lostAfterMs) return nodes;
    return nodes.map((node) =>
      node.state === 'down' ? { ...node, silentForMs: Math.min(node.silentForMs, sinceMs) } : node,
    );
  }

  #noticeLost(nodes: readonly NodeSnapshot[]): void {
    const now = this.#deps.clock.monotonic();
    const lost = new Map(
      nodes.filter((node) => isLost(node, this.#lostAfterMs)).map((node) => [node.id, node]),
    );
    for (const id of this.#lost.keys()) if (!lost.has(id)) this.#lost.delete(id);
    const { metadata, nodes: directory } = this.#deps;
    // Before the scans below, which rank the copies to be made by it.
    metadata.noteLostNodes(new Set([...lost.keys(), ...directory.removed()]));
    for (const [id, { name }] of lost) {
      const lookAtMs = this.#lost.get(id);
      if (lookAtMs !== undefined && now < lookAtMs) continue;
      if (lookAtMs === undefined) {
        const message = 'a node is lost: its copies are made anew where there is room';
        this.#deps.logger.warn(message, { node: name });
      }
      this.#lost.set(id, now + lookAgainMs);
      this.#scans.request(id);
    }
  }

  #noticeDraining(nodes: readonly NodeSnapshot[]): void {
    const now = this.#deps.clock.monotonic();
    const draining = nodes.filter(({ isDraining, state }) => isDraining && state !== 'down');
    const ids = new Set(draining.map(({ id }) => id));
    for (const id of this.#draining.keys()) {
      if (ids.has(id)) continue;
      this.#draining.delete(id);
      // No longer drained: what was made elsewhere meanwhile is one too many.
      if (nodes.some((node) => node.id === id)) this.#scans.request(id);
    }
    const isMoving = this.#copiesStored !== this.#copiesStoredAtDrain;
    for (const id of ids) {
      const last = this.#draining.get(id);
      const dueAtMs =
        last === undefined ? now : isMoving ? last.atMs + drainAgainMs : last.atMs + last.pauseMs;
      if (this.#scans.isScanning(id) || now < dueAtMs) continue;
      const pauseMs =
        isMoving || !last ? drainAgainMs : Math.min(drainAgainMaxMs, last.pauseMs * 2);
      this.#draining.set(id, { atMs: now, pauseMs });
      this.#copiesStoredAtDrain = this.#copiesStored;
      this.#scans.request(id);
    }
  }
}
