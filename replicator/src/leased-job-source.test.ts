import { jobIdOf, StoreError } from '@dfs/shared';
import { eventually, makeJob, recordingLogger } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { describeJobSource } from './describe-job-source.ts';
import { FakeLeases } from './fake-leases.ts';
import { LeasedJobSource } from './leased-job-source.ts';
import { makeGate } from './test-gate.ts';

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
    await eventually(() => leases.requests.some((request) => request.maxJobs === 0)).toBe(true);
    expect(running).toBe(10);
    gate.open();
    await eventually(() => running).toBe(50);
    await source.close();
  });

  it('takes many jobs with few requests and tells their ends with the next ones', async () => {
    const leases = new FakeLeases();
    leases.enqueue(Array.from({ length: 1_000 }, () => makeJob()));
    const source = makeSource(leases);
    void source.run(async () => {});
    await eventually(() => leases.waiting.size + leases.leased.size).toBe(0);
    expect(leases.requests.length).toBeLessThan(20);
    await source.close();
  });

  it('waits with one long request when there is nothing to do', async () => {
    const leases = new FakeLeases();
    const source = makeSource(leases);
    void source.run(async () => {});
    await eventually(() => leases.requests.length).toBe(1);
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
    await eventually(() => leases.leased.size).toBe(1);
    gate.open();
    await eventually(() => leases.leased.size).toBe(0);
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
    await eventually(() => lines).toHaveLength(1);
    leases.isDown = false;
    await eventually(() => leases.requests.length).toBeGreaterThan(0);
    leases.enqueue([makeJob()]);
    await eventually(() => lines.map((line) => line.level)).toEqual(['warn', 'info']);
    await source.close();
  });
});
