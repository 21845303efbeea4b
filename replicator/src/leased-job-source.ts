import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  backoffMs,
  jobIdOf,
  type LeaseAnswer,
  type LeaseRequest,
  type ReplicationJob,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { JobHandler, JobSource } from './job-source.ts';

export interface LeasedJobSourceOptions {
  /** Asks the master; rejects when it does not answer. */
  readonly lease: (request: LeaseRequest, signal: AbortSignal) => Promise<LeaseAnswer>;
  readonly logger: Logger;
  readonly random: () => number;
  /** Jobs held at a time, running or waiting for their turn. */
  readonly jobsMax?: number;
  /** How long running jobs may take to end at a close, ms. */
  readonly closeWithinMs?: number;
}

/** With nothing to do, the master holds its answer until there is. */
const idleWaitMs = 20_000;
/** With jobs running, asked this often at least, so that their ends are told and their leases renewed. */
const busyWaitMs = 500;
/** What comes and ends within this time is told in one request; with many jobs in hand there is no hurry for more. */
const gatherMs = 15;
const gatherLongMs = 50;
const pauseMaxMs = 5_000;
const lastWordMs = 1_000;

/** Jobs leased from the master over HTTP: one request takes new jobs, renews running ones and tells which ended. */
export class LeasedJobSource implements JobSource {
  readonly #options: LeasedJobSourceOptions;
  readonly #jobsMax: number;
  readonly #workerId = randomUUID();
  readonly #running = new Map<string, Promise<void>>();
  readonly #done = new Set<string>();
  /** No new jobs. */
  readonly #closing = new AbortController();
  /** Running jobs are to end. */
  readonly #aborting = new AbortController();
  #failures = 0;
  #loop: Promise<void> | undefined;

  constructor(options: LeasedJobSourceOptions) {
    this.#options = options;
    this.#jobsMax = options.jobsMax ?? 256;
    // Every running job listens.
    setMaxListeners(0, this.#aborting.signal);
  }

  run(handler: JobHandler): Promise<void> {
    this.#loop = this.#poll(handler);
    return this.#loop;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#loop;
    const ended = this.#allEnded();
    const closeWithinMs = this.#options.closeWithinMs ?? 5_000;
    const patience = new AbortController();
    await Promise.race([ended, sleep(closeWithinMs, undefined, patience).catch(() => undefined)]);
    patience.abort();
    this.#aborting.abort();
    await ended;
    await this.#sayLastWord();
  }

  async #poll(handler: JobHandler): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const done = [...this.#done];
      try {
        const answer = await this.#options.lease(this.#request(done), this.#closing.signal);
        for (const id of done) this.#done.delete(id);
        this.#heard();
        for (const job of answer.jobs) this.#start(job, handler);
        await this.#gather();
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        this.#notHeard(error);
        await this.#pause(Math.min(pauseMaxMs, backoffMs(this.#failures, this.#options.random())));
      }
    }
  }

  #request(done: readonly string[]): LeaseRequest {
    const maxJobs = Math.max(0, this.#jobsMax - this.#running.size);
    return {
      workerId: this.#workerId,
      maxJobs,
      waitMs: this.#running.size === 0 && this.#done.size === 0 ? idleWaitMs : busyWaitMs,
      done,
      running: [...this.#running.keys()],
    };
  }

  async #gather(): Promise<void> {
    if (this.#running.size === 0 && this.#done.size === 0) return;
    await this.#pause(this.#running.size > this.#jobsMax / 2 ? gatherLongMs : gatherMs);
  }

  #start(job: ReplicationJob, handler: JobHandler): void {
    const id = jobIdOf(job);
    if (this.#running.has(id)) return;
    this.#done.delete(id);
    const work = handler(job, this.#aborting.signal)
      // What failed is in the row of the copy, with the time of its next attempt: the repair loop hands it out again.
      .catch((error) => this.#options.logger.debug('job ended without a copy', { id, error }))
      .finally(() => {
        this.#running.delete(id);
        // What was broken off is for somebody else to do.
        if (!this.#aborting.signal.aborted) this.#done.add(id);
      });
    this.#running.set(id, work);
  }

  async #allEnded(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #sayLastWord(): Promise<void> {
    const request = { ...this.#request([...this.#done]), maxJobs: 0, waitMs: 0 };
    await this.#options.lease(request, AbortSignal.timeout(lastWordMs)).catch((error) => {
      this.#options.logger.debug('the master was not told of the end', { error });
    });
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#closing;
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }

  #heard(): void {
    if (this.#failures > 0) this.#options.logger.info('the master gives jobs again');
    this.#failures = 0;
  }

  #notHeard(error: unknown): void {
    if (this.#failures === 0) {
      this.#options.logger.warn('the master gives no jobs; it is asked again', { error });
    }
    this.#failures += 1;
  }
}
