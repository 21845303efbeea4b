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
  /** As for blobs, but once a day at least: the journal is small, and needed as a whole; 0: never. */
  readonly everyMs: number;
}

/** Reads the journal again and again, at a pace that others hardly notice, so that damage is known while other nodes can still make up for it. */
export class JournalScrub {
  readonly #options: JournalScrubOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: JournalScrubOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.everyMs > 0) this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { journal, logger, random } = this.#options;
    const everyMs = Math.min(dayMs, this.#options.everyMs);
    await this.#sleep(Math.min(firstWithinMs, everyMs) * random());
    while (!this.#stopping.signal.aborted) {
      await journal
        .verify({ signal: this.#stopping.signal, pause: () => this.#sleep(pauseMs) })
        .catch((error: unknown) => logger.warn('the journal cannot be read again', { error }));
      await this.#sleep(everyMs);
    }
  }

  /** Until then, or the end. */
  async #sleep(ms: number): Promise<void> {
    const { signal } = this.#stopping;
    await delay(ms, undefined, { signal, ref: false }).catch(() => undefined);
  }
}
