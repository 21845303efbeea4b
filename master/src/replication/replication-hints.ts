import type { ReplicationJob } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { OutageLog } from './outage-log.ts';
import type { ReplicationQueue } from './replication-queue.ts';

export interface ReplicationHintsOptions {
  readonly queue: ReplicationQueue;
  readonly logger: Logger;
  /** How long hints are gathered for one hand-over, ms. */
  readonly gatherMs?: number;
}

const jobsPerBatchMax = 1_000;
const waitingMax = 20_000;

/**
 * Hands jobs of new files to the queue without making the upload wait: what comes within a few ms, and what comes while a hand-over runs, goes
 * together. Whatever fails or is too much is dropped, since the repair loop finds it in the database.
 */
export class ReplicationHints {
  readonly #queue: ReplicationQueue;
  readonly #gatherMs: number;
  readonly #outage: OutageLog;
  #waiting: ReplicationJob[] = [];
  #delivery: Promise<void> | undefined;

  constructor(options: ReplicationHintsOptions) {
    this.#queue = options.queue;
    this.#gatherMs = options.gatherMs ?? 3;
    this.#outage = new OutageLog(
      options.logger,
      'replication jobs cannot be queued: the repair loop will find them later',
    );
  }

  /** Never throws and never waits. */
  hint(jobs: readonly ReplicationJob[]): void {
    if (this.#waiting.length + jobs.length > waitingMax) return;
    this.#waiting.push(...jobs);
    this.#delivery ??= this.#deliver().finally(() => {
      this.#delivery = undefined;
    });
  }

  /** Resolves when everything hinted so far was handed over or dropped. */
  async flush(): Promise<void> {
    while (this.#delivery !== undefined) await this.#delivery;
  }

  async #deliver(): Promise<void> {
    while (this.#waiting.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, this.#gatherMs));
      const jobs = this.#waiting.splice(0, jobsPerBatchMax);
      try {
        await this.#queue.enqueue(jobs);
        this.#outage.worked();
      } catch (error) {
        this.#outage.failed(error, jobs.length);
      }
    }
  }
}
