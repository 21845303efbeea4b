import { type ReplicationJob, replicationQueueName } from '@dfs/shared';
import { eventually, recordingLogger, startRedis, type TestServer } from '@dfs/shared/testing';
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, describe, expect, it } from 'vitest';
import { BullmqReplicationQueue } from './bullmq-replication-queue.ts';
import { TestCluster, type TestNode } from './test-cluster.ts';

const redis = await startRedis();
afterAll(() => redis?.stop());

/** A cluster whose jobs travel through this Redis. The worker ends what it takes; `lose` makes it take without doing. */
async function startCluster(server: TestServer) {
  const prefix = `repair-${Math.floor(performance.now() * 1_000)}`;
  const queue = new BullmqReplicationQueue({
    redisUrl: server.url,
    logger: recordingLogger().logger,
    prefix,
  });
  await eventually(() => queue.outstanding().catch(() => -1)).toBe(0);
  const connection = new Redis(server.url, { maxRetriesPerRequest: null }).on('error', () => {});
  const worker = new Worker<ReplicationJob>(replicationQueueName, null, {
    connection,
    prefix,
    autorun: false,
  });
  worker.on('error', () => {});
  const takeJobs = async () => {
    const jobs: ReplicationJob[] = [];
    for (;;) {
      const job = await worker.getNextJob('token', { block: false });
      if (!job) return jobs;
      jobs.push(job.data);
      await job.moveToCompleted('', 'token', false);
    }
  };
  const cluster = await TestCluster.start({ nodes: 3, queue: () => queue, takeJobs });
  const close = async () => {
    await cluster.close();
    await worker.close();
    connection.disconnect();
  };
  return { cluster, connection, queue, close };
}

describe.skipIf(!redis)('repair over a real Redis', () => {
  const server = redis as TestServer;

  it('loses nothing when Redis is flushed in the middle', async () => {
    const { cluster, connection, queue, close } = await startCluster(server);
    const [a, b, c] = cluster.directory.nodes as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all(Array.from({ length: 50 }, () => cluster.put([a, b, c])));
    cluster.isReplicatorDown = true;
    await cluster.round();
    await cluster.round();
    expect(await queue.outstanding()).toBe(100);
    await connection.flushall();
    expect(await queue.outstanding()).toBe(0);
    cluster.isReplicatorDown = false;
    cluster.pass(60_000);
    await cluster.settle();
    for (const blob of blobs) expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
    await close();
  });

  it('loses nothing when Redis dies and comes back without its data', async () => {
    const { cluster, connection, queue, close } = await startCluster(server);
    const [a, b, c] = cluster.directory.nodes as [TestNode, TestNode, TestNode];
    const before = await cluster.put([a, b, c]);
    cluster.isReplicatorDown = true;
    await cluster.round();
    await cluster.round();
    await server.kill();
    await eventually(() => queue.outstanding().catch((error) => error.kind)).toBe('unavailable');
    const during = await cluster.put([b, c, a]);
    for (let i = 0; i < 3; i += 1) await cluster.round();
    await server.restart();
    await eventually(() => queue.outstanding().catch(() => -1)).toBeGreaterThanOrEqual(0);
    await connection.flushall();
    cluster.isReplicatorDown = false;
    cluster.pass(60_000);
    await cluster.settle();
    for (const blob of [before, during]) expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
    await close();
  });
});
