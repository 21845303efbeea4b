import { jobIdOf, type ReplicationJob, StoreError } from '@dfs/shared';
import { eventually, makeJob } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobSource } from './job-source.ts';
import { makeGate } from './test-gate.ts';

/** Sources under test and the other end of them, as a master would hold it. */
export interface JobSourceHarness {
  /** A new source; closed by the suite. Running jobs are given 100 ms at its close. */
  makeSource(): JobSource;
  enqueue(jobs: readonly ReplicationJob[]): Promise<void>;
  /** Jobs waiting or running. */
  outstanding(): Promise<number>;
  /** The other end dies, with or without what it had; resolves when it is gone. */
  crash(): Promise<void>;
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Proves that a source keeps the promises of `JobSource`. */
export function describeJobSource(name: string, create: () => Promise<JobSourceHarness>): void {
  describe(name, () => {
    let harness: JobSourceHarness;
    let sources: JobSource[];
    beforeEach(async () => {
      harness = await create();
      sources = [];
    });
    afterEach(async () => {
      await Promise.all(sources.map((source) => source.close()));
      await harness.close();
    });
    const makeSource = () => {
      const source = harness.makeSource();
      sources.push(source);
      return source;
    };
    const ids = (jobs: readonly ReplicationJob[]) => jobs.map(jobIdOf).toSorted();

    it('gives every job to the handler, whole and once', async () => {
      const jobs = Array.from({ length: 300 }, () => makeJob());
      const seen: ReplicationJob[] = [];
      void makeSource().run(async (job) => void seen.push(job));
      await harness.enqueue(jobs.slice(0, 100));
      await harness.enqueue(jobs.slice(100));
      await eventually(() => seen.length).toBe(300);
      expect(ids(seen)).toEqual(ids(jobs));
      expect(seen.find((job) => jobIdOf(job) === jobIdOf(jobs[0] as ReplicationJob))).toEqual(
        jobs[0],
      );
      await eventually(() => harness.outstanding()).toBe(0);
    });

    it('gives jobs that were queued before it came', async () => {
      const job = makeJob();
      await harness.enqueue([job]);
      const given = new Promise<ReplicationJob>((resolve) => {
        void makeSource().run(async (each) => resolve(each));
      });
      expect(await given).toEqual(job);
    });

    it('goes on with others while some jobs hang', async () => {
      const gate = makeGate();
      const ended: ReplicationJob[] = [];
      const hanging = Array.from({ length: 20 }, () => makeJob({ path: '/hangs' }));
      void makeSource().run(async (job) => {
        if (job.path === '/hangs') await gate.opened;
        ended.push(job);
      });
      await harness.enqueue(hanging);
      const others = Array.from({ length: 50 }, () => makeJob());
      await harness.enqueue(others);
      await eventually(() => ended.length).toBe(50);
      expect(ids(ended)).toEqual(ids(others));
      gate.open();
      await eventually(() => ended.length).toBe(70);
    });

    it('does not give a job again while it runs', async () => {
      const gate = makeGate();
      let runs = 0;
      void makeSource().run(async (job) => {
        if (job.path !== '/again') return;
        runs += 1;
        await gate.opened;
      });
      const job = makeJob({ path: '/again' });
      await harness.enqueue([job]);
      await eventually(() => runs).toBe(1);
      await harness.enqueue([job, makeJob()]);
      await eventually(() => harness.outstanding()).toBe(1);
      expect(runs).toBe(1);
      gate.open();
      await eventually(() => harness.outstanding()).toBe(0);
      await harness.enqueue([job]);
      await eventually(() => runs).toBe(2);
    });

    it('goes on after a job that can never succeed', async () => {
      const seen: string[] = [];
      void makeSource().run(async (job) => {
        seen.push(job.path);
        if (job.path === '/bad') throw new StoreError('invalid-request', 'never');
      });
      await harness.enqueue([makeJob({ path: '/bad' }), makeJob({ path: '/good' })]);
      await eventually(() => seen.toSorted()).toEqual(['/bad', '/good']);
      await eventually(() => harness.outstanding()).toBe(0);
      expect(seen.filter((path) => path === '/bad')).toHaveLength(1);
    });

    it('lets running jobs end when it closes', async () => {
      const gate = makeGate();
      const started = makeGate();
      let outcome = 'none';
      const source = makeSource();
      const run = source.run(async (_job, signal) => {
        started.open();
        await gate.opened;
        outcome = signal.aborted ? 'aborted' : 'ended';
      });
      await harness.enqueue([makeJob()]);
      await started.opened;
      const closed = source.close();
      gate.open();
      await closed;
      await run;
      expect(outcome).toBe('ended');
      expect(await harness.outstanding()).toBe(0);
    });

    it('breaks off what does not end when it closes, and somebody else gets that job', async () => {
      const source = makeSource();
      const job = makeJob();
      const started = makeGate();
      const run = source.run(async (_job, signal) => {
        started.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw new StoreError('cancelled', 'The job was cancelled.');
      });
      await harness.enqueue([job]);
      await started.opened;
      await source.close();
      await run;
      const given = new Promise<ReplicationJob>((resolve) => {
        void makeSource().run(async (each) => resolve(each));
      });
      expect(await given).toEqual(job);
    });

    it('takes no job after it closed', async () => {
      let runs = 0;
      const source = makeSource();
      const run = source.run(async () => {
        runs += 1;
      });
      await source.close();
      await run;
      await harness.enqueue([makeJob()]);
      expect(await harness.outstanding()).toBe(1);
      expect(runs).toBe(0);
    });

    it('survives that the other end dies and comes back', async () => {
      const seen: ReplicationJob[] = [];
      const gate = makeGate();
      void makeSource().run(async (job) => {
        seen.push(job);
        if (job.path === '/during') await gate.opened;
      });
      const during = makeJob({ path: '/during' });
      await harness.enqueue([during]);
      await eventually(() => seen.length).toBe(1);
      await harness.crash();
      gate.open();
      await harness.restart();
      const after = makeJob();
      await harness.enqueue([after]);
      await eventually(() => seen.some((job) => jobIdOf(job) === jobIdOf(after))).toBe(true);
    });

    it('closes while the other end is away', async () => {
      const source = makeSource();
      const seen = makeGate();
      const run = source.run(async () => seen.open());
      await harness.enqueue([makeJob()]);
      await seen.opened;
      await harness.crash();
      await source.close();
      await run;
      await harness.restart();
    });
  });
}
