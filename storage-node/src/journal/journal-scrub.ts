import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@dfs/shared/cluster';
import type { DiskJournal } from './disk-journal.ts';

const dayMs = 86_400_000;
/** Not right at the start, when there is enough to do, and not on all nodes at once. */
const firstWithinMs = 3_600_000;
/** Between two pieces of a quarter of a megabyte. */
const pauseMs = 20;

export interface JournalScrubOptions {
  readonly journal: Pick<DiskJournal, 'verify'>;
  readonly logger: Logger;
  readonly random: () => number;
  /** As for blobs, but once a day at least: the journal is small, and needed as a whole; 0: only when asked. */
  readonly everyMs: number;
}

/** Reads the journal again and again, at a pace that others hardly notice, so that damage is known while other nodes can still make up for it. */
export class JournalScrub {
  readonly #options: JournalScrubOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #wake = new AbortController();
  #isAsked = false;

  constructor(options: JournalScrubOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Reads the whole journal now; once more from the beginning when it is being read. */
  scrubNow(): void {
    this.#isAsked = true;
    this.#wake.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { journal, logger, random } = this.#options;
    const isScheduled = this.#options.everyMs > 0;
    const everyMs = isScheduled ? Math.min(dayMs, this.#options.everyMs) : dayMs;
    const { signal } = this.#stopping;
    await this.#sleep(Math.min(firstWithinMs, everyMs) * random());
    while (!signal.aborted) {
      if (isScheduled || this.#isAsked) {
        this.#isAsked = false;
        await journal
          .verify({ signal, pause: () => pause(pauseMs, signal) })
          .catch((error: unknown) => logger.warn('the journal cannot be read again', { error }));
      }
      await this.#sleep(everyMs);
    }
  }

  /** Until then, the end, or until somebody asks for a pass. */
  async #sleep(ms: number): Promise<void> {
    this.#wake = new AbortController();
    if (this.#isAsked || this.#stopping.signal.aborted) return;
    await pause(ms, this.#wake.signal);
  }
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
