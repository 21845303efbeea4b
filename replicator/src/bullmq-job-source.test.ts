import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { jobIdOf, type ReplicationJob, replicationQueueName, StoreError } from '@dfs/shared';
import {
  eventually,
  makeJob,
  recordingLogger,
  startRedis,
  type TestServer,
} from '@dfs/shared/testing';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it } from 'vitest';
import { BullmqJobSource, type BullmqJobSourceOptions } from './bullmq-job-source.ts';
import { describeJobSource } from './describe-job-source.ts';
import { makeGate } from './test-gate.ts';

const redis = await startRedis();
afterAll(() => redis?.stop());

let prefixes = 0;

/** The master's end of the queue, with the options that it gives to jobs. */
function masterOf(server: TestServer) {
  const prefix = `test-${++prefixes}`;
  const connection = new Redis(server.url, { maxRetriesPerRequest: null });
  connection.on('error', () => {});
  const queue = new Queue<ReplicationJob>(replicationQueueName, { connection, prefix });
  queue.on('error', () => {});
  return {
    prefix,
    connection,
    enqueue: async (jobs: readonly ReplicationJob[]) => {
      const entries = jobs.map((job) => {
        const opts = {
          jobId: jobIdOf(job),
          attempts: 3,
          backoff: { type: 'by-error-code' },
          removeOnComplete: true,
          removeOnFail: true,
        };
        return { name: 'copy-blob', data: job, opts };
      });
      await queue.addBulk(entries);
    },
    outstanding: async () => {
      const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'prioritized');
      return Object.values(counts).reduce((sum, count) => sum + count, 0);
    },
    close: async () => {
      await queue.close();
      connection.disconnect();
    },
  };
}

function sourceOf(
  server: TestServer,
  prefix: string,
  options: Partial<BullmqJobSourceOptions> = {},
): BullmqJobSource {
  return new BullmqJobSource({
    redisUrl: server.url,
    logger: recordingLogger().logger,
    random: () => 0,
    prefix,
    lockMs: 3_000,
    stalledEveryMs: 200,
    closeWithinMs: 100,
    ...options,
  });
}

describe.skipIf(!redis)('with a real Redis', () => {
  const server = redis as TestServer;

  describeJobSource('BullmqJobSource', async () => {
    const master = masterOf(server);
    return {
      makeSource: () => sourceOf(server, master.prefix),
      enqueue: master.enqueue,
      outstanding: master.outstanding,
      crash: () => server.kill(),
      restart: () => server.restart(),
      close: master.close,
    };
  });

  it('tries a job again that failed for a while, and gives up after three attempts', async () => {
    const master = masterOf(server);
    const source = sourceOf(server, master.prefix);
    const times: number[] = [];
    void source.run(async () => {
      times.push(performance.now());
      throw new StoreError('unavailable', 'The node is busy.');
    });
    await master.enqueue([makeJob()]);
    await eventually(() => times.length).toBe(3);
    await eventually(() => master.outstanding()).toBe(0);
    // Half of 250 ms, then of 500 ms: the shortest that the shared policy allows. Timers of Redis are coarse.
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(100);
    expect((times[2] ?? 0) - (times[1] ?? 0)).toBeGreaterThan(200);
    await source.close();
    await master.close();
  });

  it('takes over a job whose worker was killed', async () => {
    const master = masterOf(server);
    const job = makeJob();
    await master.enqueue([job]);
    const program = `
      import { Worker } from 'bullmq';
      import { Redis } from 'ioredis';
      const connection = new Redis(${JSON.stringify(server.url)}, { maxRetriesPerRequest: null });
      const prefix = ${JSON.stringify(master.prefix)};
      const options = { connection, prefix, lockDuration: 400, stalledInterval: 200 };
      new Worker(${JSON.stringify(replicationQueueName)}, async () => {
        process.stdout.write('taken');
        await new Promise(() => setInterval(() => {}, 1_000));
      }, options);
    `;
    const doomed = spawn(process.execPath, ['--input-type=module', '-e', program], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(doomed.stdout, 'data');
    doomed.kill('SIGKILL');
    await once(doomed, 'exit');
    const source = sourceOf(server, master.prefix);
    const given = new Promise<ReplicationJob>((resolve) => {
      void source.run(async (each) => resolve(each));
    });
    expect(await given).toEqual(job);
    await source.close();
    await master.close();
  });

  it('keeps a job that takes much longer than its lock', async () => {
    const master = masterOf(server);
    const lock = { lockMs: 1_500 };
    const slow = sourceOf(server, master.prefix, lock);
    const other = sourceOf(server, master.prefix, lock);
    const gate = makeGate();
    let runs = 0;
    const handler = async () => {
      runs += 1;
      await gate.opened;
    };
    void slow.run(handler);
    void other.run(handler);
    await master.enqueue([makeJob()]);
    await eventually(() => runs).toBe(1);
    // The time of two locks passes in Redis, while both sources look for stalled jobs.
    const startedAt = Date.now();
    await eventually(() => Date.now() - startedAt).toBeGreaterThan(3_200);
    expect(runs).toBe(1);
    gate.open();
    await eventually(() => master.outstanding()).toBe(0);
    await slow.close();
    await other.close();
    await master.close();
  });

  it('breaks off a job whose lock was lost', async () => {
    const master = masterOf(server);
    const source = sourceOf(server, master.prefix, { stalledEveryMs: 60_000 });
    const started = makeGate();
    const broken = makeGate();
    void source.run(async (_job, signal) => {
      signal.addEventListener('abort', () => broken.open());
      started.open();
      await broken.opened;
    });
    const job = makeJob();
    await master.enqueue([job]);
    await started.opened;
    const lock = `${master.prefix}:${replicationQueueName}:${jobIdOf(job)}:lock`;
    expect(await master.connection.del(lock)).toBe(1);
    await broken.opened;
    await source.close();
    await master.close();
  });

  it('goes on after Redis was flushed in the middle of jobs', async () => {
    const master = masterOf(server);
    const source = sourceOf(server, master.prefix);
    const gate = makeGate();
    const seen: string[] = [];
    void source.run(async (job) => {
      seen.push(job.path);
      if (job.path === '/before') await gate.opened;
    });
    await master.enqueue([makeJob({ path: '/before' }), makeJob({ path: '/before' })]);
    await eventually(() => seen.length).toBe(2);
    await master.connection.flushall();
    gate.open();
    await master.enqueue([makeJob({ path: '/after' })]);
    await eventually(() => seen).toContain('/after');
    await source.close();
    await master.close();
  });

  it('starts while Redis is down and says so once', async () => {
    const master = masterOf(server);
    await server.kill();
    const { logger, lines } = recordingLogger();
    const source = sourceOf(server, master.prefix, { logger });
    const given = new Promise<ReplicationJob>((resolve) => {
      void source.run(async (each) => resolve(each));
    });
    await eventually(() => lines.length).toBe(1);
    await server.restart();
    const job = makeJob();
    await master.enqueue([job]);
    expect(await given).toEqual(job);
    expect(lines.filter((line) => line.level === 'warn')).toHaveLength(1);
    await source.close();
    await master.close();
  });

  it('warns of an eviction policy that loses jobs', async () => {
    const admin = new Redis(server.url);
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { logger, lines } = recordingLogger();
    const source = sourceOf(server, 'test-policy', { logger });
    void source.run(async () => {});
    await eventually(() =>
      lines.filter((line) => line.message.includes('noeviction')),
    ).toHaveLength(1);
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    admin.disconnect();
    await source.close();
  });
});
