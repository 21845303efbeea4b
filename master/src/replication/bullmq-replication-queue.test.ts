import { once } from 'node:events';
import { jobIdOf, type ReplicationJob, replicationQueueName } from '@dfs/shared';
import {
  eventually,
  makeJob,
  recordingLogger,
  startRedis,
  type TestServer,
} from '@dfs/shared/testing';
import { type Job, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it } from 'vitest';
import { BullmqReplicationQueue } from './bullmq-replication-queue.ts';
import { describeReplicationQueue } from './describe-replication-queue.ts';

const redis = await startRedis();
afterAll(() => redis?.stop());

let prefixes = 0;
const newPrefix = () => `test-${++prefixes}`;

/** Resolves once the queue answers: its connection is made in the background. */
async function connected(queue: BullmqReplicationQueue): Promise<BullmqReplicationQueue> {
  await eventually(() => queue.outstanding().catch(() => -1)).toBeGreaterThanOrEqual(0);
  return queue;
}

async function harnessOver(server: TestServer) {
  const { logger } = recordingLogger();
  const prefix = newPrefix();
  const queue = await connected(
    new BullmqReplicationQueue({ redisUrl: server.url, logger, prefix }),
  );
  const connection = new Redis(server.url, { maxRetriesPerRequest: null }).on('error', () => {});
  const makeWorker = () => {
    const worker = new Worker<ReplicationJob>(replicationQueueName, null, {
      connection,
      prefix,
      autorun: false,
      lockDuration: 300,
      stalledInterval: 100,
    });
    // Redis is killed on purpose.
    return worker.on('error', () => {});
  };
  const worker = makeWorker();
  const taken = new Map<string, Job<ReplicationJob>>();
  return {
    queue,
    take: async (count: number) => {
      const jobs: ReplicationJob[] = [];
      while (jobs.length < count) {
        const job = await worker.getNextJob('token', { block: false });
        if (!job) break;
        taken.set(jobIdOf(job.data), job);
        jobs.push(job.data);
      }
      return jobs;
    },
    finish: async (job: ReplicationJob) => {
      await taken.get(jobIdOf(job))?.moveToCompleted('', 'token', false);
    },
    vanish: async () => {
      const stalled = new Set<string>();
      const watcher = makeWorker();
      const allStalled = new Promise<void>((resolve) => {
        watcher.on('stalled', (id) => {
          stalled.add(id);
          if (stalled.size === taken.size) resolve();
        });
      });
      await watcher.startStalledCheckTimer();
      await allStalled;
      await watcher.close();
    },
    close: async () => {
      await queue.close();
      await worker.close();
      connection.disconnect();
    },
  };
}

describe.skipIf(!redis)('with a real Redis', () => {
  const server = redis as TestServer;

  describeReplicationQueue('BullmqReplicationQueue', () => harnessOver(server));

  it('fails at once while Redis is down and works again after', async () => {
    const { queue, take, close } = await harnessOver(server);
    await server.kill();
    await eventually(() => queue.outstanding().catch((error) => error.kind)).toBe('unavailable');
    const startedAt = performance.now();
    await expect(queue.enqueue([makeJob()])).rejects.toMatchObject({ kind: 'unavailable' });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    await server.restart();
    await connected(queue);
    const job = makeJob();
    await queue.enqueue([job]);
    expect(await take(10)).toEqual([job]);
    await close();
  });

  it('keeps over a crash of Redis what it took', async () => {
    const { queue, take, close } = await harnessOver(server);
    const jobs = [makeJob(), makeJob()];
    await queue.enqueue(jobs);
    await server.kill();
    await server.restart();
    await connected(queue);
    expect(await take(10)).toEqual(jobs);
    await close();
  });

  it('takes the same jobs again after Redis was flushed', async () => {
    const { queue, take, close } = await harnessOver(server);
    const jobs = [makeJob(), makeJob()];
    await queue.enqueue(jobs);
    await take(1);
    const admin = new Redis(server.url);
    await admin.flushall();
    admin.disconnect();
    expect(await queue.outstanding()).toBe(0);
    await queue.enqueue(jobs);
    expect(await take(10)).toEqual(jobs);
    await close();
  });

  it('starts while Redis is down, says so once, and works when it comes', async () => {
    await server.kill();
    const { logger, lines } = recordingLogger();
    const queue = new BullmqReplicationQueue({ redisUrl: server.url, logger, prefix: newPrefix() });
    await eventually(() => lines).toHaveLength(1);
    await expect(queue.enqueue([makeJob()])).rejects.toMatchObject({ kind: 'unavailable' });
    await server.restart();
    await connected(queue);
    await queue.enqueue([makeJob()]);
    expect(await queue.outstanding()).toBe(1);
    expect(lines.map((line) => line.level)).toEqual(['warn', 'info']);
    await queue.close();
  });

  it('closes while Redis is down', async () => {
    const { logger } = recordingLogger();
    const queue = await connected(
      new BullmqReplicationQueue({ redisUrl: server.url, logger, prefix: newPrefix() }),
    );
    await server.kill();
    await queue.close();
    await server.restart();
  });

  it('warns once of an eviction policy that loses jobs', async () => {
    const admin = new Redis(server.url);
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const { logger, lines } = recordingLogger();
    const queue = await connected(
      new BullmqReplicationQueue({ redisUrl: server.url, logger, prefix: newPrefix() }),
    );
    await eventually(() =>
      lines.filter((line) => line.message.includes('noeviction')),
    ).toHaveLength(1);
    // A reconnection looks again and has nothing new to say.
    const reconnected = once(admin, 'ready');
    await admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no').catch(() => undefined);
    await reconnected;
    await connected(queue);
    expect(lines.filter((line) => line.message.includes('noeviction'))).toHaveLength(1);
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    admin.disconnect();
    await queue.close();
  });
});
