import {
  jobIdOf,
  type LeaseAnswer,
  type LeaseRequest,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';

/** The master's side of the leases as far as a worker sees it: jobs not named any more are given out again. */
export class FakeLeases {
  readonly waiting = new Map<string, ReplicationJob>();
  readonly leased = new Map<string, { job: ReplicationJob; workerId: string }>();
  readonly requests: LeaseRequest[] = [];
  isDown = false;
  #wake = () => {};

  enqueue(jobs: readonly ReplicationJob[]): void {
    for (const job of jobs) {
      const id = jobIdOf(job);
      if (!this.leased.has(id)) this.waiting.set(id, job);
    }
    this.#wake();
  }

  crash(): void {
    this.isDown = true;
    this.waiting.clear();
    this.leased.clear();
    this.#wake();
  }

  lease = async (request: LeaseRequest, signal: AbortSignal): Promise<LeaseAnswer> => {
    this.#mustBeUp();
    this.requests.push(request);
    for (const id of request.done) {
      this.leased.delete(id);
      this.waiting.delete(id);
    }
    for (const [id, { job, workerId }] of this.leased) {
      if (workerId !== request.workerId || request.running.includes(id)) continue;
      this.leased.delete(id);
      this.waiting.set(id, job);
    }
    if (this.waiting.size === 0 && request.waitMs > 0) await this.#wait(request.waitMs, signal);
    this.#mustBeUp();
    if (signal.aborted) throw new StoreError('cancelled', 'gone');
    const jobs = [...this.waiting.values()].slice(0, request.maxJobs);
    for (const job of jobs) {
      this.waiting.delete(jobIdOf(job));
      this.leased.set(jobIdOf(job), { job, workerId: request.workerId });
    }
    return { jobs, leaseMs: 30_000 };
  };

  #mustBeUp(): void {
    if (this.isDown) throw new StoreError('unavailable', 'down');
  }

  #wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener('abort', this.#wake, { once: true });
    });
  }
}
