import { jobIdOf, type LeaseRequest, type ReplicationJob, systemClock } from '@dfs/shared';
import { FakeClock, makeJob } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { describeReplicationQueue } from './describe-replication-queue.ts';
import { LeasedReplicationQueue } from './leased-replication-queue.ts';

const never = new AbortController().signal;

const ask = (overrides: Partial<LeaseRequest> = {}): LeaseRequest => ({
  workerId: 'worker-1',
  maxJobs: 100,
  waitMs: 0,
  done: [],
  running: [],
  ...overrides,
});

describeReplicationQueue('LeasedReplicationQueue', async () => {
  const clock = new FakeClock();
  const queue = new LeasedReplicationQueue({ clock, leaseMs: 30_000 });
  const running = new Set<string>();
  let workerId = 'worker-1';
  return {
    queue,
    take: async (maxJobs) => {
      const request = ask({ workerId, maxJobs, running: [...running] });
      const { jobs } = await queue.lease(request, never);
      for (const job of jobs) running.add(jobIdOf(job));
      return jobs;
    },
    finish: async (job) => {
      running.delete(jobIdOf(job));
      const done = [jobIdOf(job)];
      await queue.lease(ask({ workerId, maxJobs: 0, done, running: [...running] }), never);
    },
    vanish: async () => {
      running.clear();
      workerId = 'worker-2';
      clock.advance(30_000);
    },
    close: () => queue.close(),
  };
});

describe('a lease', () => {
  const clock = new FakeClock();
  const make = (waitingMax = 100) =>
    new LeasedReplicationQueue({ clock, leaseMs: 30_000, waitingMax });

  it('waits for the first job and is answered as soon as it comes', async () => {
    const queue = make();
    const lease = queue.lease(ask({ waitMs: 20_000 }), never);
    const job = makeJob();
    await queue.enqueue([job]);
    expect(await lease).toEqual({ jobs: [job], leaseMs: 30_000 });
  });

  it('is answered without jobs when its time is over', async () => {
    const queue = new LeasedReplicationQueue({ clock: systemClock });
    expect((await queue.lease(ask({ waitMs: 10 }), never)).jobs).toEqual([]);
  });

  it('gives each job to one of several waiting workers', async () => {
    const queue = make();
    const leases = ['a', 'b', 'c'].map((workerId) => {
      return queue.lease(ask({ workerId, maxJobs: 1, waitMs: 20_000 }), never);
    });
    const jobs = [makeJob(), makeJob(), makeJob()];
    await queue.enqueue(jobs);
    const given = (await Promise.all(leases)).flatMap((answer) => answer.jobs);
    expect(given.map(jobIdOf).toSorted()).toEqual(jobs.map(jobIdOf).toSorted());
  });

  it('gives nothing to a worker that left while it waited', async () => {
    const queue = make();
    const leaving = new AbortController();
    const lease = queue.lease(ask({ waitMs: 20_000 }), leaving.signal);
    leaving.abort();
    const job = makeJob();
    await queue.enqueue([job]);
    expect((await lease).jobs).toEqual([]);
    expect((await queue.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([job]);
  });

  it('gives a job again whose answer got lost, as soon as its worker asks without naming it', async () => {
    const queue = make();
    const job = makeJob();
    await queue.enqueue([job]);
    await queue.lease(ask(), never);
    expect((await queue.lease(ask(), never)).jobs).toEqual([job]);
  });

  it('is kept by a worker that goes on naming the job, however long it takes', async () => {
    const queue = make();
    const job = makeJob();
    const running = [jobIdOf(job)];
    await queue.enqueue([job]);
    await queue.lease(ask(), never);
    for (let round = 0; round < 5; round += 1) {
      clock.advance(29_999);
      expect((await queue.lease(ask({ running }), never)).jobs).toEqual([]);
      expect((await queue.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([]);
    }
  });

  it('is over for a worker that is not heard, to the millisecond', async () => {
    const queue = make();
    const job = makeJob();
    await queue.enqueue([job]);
    await queue.lease(ask(), never);
    clock.advance(29_999);
    expect((await queue.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([]);
    clock.advance(1);
    expect((await queue.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([job]);
  });

  it('wakes a waiting worker when the lease of another one is over', async () => {
    const queue = new LeasedReplicationQueue({ clock: systemClock, leaseMs: 50 });
    const job = makeJob();
    await queue.enqueue([job]);
    await queue.lease(ask(), never);
    const lease = await queue.lease(ask({ workerId: 'worker-2', waitMs: 20_000 }), never);
    expect(lease.jobs).toEqual([job]);
  });

  it('ends a job that was done after its lease was over', async () => {
    const queue = make();
    const job = makeJob();
    await queue.enqueue([job]);
    await queue.lease(ask(), never);
    clock.advance(30_000);
    await queue.lease(ask({ workerId: 'worker-2', maxJobs: 0 }), never);
    expect((await queue.lease(ask({ done: [jobIdOf(job)] }), never)).jobs).toEqual([]);
    expect(await queue.outstanding()).toBe(0);
  });

  it('knows after a restart of the master which jobs still run, from what workers say', async () => {
    const restarted = make();
    const job = makeJob();
    const id = jobIdOf(job);
    await restarted.lease(ask({ running: [id] }), never);
    await restarted.enqueue([job]);
    expect((await restarted.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([]);
    await restarted.lease(ask({ done: [id] }), never);
    await restarted.enqueue([job]);
    expect((await restarted.lease(ask({ workerId: 'worker-2' }), never)).jobs).toEqual([job]);
  });

  it('drops jobs beyond its limit and none of those before', async () => {
    const queue = make(3);
    const jobs: ReplicationJob[] = Array.from({ length: 5 }, () => makeJob());
    await queue.enqueue(jobs);
    expect((await queue.lease(ask(), never)).jobs).toEqual(jobs.slice(0, 3));
  });

  it.each([-1, 0, Number.NaN])('gives nothing for %d jobs', async (maxJobs) => {
    const queue = make();
    await queue.enqueue([makeJob()]);
    expect((await queue.lease(ask({ maxJobs, waitMs: 60_000 }), never)).jobs).toEqual([]);
  });

  it('is answered at once when it asks for a wait that is no number', async () => {
    const request = { workerId: 'worker-1', maxJobs: 5, waitMs: Number.NaN } as LeaseRequest;
    expect((await make().lease(request, never)).jobs).toEqual([]);
  });

  it('is answered at once when the queue closes', async () => {
    const queue = make();
    const lease = queue.lease(ask({ waitMs: 60_000 }), never);
    await queue.close();
    expect((await lease).jobs).toEqual([]);
  });
});
