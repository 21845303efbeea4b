import { setTimeout as delay } from 'node:timers/promises';
import { type BlobId, type Clock, inventoryKeyOf, type ScrubStatus } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { idsInShard } from './blob-inventory.ts';
import { type DataDirectory, shards } from './data-directory.ts';
import type { DiskBlobStore, Verification } from './disk-blob-store.ts';
import { scrubPauseMs } from './scrub-pace.ts';
import { readScrubRecord, type ScrubRecord, writeScrubRecord } from './scrub-record.ts';

export interface ScrubberDependencies {
  readonly store: Pick<DiskBlobStore, 'verify'>;
  readonly directory: DataDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Requests that the node is serving at the moment. */
  readonly requestsNow: () => number;
  /** Each blob is read again within this time, ms; 0: only when asked. */
  readonly everyMs: number;
}

type Running = NonNullable<ScrubRecord['running']>;

/** A pass may be late by what is left: the disk was busy, or the node was off for a while. */
const passPart = 0.8;
/** How often the place in a pass is written down. */
const saveEveryMs = 5_000;
/** One sleep lasts no longer: clocks jump, and machines sleep. */
const sleepMaxMs = 60_000;
/** Damaged copies whose repair is waited for, at most; the next pass proves the others. */
const awaitedMax = 10_000;

/**
 * Reads every blob of the disk again and again, at a pace that others hardly notice. What has rotted is reported like any damage that a reader finds, and
 * once it was replaced it is read once more. Passes follow each other without a gap and go by the folders at an even pace, so that each blob, also one that was stored
 * since, has its turn in time.
 */
export class Scrubber {
  readonly #deps: ScrubberDependencies;
  readonly #stopping = new AbortController();
  readonly #awaited = new Set<BlobId>();
  readonly #toProve: BlobId[] = [];
  #record: ScrubRecord;
  #doneShare = 0;
  #savedAtMs = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #wake = new AbortController();

  private constructor(dependencies: ScrubberDependencies, record: ScrubRecord) {
    this.#deps = dependencies;
    this.#record = record;
  }

  /** Reads what the disk remembers, and goes on. */
  static async start(dependencies: ScrubberDependencies): Promise<Scrubber> {
    const record = await readScrubRecord(dependencies.directory.path);
    const scrubber = new Scrubber(dependencies, record);
    scrubber.#running = scrubber.#run();
    return scrubber;
  }

  /** Begins a pass now, in place of a scheduled one; one that was asked for before goes on. */
  scrubNow(): ScrubStatus {
    if (!this.#record.running?.isAsked) this.#beginPass({ isAsked: true });
    this.#wakeUp();
    return this.status();
  }

  status(): ScrubStatus {
    const { running, last, repairedBlobs } = this.#record;
    const { afterKey: _, ...pass } = running ?? { afterKey: '' };
    return {
      ...(running ? { running: { ...(pass as Running), doneShare: this.#doneShare } } : {}),
      ...(last ? { last } : {}),
      awaitingRepair: this.#awaited.size + this.#toProve.length,
      repairedBlobs,
    };
  }

  /** A copy was replaced or deleted. If a scrub found it bad, it is read again. */
  mended(id: BlobId): void {
    if (!this.#awaited.delete(id)) return;
    this.#toProve.push(id);
    this.#wakeUp();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wakeUp();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { everyMs, logger } = this.#deps;
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#proveRepairs();
        if (!this.#record.running && everyMs > 0) this.#beginPass({ isAsked: false });
        if (this.#record.running) await this.#pass(this.#record.running);
        else await this.#sleep(sleepMaxMs);
      } catch (error) {
        // The disk may answer again later; users' requests say themselves that it does not.
        logger.warn('the scrub cannot go on for now', { error });
        await this.#sleep(sleepMaxMs);
      }
    }
    // What could not be written down is read again.
    await this.#save().catch(() => undefined);
  }

  #beginPass({ isAsked }: { isAsked: boolean }): void {
    const counts = { checkedBlobs: 0, checkedBytes: 0, damagedBlobs: 0 };
    const startedAtMs = this.#deps.clock.now();
    this.#doneShare = 0;
    this.#record = { ...this.#record, running: { isAsked, startedAtMs, ...counts, afterKey: '' } };
  }

  /** Goes on to the end of the disk, until the node stops or another pass takes this one's place. One folder's names are in memory at a time. */
  async #pass({ startedAtMs, afterKey }: Running): Promise<void> {
    const { directory } = this.#deps;
    const isCurrent = () =>
      !this.#stopping.signal.aborted && this.#record.running?.startedAtMs === startedAtMs;
    const first = afterKey.slice(0, 2);
    for (const [index, shard] of shards.entries()) {
      if (shard < first) continue;
      const ids = await idsInShard(directory, shard, afterKey === '' ? undefined : afterKey);
      for (const [at, id] of ids.entries()) {
        this.#doneShare = (index + at / ids.length) / shards.length;
        await this.#pause(0, isCurrent);
        if (!isCurrent()) return;
        await this.#check(id, isCurrent);
        if (!isCurrent()) return;
      }
      this.#doneShare = (index + 1) / shards.length;
      await this.#pause(0, isCurrent);
      if (!isCurrent()) return;
    }
    await this.#endPass();
  }

  async #endPass(): Promise<void> {
    const { clock, logger } = this.#deps;
    const { running, ...rest } = this.#record;
    if (!running) return;
    const { afterKey: _, ...pass } = running;
    this.#record = { ...rest, last: { ...pass, completedAtMs: clock.now() } };
    const { checkedBlobs, checkedBytes, damagedBlobs } = pass;
    if (damagedBlobs > 0) {
      logger.warn('scrub found damaged copies', { checkedBlobs, checkedBytes, damagedBlobs });
    } else logger.info('scrub found every copy whole', { checkedBlobs, checkedBytes });
    await this.#save();
  }

  async #check(id: BlobId, isCurrent: () => boolean): Promise<void> {
    const { store, clock } = this.#deps;
    const found = await store.verify(id, {
      signal: this.#stopping.signal,
      onPiece: (readMs) => this.#pause(readMs, isCurrent),
    });
    if (!isCurrent() || found.kind === 'cancelled') return;
    this.#note(id, found);
    if (clock.monotonic() - this.#savedAtMs >= saveEveryMs) await this.#save();
  }

  #note(id: BlobId, found: Verification): void {
    const { running } = this.#record;
    if (!running) return;
    const isDamaged = found.kind === 'damaged';
    if (isDamaged && this.#awaited.size < awaitedMax) this.#awaited.add(id);
    this.#record = {
      ...this.#record,
      running: {
        ...running,
        afterKey: inventoryKeyOf(id),
        checkedBlobs: running.checkedBlobs + Number(found.kind !== 'gone'),
        checkedBytes: running.checkedBytes + (found.kind === 'whole' ? found.sizeBytes : 0),
        damagedBlobs: running.damagedBlobs + Number(isDamaged),
      },
    };
  }

  /** That a copy was replaced is believed when it was read from the disk again. */
  async #proveRepairs(): Promise<void> {
    const { store, logger } = this.#deps;
    for (let [id] = this.#toProve; id !== undefined; [id] = this.#toProve) {
      const { kind } = await store.verify(id, { signal: this.#stopping.signal });
      if (kind === 'cancelled') return;
      this.#toProve.shift();
      if (kind === 'damaged') this.#awaited.add(id);
      if (kind !== 'whole') continue;
      this.#record = { ...this.#record, repairedBlobs: this.#record.repairedBlobs + 1 };
      logger.info('a damaged copy was replaced and reads right', { blobId: id });
    }
  }

  /** Leaves the disk to others for a while, and waits for the time of what comes next. */
  async #pause(lastReadMs: number, isCurrent: () => boolean): Promise<void> {
    const { clock, requestsNow, everyMs } = this.#deps;
    for (let readMs = lastReadMs; ; readMs = 0) {
      const { running } = this.#record;
      if (!running || !isCurrent()) return;
      const pauseMs = scrubPauseMs({
        isAsked: running.isAsked,
        doneShare: this.#doneShare,
        elapsedMs: clock.now() - running.startedAtMs,
        passMs: everyMs * passPart,
        lastReadMs: readMs,
        isBusy: requestsNow() > 0,
      });
      if (pauseMs <= 0) return;
      await this.#sleep(pauseMs);
      await this.#proveRepairs();
    }
  }

  async #save(): Promise<void> {
    this.#savedAtMs = this.#deps.clock.monotonic();
    await writeScrubRecord(this.#deps.directory.path, this.#record);
  }

  async #sleep(ms: number): Promise<void> {
    const sleepMs = Math.min(sleepMaxMs, Math.max(1, ms));
    if (this.#stopping.signal.aborted) return;
    await delay(sleepMs, undefined, { signal: this.#wake.signal }).catch(() => undefined);
  }

  #wakeUp(): void {
    this.#wake.abort();
    this.#wake = new AbortController();
  }
}
