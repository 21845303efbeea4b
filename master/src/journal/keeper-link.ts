import { type Clock, type NodeId, StoreError } from '@dfs/shared';
import type { JournalKeeper, KeptSnapshot, Logger } from '@dfs/shared/cluster';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import type { JournalPage, JournalPages } from './journal-pages.ts';
import { standingOf } from './keeper-standing.ts';
import { snapshotStream } from './snapshot-stream.ts';

export type ShippedMetadata = Pick<
  MetadataRepository,
  'identity' | 'journalNumber' | 'journalLines' | 'journalExtent' | 'snapshot'
>;

export interface SnapshotLimits {
  /** Records after a snapshot may take so much before there is another one, */
  readonly afterBytes: number;
  /** and so many times as much as the snapshot itself, which is compressed. */
  readonly afterTimes: number;
}

export interface KeeperLinkParts {
  readonly id: NodeId;
  readonly name: string;
  readonly keeper: JournalKeeper;
  readonly metadata: ShippedMetadata;
  readonly pages: JournalPages;
  /** Whether anything may be shipped at all. */
  readonly mayShip: () => boolean;
  /** Whether the node can be asked. */
  readonly isReachable: () => boolean;
  /** Takes snapshots one after the other: each reads the whole database. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
  /** Another master, or a newer copy of this database, wrote to this keeper. */
  readonly onAhead: (why: string) => void;
  readonly limits: SnapshotLimits;
  readonly clock: Clock;
  readonly logger: Logger;
}

const retryEveryMs = 1_000;
/** What a keeper has is looked at again this often: its disk may have been found damaged. */
const lookEveryMs = 60_000;
const snapshotRetryMs = 30_000;

/** One keeper of the journal, and what it is sent: the changes that it lacks, and snapshots. */
export class KeeperLink {
  readonly id: NodeId;
  readonly #parts: KeeperLinkParts;
  readonly #loop: BackgroundLoop;
  readonly #closing = new AbortController();
  /** The epoch for which it was looked at what it has; undefined: it must be looked at. */
  #lookedEpoch: number | undefined;
  #lookedAtMs = 0;
  #last = 0;
  #base: KeptSnapshot | undefined;
  /** A newer one whose records are on their way. */
  #awaited: KeptSnapshot | undefined;
  #lacksBase = false;
  #recordBytes = 0;
  #snapshot: Promise<void> | undefined;
  #snapshotNotBeforeMs = Number.NEGATIVE_INFINITY;
  #failure: { readonly sinceMs: number; readonly error: unknown } | undefined;

  constructor(parts: KeeperLinkParts) {
    this.id = parts.id;
    this.#parts = parts;
    this.#loop = new BackgroundLoop({
      name: `shipping the journal to ${parts.name}`,
      everyMs: retryEveryMs,
      step: (signal) => this.step(signal).then(() => undefined),
      logger: parts.logger,
    });
  }

  /** Number of the newest change that it has for certain. */
  get last(): number {
    return this.#last;
  }

  /** The newest snapshot that it could be rebuilt from. */
  get base(): KeptSnapshot | undefined {
    return this.#base;
  }

  /** It is known what it has, and that it can be built upon. */
  get isUnderstood(): boolean {
    return this.#lookedEpoch !== undefined && !this.#lacksBase;
  }

  get failure(): { readonly forMs: number; readonly error: unknown } | undefined {
    const failure = this.#failure;
    return (
      failure && { forMs: this.#parts.clock.monotonic() - failure.sinceMs, error: failure.error }
    );
  }

  start(): void {
    this.#loop.start();
    this.#loop.wake();
  }

  wake(): void {
    this.#loop.wake();
  }

  /** What is known of it is doubtful: its process was started anew, or its address changed. */
  doubt(): void {
    this.#lookedEpoch = undefined;
    this.wake();
  }

  /** Ships what is left, for a moment, and ends. */
  async close({ withinMs }: { readonly withinMs: number }): Promise<void> {
    await this.#loop.stop();
    if (withinMs > 0 && this.isUnderstood) {
      await this.step(AbortSignal.timeout(withinMs)).catch(() => undefined);
    }
    this.#closing.abort();
    await this.#snapshot;
  }

  /** Looks at what it has, where that is not known, and sends what it lacks. */
  async step(signal: AbortSignal): Promise<void> {
    const { mayShip, isReachable } = this.#parts;
    if (!mayShip()) return;
    try {
      if (!isReachable()) throw new StoreError('unavailable', 'The node is down.');
      await this.#catchUp(signal);
      if (!this.#lacksBase) this.#failure = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const sinceMs = this.#failure?.sinceMs ?? this.#parts.clock.monotonic();
      this.#failure = { sinceMs, error };
      // Whatever it was, what the keeper has now is not known.
      this.#lookedEpoch = undefined;
      throw error;
    }
  }

  async #catchUp(signal: AbortSignal): Promise<void> {
    const { metadata, mayShip, pages, keeper } = this.#parts;
    const { epoch } = metadata.identity();
    const isStale = this.#parts.clock.monotonic() - this.#lookedAtMs > lookEveryMs;
    if (this.#lookedEpoch !== epoch || isStale) await this.#look(epoch, signal);
    // The database may show changes whose commit was not confirmed yet: no node shall know of them before we do. What comes meanwhile is gathered
    // again: under load, to go on at once would be a sync on each keeper for every few changes.
    const confirmed = metadata.journalNumber();
    while (!this.#lacksBase && mayShip() && !signal.aborted && this.#last < confirmed) {
      const page = upTo(confirmed, await pages.after(this.#last, epoch));
      if (!page) break;
      if (page.first !== this.#last + 1) {
        this.#lacksBase = true;
        break;
      }
      try {
        await keeper.appendRecords(page.lines, signal);
      } catch (error) {
        // Longer than any keeper takes: it stands in the next snapshot.
        if (!(error instanceof StoreError) || error.kind !== 'too-large') throw error;
        this.#lacksBase = true;
        break;
      }
      this.#last = page.last;
      this.#recordBytes += page.sizeBytes;
    }
    if (this.#awaited && this.#last >= this.#awaited.to) await this.#look(epoch, signal);
    if (mayShip() && (this.#lacksBase || this.#isSnapshotDue())) this.#beginSnapshot();
  }

  async #look(epoch: number, signal: AbortSignal): Promise<void> {
    const { keeper, metadata, clock, onAhead } = this.#parts;
    const status = await keeper.journalStatus(signal);
    // Read after the keeper was asked: what it has was committed before.
    const standing = standingOf(status, { epoch, extent: await metadata.journalExtent() });
    if (standing.kind === 'ahead') {
      onAhead(standing.why);
      return;
    }
    this.#lookedEpoch = epoch;
    this.#lookedAtMs = clock.monotonic();
    this.#lacksBase = standing.kind === 'lacks-base';
    this.#last = standing.kind === 'goes-on' ? standing.last : 0;
    this.#base = standing.kind === 'goes-on' ? standing.base : undefined;
    this.#awaited = standing.kind === 'goes-on' ? standing.awaited : undefined;
    this.#recordBytes = standing.kind === 'goes-on' ? standing.recordBytes : 0;
  }

  #isSnapshotDue(): boolean {
    const { afterBytes, afterTimes } = this.#parts.limits;
    const baseBytes = this.#base?.sizeBytes ?? 0;
    return !this.#awaited && this.#recordBytes > Math.max(afterBytes, afterTimes * baseBytes);
  }

  /** Beside the shipping of records, which goes on meanwhile where it can. */
  #beginSnapshot(): void {
    const { inTurn, clock, logger, name } = this.#parts;
    if (this.#snapshot || clock.monotonic() < this.#snapshotNotBeforeMs) return;
    this.#snapshot = inTurn(() => this.#sendSnapshot())
      .catch((error: unknown) => {
        if (this.#closing.signal.aborted) return;
        this.#snapshotNotBeforeMs = clock.monotonic() + snapshotRetryMs;
        this.#failure ??= { sinceMs: clock.monotonic(), error };
        logger.warn('a snapshot of the journal was not stored', { node: name, error });
      })
      .finally(() => {
        this.#snapshot = undefined;
        this.doubt();
      });
  }

  async #sendSnapshot(): Promise<void> {
    const { metadata, keeper, mayShip, logger, name } = this.#parts;
    const { signal } = this.#closing;
    if (signal.aborted || !mayShip()) return;
    const snapshot = await snapshotStream(metadata.snapshot({ isConsistent: false }));
    const kept = await keeper.putSnapshot(snapshot.name, snapshot.bytes, signal);
    logger.info('stored a snapshot of the journal', { node: name, ...kept });
  }
}

function upTo(number: number, page: JournalPage | undefined): JournalPage | undefined {
  if (!page || page.last <= number) return page;
  const lines = page.lines.slice(0, Math.max(0, number - page.first + 1));
  const part = lines.length / page.lines.length;
  return lines.length === 0
    ? undefined
    : { ...page, lines, last: number, sizeBytes: Math.round(page.sizeBytes * part) };
}
