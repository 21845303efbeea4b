import {
  jobIdOf,
  type LeaseAnswer,
  type LeaseRequest,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { describeJobSource } from './describe-job-source.ts';
import { LeasedJobSource } from './leased-job-source.ts';
import { makeGate, makeJob, recordingLogger } from './test-fixtures.ts';

/** The master's side of the leases as far as a worker sees it: jobs not named any more are given out again. */
class FakeLeases {
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

const makeSource = (leases: FakeLeases, jobsMax?: number) =>
  new LeasedJobSource({
    lease: leases.lease,
    logger: recordingLogger().logger,
    random: () => 0,
    closeWithinMs: 100,
    ...(jobsMax === undefined ? {} : { jobsMax }),
  });

describeJobSource('LeasedJobSource', async () => {
  const leases = new FakeLeases();
  return {
    makeSource: () => makeSource(leases),
    enqueue: async (jobs) => leases.enqueue(jobs),
    outstanding: async () => leases.waiting.size + leases.leased.size,
    crash: async () => leases.crash(),
    restart: async () => {
      leases.isDown = false;
    },
    close: async () => {},
  };
});

describe('LeasedJobSource', () => {
  it('holds no more jobs than its limit', async () => {
    const leases = new FakeLeases();
    const source = makeSource(leases, 10);
    const gate = makeGate();
    let running = 0;
    void source.run(async () => {
      running += 1;
      await gate.opened;
    });
    leases.enqueue(Array.from({ length: 50 }, () => makeJob()));
    await expect.poll(() => leases.requests.some((request) => request.maxJobs === 0)).toBe(true);
    expect(running).toBe(10);
    gate.open();
    await expect.poll(() => running).toBe(50);
    await source.close();
  });

  it('takes many jobs with few requests and tells their ends with the next ones', async () => {
    const leases = new FakeLeases();
    leases.enqueue(Array.from({ length: 1_000 }, () => makeJob()));
    const source = makeSource(leases);
    void source.run(async () => {});
    await expect.poll(() => leases.waiting.size + leases.leased.size).toBe(0);
    expect(leases.requests.length).toBeLessThan(20);
    await source.close();
  });

  it('waits with one long request when there is nothing to do', async () => {
    const leases = new FakeLeases();
    const source = makeSource(leases);
    void source.run(async () => {});
    await expect.poll(() => leases.requests.length).toBe(1);
    expect(leases.requests[0]?.waitMs).toBe(20_000);
    await source.close();
  });

  it('tells the ends of jobs again when the request that told them failed', async () => {
    const leases = new FakeLeases();
    const gate = makeGate();
    const told: string[] = [];
    let failuresLeft = 3;
    const source = new LeasedJobSource({
      lease: async (request, signal) => {
        if (request.done.length > 0 && failuresLeft > 0) {
          failuresLeft -= 1;
          throw new StoreError('unavailable', 'lost');
        }
        told.push(...request.done);
        return leases.lease(request, signal);
      },
      logger: recordingLogger().logger,
      random: () => 0,
    });
    const job = makeJob();
    leases.enqueue([job]);
    void source.run(() => gate.opened);
    await expect.poll(() => leases.leased.size).toBe(1);
    gate.open();
    await expect.poll(() => leases.leased.size, { timeout: 5_000 }).toBe(0);
    expect(told).toEqual([jobIdOf(job)]);
    expect(failuresLeft).toBe(0);
    await source.close();
  });

  it('speaks of an outage once at its beginning and once at its end', async () => {
    const leases = new FakeLeases();
    const { logger, lines } = recordingLogger();
    const source = new LeasedJobSource({ lease: leases.lease, logger, random: () => 0 });
    leases.isDown = true;
    void source.run(async () => {});
    await expect.poll(() => lines).toHaveLength(1);
    leases.isDown = false;
    await expect.poll(() => leases.requests.length).toBeGreaterThan(0);
    leases.enqueue([makeJob()]);
    await expect.poll(() => lines.map((line) => line.level)).toEqual(['warn', 'info']);
    await source.close();
  });
});
