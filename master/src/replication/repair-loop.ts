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
    /** Pause between two looks, ms; 2 s by default. */
    readonly everyMs?: number;
  };
}

/** Blobs of a lost node are looked at again this often: an upload that began before may have named it since, and room may have come free. */
const lookAgainMs = 10 * 60_000;
/** A page of a scan is followed by a pause this many times as long as it took, so that users' requests go first. */
const pausePerWork = 1;

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
  /** Lost nodes, and when their blobs are to be looked at again, by the monotonic clock. */
  readonly #lost = new Map<NodeId, number>();
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
    if (this.#handOut.reported(attempts)) this.wake();
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
    if (!this.#mayDecide(snapshots)) return undefined;
    const judged = this.#withPatience(snapshots);
    this.#noticeLost(judged);
    const startedAtMs = clock.monotonic();
    const facts = this.#facts();
    const hasMoreShort = await this.#shortBlobs.step(judged, facts);
    const scanned = await this.#scans.step(judged, facts);
    if (scanned) await this.#handOut.handOutNow(scanned, judged);
    if (!hasMoreShort && this.#scans.isIdle) return undefined;
    return (clock.monotonic() - startedAtMs) * pausePerWork;
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
}
