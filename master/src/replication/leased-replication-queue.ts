import {
  type Clock,
  jobIdOf,
  type LeaseAnswer,
  type LeaseRequest,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import type { ReplicationQueue } from './replication-queue.ts';

export interface LeasedQueueOptions {
  readonly clock: Clock;
  /** A job whose worker is not heard for this long is given to another one, ms. */
  readonly leaseMs?: number;
  /** Jobs beyond this are dropped: the repair loop finds them again. */
  readonly waitingMax?: number;
}

interface Lease {
  /** Undefined when the worker told of a job that this queue does not know: it was given out before a restart. */
  readonly job: ReplicationJob | undefined;
  readonly workerId: string;
  expiresAtMs: number;
}

const jobsPerLeaseMax = 1_000;
const waitMaxMs = 60_000;

/**
 * The queue without Redis: jobs wait in memory and are leased to replicators over the management port. A restart of the master loses them all, which
 * costs one round of the repair loop.
 */
export class LeasedReplicationQueue implements ReplicationQueue {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #waitingMax: number;
  /** Both by job id, oldest first. */
  readonly #waiting = new Map<string, ReplicationJob>();
  readonly #leases = new Map<string, Lease>();
  readonly #sleepers = new Set<() => void>();
  #isClosed = false;

  constructor(options: LeasedQueueOptions) {
    this.#clock = options.clock;
    this.#leaseMs = options.leaseMs ?? 15_000;
    this.#waitingMax = options.waitingMax ?? 20_000;
  }

  async enqueue(jobs: readonly ReplicationJob[]): Promise<void> {
    if (this.#isClosed) throw new StoreError('unavailable', 'The replication queue is closed.');
    for (const job of jobs) {
      if (this.#waiting.size >= this.#waitingMax) break;
      const id = jobIdOf(job);
      if (!this.#leases.has(id) && !this.#waiting.has(id)) this.#waiting.set(id, job);
    }
    this.#wakeSleepers();
  }

  async outstanding(): Promise<number> {
    return this.#waiting.size + this.#leases.size;
  }

  /**
   * Takes a worker's word on its jobs and gives it up to `maxJobs` more, waiting up to `waitMs` for the first. A worker has one request under way at a
   * time, so a job of its that it does not name never reached it and is given out again. When `signal` aborts, no job is given.
   */
  async lease(request: LeaseRequest, signal: AbortSignal): Promise<LeaseAnswer> {
    this.#settle(request);
    const untilMs = this.#clock.monotonic() + within(request.waitMs, waitMaxMs);
    const maxJobs = Math.trunc(within(request.maxJobs, jobsPerLeaseMax));
    let jobs = this.#take(request.workerId, maxJobs);
    while (jobs.length === 0 && maxJobs > 0 && !this.#isClosed && !signal.aborted) {
      const restMs = untilMs - this.#clock.monotonic();
      if (restMs <= 0) break;
      await this.#sleep(Math.min(restMs, this.#nextExpiryMs()), signal);
      if (!signal.aborted) jobs = this.#take(request.workerId, maxJobs);
    }
    return { jobs, leaseMs: this.#leaseMs };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.clear();
    this.#leases.clear();
    this.#wakeSleepers();
  }

  #settle({ workerId, done = [], running = [] }: LeaseRequest): void {
    for (const id of done) {
      this.#leases.delete(id);
      // Its lease may have expired before it was done.
      this.#waiting.delete(id);
    }
    const named = new Set(running);
    const expiresAtMs = this.#clock.monotonic() + this.#leaseMs;
    for (const id of named) {
      const job = this.#leases.get(id)?.job ?? this.#waiting.get(id);
      this.#waiting.delete(id);
      this.#leases.delete(id);
      this.#leases.set(id, { job, workerId, expiresAtMs });
    }
    for (const [id, lease] of this.#leases) {
      if (lease.workerId === workerId && !named.has(id)) this.#giveBack(id, lease);
    }
  }

  #take(workerId: string, maxJobs: number): ReplicationJob[] {
    this.#expire();
    const jobs: ReplicationJob[] = [];
    const expiresAtMs = this.#clock.monotonic() + this.#leaseMs;
    for (const [id, job] of this.#waiting) {
      if (jobs.length >= maxJobs) break;
      this.#waiting.delete(id);
      this.#leases.set(id, { job, workerId, expiresAtMs });
      jobs.push(job);
    }
    return jobs;
  }

  /** Leases are renewed in order, so the first that is not over ends the search. */
  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [id, lease] of this.#leases) {
      if (lease.expiresAtMs > now) return;
      this.#giveBack(id, lease);
    }
  }

  #giveBack(id: string, lease: Lease): void {
    this.#leases.delete(id);
    if (lease.job) this.#waiting.set(id, lease.job);
  }

  #nextExpiryMs(): number {
    const [first] = this.#leases.values();
    return first ? Math.max(1, first.expiresAtMs - this.#clock.monotonic()) : waitMaxMs;
  }

  #sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      timer.unref();
      signal.addEventListener('abort', wake, { once: true });
      this.#sleepers.add(wake);
    });
  }

  #wakeSleepers(): void {
    for (const wake of [...this.#sleepers]) wake();
  }
}

/** What a message says, made a number from 0 to `max`. */
const within = (value: number, max: number) => Math.min(max, Math.max(0, Number(value) || 0));
