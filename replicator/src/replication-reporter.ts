import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, type ReplicationAttempt, StoreError } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';

export interface ReplicationReporterOptions {
  /** Hands a batch to the master; resolves once it is committed there. */
  readonly send: (attempts: readonly ReplicationAttempt[], signal: AbortSignal) => Promise<void>;
  readonly logger: Logger;
  readonly random: () => number;
  /** Attempts kept while the master takes none. */
  readonly waitingMax?: number;
}

/** What the master takes in one report. */
const attemptsPerReportMax = 1_000;
/** Each report is a transaction there: what comes within this time shares one. */
const gatherMs = 10;
const pauseMaxMs = 5_000;
const closeWithinMs = 5_000;

/**
 * Tells the master of attempts, in batches: what comes while one report is under way goes into the next. Tried again until the master took it; what is too much
 * to keep is dropped, the oldest first, since the repair loop finds those copies again and a repeated pull costs next to nothing.
 */
export class ReplicationReporter {
  readonly #options: ReplicationReporterOptions;
  readonly #waitingMax: number;
  readonly #closing = new AbortController();
  #waiting: ReplicationAttempt[] = [];
  #delivery: Promise<void> | undefined;
  #failures = 0;
  #dropped = 0;

  constructor(options: ReplicationReporterOptions) {
    this.#options = options;
    this.#waitingMax = options.waitingMax ?? 10_000;
  }

  report(attempt: ReplicationAttempt): void {
    this.#waiting.push(attempt);
    if (this.#waiting.length > this.#waitingMax) {
      // In steps, since taking one off a long list costs as much as taking many.
      const surplus = Math.ceil(this.#waitingMax / 10);
      this.#waiting.splice(0, surplus);
      this.#dropped += surplus;
    }
    this.#delivery ??= this.#deliver().finally(() => {
      this.#delivery = undefined;
    });
  }

  /** Resolves when the master has everything, or does not take it for a few seconds. */
  async close(): Promise<void> {
    const patience = setTimeout(() => this.#closing.abort(), closeWithinMs);
    while (this.#delivery !== undefined) await this.#delivery;
    clearTimeout(patience);
  }

  async #deliver(): Promise<void> {
    const { signal } = this.#closing;
    await sleep(gatherMs);
    while (this.#waiting.length > 0 && !signal.aborted) {
      const batch = this.#waiting.splice(0, attemptsPerReportMax);
      try {
        await this.#options.send(batch, signal);
        this.#taken();
      } catch (error) {
        if (!this.#isRefused(error)) this.#waiting.unshift(...batch);
        this.#notTaken(error);
        const pauseMs = Math.min(pauseMaxMs, backoffMs(this.#failures, this.#options.random()));
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
      if (this.#waiting.length < attemptsPerReportMax) {
        await sleep(gatherMs, undefined, { signal }).catch(() => undefined);
      }
    }
    if (signal.aborted) this.#waiting = [];
  }

  /** The same report would be refused again. */
  #isRefused(error: unknown): boolean {
    return (
      error instanceof StoreError &&
      (error.kind === 'invalid-request' || error.kind === 'too-large')
    );
  }

  #taken(): void {
    if (this.#failures > 0) {
      this.#options.logger.info('the master takes reports again', { dropped: this.#dropped });
    }
    this.#failures = 0;
    this.#dropped = 0;
  }

  #notTaken(error: unknown): void {
    if (this.#failures === 0) {
      this.#options.logger.warn('the master does not take the report of copies', { error });
    }
    this.#failures += 1;
  }
}
