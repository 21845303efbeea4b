import type { Clock, JournalAnswer, NodeId } from '@dfs/shared';
import type { JournalKeeper, Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import { chooseKeepers, keepersMin } from './choose-keepers.ts';
import { JournalPages } from './journal-pages.ts';
import { KeeperLink, type ShippedMetadata, type SnapshotLimits } from './keeper-link.ts';
import { standingOf } from './keeper-standing.ts';
import { LagClock } from './lag-clock.ts';

export type JournalNodes = Pick<
  NodeDirectory,
  'snapshots' | 'find' | 'recovery' | 'isConfirmed' | 'onChange'
> & { journalOf(id: NodeId): JournalKeeper };

export interface JournalShipperDependencies {
  readonly metadata: ShippedMetadata &
    Pick<MetadataRepository, 'onJournal' | 'pruneJournal'> & {
      readonly restore: Pick<MetadataRepository['restore'], 'unfinished'>;
    };
  readonly nodes: JournalNodes;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: Partial<ShipperLimits>;
}

export interface ShipperLimits extends SnapshotLimits {
  /** What was committed in so many ms goes to the keepers together. */
  readonly gatherMs: number;
  /** Keepers are chosen and changes forgotten this often, ms. */
  readonly everyMs: number;
  /** A keeper that failed for so long gives its place to another one, ms. */
  readonly replaceAfterMs: number;
  /** Nodes without a journal are not asked to keep one before nodes had this time to come back, ms. */
  readonly settleMs: number;
}

const defaultLimits: ShipperLimits = {
  afterBytes: 64 * 2 ** 20,
  afterTimes: 4,
  gatherMs: 200,
  everyMs: 1_000,
  replaceAfterMs: 60_000,
  settleMs: 10_000,
};

/** A keeper that lacks a change for longer is not counted as having all. */
const currentWithinMs = 10_000;
/** Transactions that forget changes, one after the other, in one round. */
const prunesMax = 20;
const closeWithinMs = 2_000;

/**
 * Has the journal kept on nodes: chooses who keeps it, sends each what it lacks soon after it was committed, and forgets in the database what every keeper has in a
 * snapshot. It sends nothing in recovery, and nothing any more once a node turns out to have a newer journal than this database: another master rules.
 */
export class JournalShipper {
  readonly #deps: JournalShipperDependencies;
  readonly #limits: ShipperLimits;
  readonly #pages: JournalPages;
  readonly #lag: LagClock;
  readonly #loop: BackgroundLoop;
  readonly #startedAtMs: number;
  #links: KeeperLink[] = [];
  readonly #leaving = new Set<Promise<void>>();
  /** Newest change of this epoch that nodes had when they were asked. */
  readonly #known = new Map<NodeId, number>();
  #knownEpoch = 0;
  /** Holds for the epoch in which it was found: a restore begins another one. */
  #problem: { readonly epoch: number; readonly text: string } | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #stopListening: (() => void)[] = [];
  #snapshotTurn: Promise<void> = Promise.resolve();
  #prunedThrough = 0;

  constructor(dependencies: JournalShipperDependencies) {
    const { metadata, clock, logger, limits } = dependencies;
    this.#deps = dependencies;
    this.#limits = { ...defaultLimits, ...limits };
    this.#pages = new JournalPages(metadata);
    this.#lag = new LagClock(clock);
    this.#startedAtMs = clock.monotonic();
    this.#loop = new BackgroundLoop({
      name: 'keeping the journal on nodes',
      everyMs: this.#limits.everyMs,
      step: (signal) => this.step(signal).then(() => undefined),
      logger,
    });
  }

  start(): void {
    const { metadata, nodes } = this.#deps;
    this.#stopListening = [
      metadata.onJournal(() => this.#gather()),
      nodes.onChange(({ id }) => {
        this.#known.delete(id);
        this.#links.find((link) => link.id === id)?.doubt();
        this.#loop.wake();
      }),
    ];
    this.#loop.start();
    this.#loop.wake();
  }

  /** Ships what was committed, for a moment, and ends. */
  async stop(): Promise<void> {
    for (const stop of this.#stopListening) stop();
    clearTimeout(this.#gathering);
    await this.#loop.stop();
    await Promise.all([
      ...this.#leaving,
      ...this.#links.map((link) => link.close({ withinMs: closeWithinMs })),
    ]);
  }

  /** One round: who keeps the journal, and what the database may forget. */
  async step(signal: AbortSignal): Promise<void> {
    // A restore took over what nodes had beyond this database: a new epoch.
    if (this.#deps.metadata.identity().epoch !== this.#knownEpoch) this.#problem = undefined;
    if (!this.#mayShip()) return;
    this.#lag.reached(this.#deps.metadata.journalNumber());
    await this.#askAround(signal);
    this.#choose();
    await this.#prune(signal);
  }

  /** How the journal is kept, for people and for metrics. */
  state(): JournalAnswer {
    const { metadata, nodes, clock } = this.#deps;
    const number = metadata.journalNumber();
    return {
      number,
      keepers: this.#links.map((link) => {
        const lagMs = this.#lag.lagMs(link.last);
        const { base, failure } = link;
        return {
          id: link.id,
          name: nodes.find(link.id)?.name ?? link.id,
          last: link.last,
          lagRecords: Math.max(0, number - link.last),
          lagSeconds: Math.round(lagMs) / 1_000,
          current: this.#isCurrent(link),
          ...(base
            ? {
                snapshot: {
                  from: base.from,
                  bytes: base.sizeBytes,
                  ageSeconds: Math.max(0, Math.round((clock.now() - base.storedAtMs) / 1_000)),
                },
              }
            : {}),
          ...(failure ? { error: messageOf(failure.error) } : {}),
        };
      }),
      ...(this.#problemText === undefined ? {} : { problem: this.#problemText }),
    };
  }

  get #problemText(): string | undefined {
    const { epoch } = this.#deps.metadata.identity();
    return this.#problem?.epoch === epoch ? this.#problem.text : undefined;
  }

  #mayShip(): boolean {
    const { nodes, metadata } = this.#deps;
    return (
      this.#problemText === undefined &&
      nodes.recovery() === undefined &&
      nodes.isConfirmed() &&
      metadata.restore.unfinished === undefined
    );
  }

  /** Called at each commit: what comes within a moment is sent together. */
  #gather(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#lag.reached(this.#deps.metadata.journalNumber());
      for (const link of this.#links) link.wake();
    }, this.#limits.gatherMs).unref();
  }

  /** What nodes have that nobody asked yet: those with most of this journal shall go on keeping it. */
  async #askAround(signal: AbortSignal): Promise<void> {
    const { nodes, metadata } = this.#deps;
    const { epoch } = metadata.identity();
    if (epoch !== this.#knownEpoch) {
      // A restore: its numbers may be lower.
      this.#known.clear();
      this.#prunedThrough = 0;
      this.#knownEpoch = epoch;
    }
    const unasked = nodes
      .snapshots()
      .filter(({ id, state }) => state === 'up' && !this.#known.has(id));
    await Promise.all(
      unasked.slice(0, 16).map(async ({ id, name }) => {
        // It will be asked again; that it does not answer is known by its state.
        const status = await nodes
          .journalOf(id)
          .journalStatus(signal)
          .catch(() => undefined);
        if (!status) return;
        const standing = standingOf(status, { epoch, extent: await metadata.journalExtent() });
        if (standing.kind === 'ahead') this.#giveUp(name, standing.why);
        this.#known.set(id, status.epoch === epoch ? status.last : 0);
      }),
    );
  }

  #choose(): void {
    const { nodes } = this.#deps;
    const snapshots = nodes.snapshots();
    const isSettled =
      this.#elapsedMs() > this.#limits.settleMs ||
      snapshots.every(({ id, state }) => state === 'down' || this.#known.has(id));
    const known = new Map([...this.#known].filter(([, last]) => isSettled || last > 0));
    const chosen = chooseKeepers({
      nodes: snapshots,
      keepers: this.#links.map(({ id }) => id),
      failing: this.#idsOf(({ failure }) => (failure?.forMs ?? 0) > this.#limits.replaceAfterMs),
      current: this.#idsOf((link) => this.#isCurrent(link)),
      known,
    });
    const leaving = this.#links.filter(({ id }) => !chosen.includes(id));
    this.#links = this.#links.filter(({ id }) => chosen.includes(id));
    for (const id of chosen) {
      if (!this.#links.some((link) => link.id === id)) this.#links.push(this.#begin(id));
    }
    for (const link of leaving) {
      const left = link.close({ withinMs: 0 }).finally(() => this.#leaving.delete(left));
      this.#leaving.add(left);
    }
  }

  #begin(id: NodeId): KeeperLink {
    const { nodes, metadata, clock, logger } = this.#deps;
    const name = nodes.find(id)?.name ?? id;
    const link = new KeeperLink({
      id,
      name,
      keeper: nodes.journalOf(id),
      metadata,
      pages: this.#pages,
      mayShip: () => this.#mayShip(),
      isReachable: () => nodes.find(id)?.state !== 'down',
      inTurn: (work) => this.#inTurn(work),
      onAhead: (why) => this.#giveUp(name, why),
      limits: this.#limits,
      clock,
      logger,
    });
    logger.info('a node keeps the journal', { node: name, id });
    link.start();
    return link;
  }

  /** Only what every keeper has in a snapshot that it could be rebuilt from. */
  async #prune(signal: AbortSignal): Promise<void> {
    const { metadata, nodes } = this.#deps;
    const enough = Math.min(keepersMin, nodes.snapshots().length);
    if (this.#links.length < enough || this.#links.length === 0) return;
    this.#lag.forget(Math.min(...this.#links.map(({ last }) => last)));
    const through = Math.min(
      ...this.#links.map(({ base, isUnderstood }) => (isUnderstood ? (base?.from ?? 0) : 0)),
    );
    for (let round = 0; through > this.#prunedThrough; round += 1) {
      if (signal.aborted || round === prunesMax) return;
      if ((await metadata.pruneJournal(through)) === 0) this.#prunedThrough = through;
    }
  }

  #giveUp(node: string, why: string): void {
    if (this.#problemText !== undefined) return;
    const text = `The node ${node} has a newer journal than this database (${why}), so nothing is shipped any more.`;
    this.#problem = { epoch: this.#deps.metadata.identity().epoch, text };
    this.#deps.logger.error(text, {
      hint: 'Another master rules this cluster, or this database is an old copy: stop this master.',
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#snapshotTurn.then(work);
    this.#snapshotTurn = done.catch(() => undefined);
    return done;
  }

  #isCurrent(link: KeeperLink): boolean {
    return link.isUnderstood && this.#lag.lagMs(link.last) < currentWithinMs;
  }

  #idsOf(holds: (link: KeeperLink) => boolean): Set<NodeId> {
    return new Set(this.#links.filter(holds).map(({ id }) => id));
  }

  #elapsedMs(): number {
    return this.#deps.clock.monotonic() - this.#startedAtMs;
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
