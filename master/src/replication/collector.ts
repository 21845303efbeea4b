import type { BlobId, Clock, NodeId } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from './background-loop.ts';
import { BlobDropper } from './blob-dropper.ts';
import type { GracePeriod } from './grace-period.ts';
import type { InventoryCheck } from './inventory-check.ts';
import { roomIsShort, shortGraceMs } from './room.ts';
import { StandstillWatch } from './standstill-watch.ts';
import { type RunningUploads, UploadRenewal } from './upload-renewal.ts';

/** Blobs that this process works with: they are not collected, whatever the database says. */
export interface BlobsHeld extends RunningUploads {
  readingNow(): ReadonlySet<BlobId>;
}

export interface CollectorDependencies {
  readonly metadata: Pick<
    MetadataRepository,
    | 'renewUploads'
    | 'endUploads'
    | 'releaseUnreferenced'
    | 'dueDrops'
    | 'confirmDropped'
    | 'deferDrops'
    | 'purge'
    | 'purgeRights'
  >;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'storeOf' | 'recovery'>;
  readonly blobsInUse: BlobsHeld;
  readonly inventories: Pick<InventoryCheck, 'check'>;
  readonly grace: GracePeriod;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly config: {
    readonly gcGraceMs: number;
    readonly logKeepMs: number;
    /** Copies of a file where nothing else is said: by them it is judged whether room is short. */
    readonly copies: number;
    /** Pause between two steps, ms; a quarter of the grace time by default, at most 10 s. */
    readonly everyMs?: number;
  };
}

const blobsPerRelease = 1_000;
const idempotencyKeepMs = 24 * 3_600_000;
const purgeEveryMs = 10 * 60_000;
const inventoryEveryMinMs = 2_000;
/** Ended uploads are kept a while: a row deleted at once could be missed by a comparison that runs. */
const uploadsKeepMs = 60_000;

/**
 * Takes away what nothing refers to any more: the copies of deleted files after the grace time, what aborted uploads left on nodes, old rows of the log. A copy
 * leaves a node only by a committed row that names it.
 */
export class Collector {
  readonly #deps: CollectorDependencies;
  readonly #loop: BackgroundLoop;
  readonly #standstill: StandstillWatch;
  readonly #dropper: BlobDropper;
  readonly #renewal: UploadRenewal;
  readonly #checkedAtMs = new Map<NodeId, number>();
  readonly #stopping = new AbortController();
  #purgedAtMs: number;

  constructor(dependencies: CollectorDependencies) {
    const { metadata, clock, logger, config, blobsInUse } = dependencies;
    this.#deps = dependencies;
    this.#standstill = new StandstillWatch(clock);
    this.#dropper = new BlobDropper(dependencies);
    this.#renewal = new UploadRenewal({ metadata, clock, blobsInUse });
    this.#purgedAtMs = clock.monotonic();
    const everyMs = config.everyMs ?? Math.min(10_000, Math.max(100, config.gcGraceMs / 4));
    const step = () => this.step();
    this.#loop = new BackgroundLoop({ name: 'collection', everyMs, step, logger });
  }

  start(): void {
    this.#standstill.start();
    this.#loop.start();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#standstill.stop();
    await this.#loop.stop();
  }

  /** Says that this process is alive; a timer does it, and a test that moves its clock. */
  tick(): void {
    this.#standstill.tick();
  }

  /** One round of everything that is due. */
  async step(): Promise<undefined> {
    const { nodes, grace } = this.#deps;
    // Looked at even when nothing else is, so that no jump of the clock goes unseen.
    grace.endedBeforeMs();
    await this.#renewal.step();
    if (this.#standstill.takeStandstill() || nodes.recovery() !== undefined) return;
    await this.#release();
    await this.#dropper.step(this.#stopping.signal);
    await this.#checkInventories();
    await this.#purge();
  }

  /** The copies of what was unreferenced for the grace time, is in no upload and is not being read become `dropping`. */
  async #release(): Promise<void> {
    const { metadata, nodes, blobsInUse, grace, clock, config } = this.#deps;
    const isShort = roomIsShort(nodes.snapshots(), config.copies);
    let released: number;
    do {
      // Every blob with a row was bound once: what an upload left behind is found on nodes, after the whole grace time.
      const beforeMs = grace.endedBeforeMs(isShort ? shortGraceMs : undefined);
      if (beforeMs <= 0) return;
      released = await metadata.releaseUnreferenced({
        beforeMs,
        nowMs: clock.now(),
        held: new Set([...blobsInUse.uploadingNow(), ...blobsInUse.readingNow()]),
        limit: blobsPerRelease,
      });
    } while (released >= blobsPerRelease && !this.#stopping.signal.aborted);
  }

  /** Each node about once in a grace time; the first time one grace time after it was seen, since its arrival had it compared. */
  async #checkInventories(): Promise<void> {
    const { nodes, inventories, clock, config, logger } = this.#deps;
    const everyMs = Math.max(inventoryEveryMinMs, config.gcGraceMs);
    for (const { id, name, state } of nodes.snapshots()) {
      if (this.#stopping.signal.aborted) return;
      const now = clock.monotonic();
      const checkedAtMs = this.#checkedAtMs.get(id) ?? now;
      if (!this.#checkedAtMs.has(id)) this.#checkedAtMs.set(id, now);
      if ((state !== 'up' && state !== 'draining') || now - checkedAtMs < everyMs) continue;
      this.#checkedAtMs.set(id, now);
      try {
        await inventories.check(id, this.#stopping.signal);
      } catch (error) {
        // The next round comes; a node that does not answer is spoken of elsewhere.
        logger.debug('inventory could not be compared', { node: name, error });
      }
    }
  }

  async #purge(): Promise<void> {
    const { metadata, clock, config, grace } = this.#deps;
    if (grace.endedBeforeMs() <= 0) return;
    const now = clock.monotonic();
    if (now - this.#purgedAtMs < Math.min(purgeEveryMs, config.logKeepMs)) return;
    this.#purgedAtMs = now;
    const nowMs = clock.now();
    let gone: number;
    do {
      gone = await metadata.purge({
        logMs: nowMs - config.logKeepMs,
        idempotencyMs: nowMs - idempotencyKeepMs,
        uploadsMs: nowMs - uploadsKeepMs,
      });
    } while (gone > 0 && !this.#stopping.signal.aborted);
    // A day after their end: a clock that was set ahead for a while takes no right away for good.
    do {
      gone = await metadata.purgeRights(nowMs - idempotencyKeepMs);
    } while (gone > 0 && !this.#stopping.signal.aborted);
  }
}
