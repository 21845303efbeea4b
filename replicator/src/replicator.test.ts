import { jobIdOf, type ReplicationJob, replicationQueueName, StoreError } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { eventually, recordingLogger, startRedis } from '@dfs/shared/testing';
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { readConfig } from './config.ts';
import { clusterKey, FakeCluster, type FakeNode, urlOf } from './fake-cluster.ts';
import { type ReplicatorOptions, startReplicator } from './replicator.ts';
import { makeGate } from './test-gate.ts';

const redis = await startRedis();
afterAll(() => redis?.stop());

const endings: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

async function startCluster(nodes: number): Promise<FakeCluster> {
  const cluster = await new FakeCluster().start(nodes);
  endings.push(() => cluster.stop());
  return cluster;
}

async function start(
  cluster: FakeCluster,
  environment: Record<string, string> = {},
  overrides: Partial<ReplicatorOptions> = {},
) {
  const { logger, lines } = recordingLogger();
  const replicator = await startReplicator({
    config: readConfig({ DFS_MASTER_URL: cluster.masterUrl, ...environment }),
    keyring: ClusterKeyring.of(clusterKey),
    logger,
    stopping: new AbortController().signal,
    ...overrides,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= replicator.stop();
    return stopped;
  };
  endings.push(stop);
  return { stop, lines };
}

const holds = (node: FakeNode, jobs: readonly ReplicationJob[]) =>
  jobs.every((job) => node.store.ids.includes(job.blobId));

const storedOf = (cluster: FakeCluster) =>
  cluster.attempts.filter((attempt) => attempt.outcome === 'stored');

describe('the replicator', () => {
  it('copies what it leases and tells the master of every attempt', async () => {
    const cluster = await startCluster(3);
    const [source, target, other] = cluster.nodes as [FakeNode, FakeNode, FakeNode];
    const jobs = [
      await cluster.makeBlob(target, [source]),
      await cluster.makeBlob(other, [source]),
      await cluster.makeBlob(other, [target, source]),
    ];
    const { lines } = await start(cluster);
    cluster.leases.enqueue(jobs);
    await eventually(() => storedOf(cluster).length).toBe(3);
    expect(holds(target, jobs.slice(0, 1))).toBe(true);
    expect(holds(other, jobs.slice(1))).toBe(true);
    expect(cluster.attempts.map((attempt) => attempt.source)).toEqual(
      expect.arrayContaining([source.id, target.id]),
    );
    expect(lines.filter((line) => line.message === 'copy stored')).toHaveLength(3);
    await eventually(() => cluster.leases.leased.size).toBe(0);
  });

  it.skipIf(!redis)('copies what comes through Redis', async () => {
    const url = redis?.url ?? '';
    const cluster = await startCluster(2);
    const [source, target] = cluster.nodes as [FakeNode, FakeNode];
    const jobs = await Promise.all(
      Array.from({ length: 50 }, () => cluster.makeBlob(target, [source])),
    );
    const connection = new Redis(url, { maxRetriesPerRequest: null });
    const queue = new Queue<ReplicationJob>(replicationQueueName, { connection });
    const entries = jobs.map((job) => {
      const opts = { jobId: jobIdOf(job), removeOnComplete: true, removeOnFail: true };
      return { name: 'copy-blob', data: job, opts };
    });
    await queue.addBulk(entries);
    await start(cluster, { DFS_REDIS_URL: url });
    await eventually(() => storedOf(cluster).length).toBe(50);
    expect(holds(target, jobs)).toBe(true);
    expect(cluster.asked).not.toContain('/cluster/leases');
    await queue.close();
    connection.disconnect();
  });

  it('copies a thousand small blobs with few requests to the master', async () => {
    const cluster = await startCluster(2);
    const [source, target] = cluster.nodes as [FakeNode, FakeNode];
    const jobs = await Promise.all(
      Array.from({ length: 1_000 }, () => cluster.makeBlob(target, [source])),
    );
    cluster.leases.enqueue(jobs);
    await start(cluster);
    await eventually(() => storedOf(cluster).length).toBe(1_000);
    expect(holds(target, jobs)).toBe(true);
    expect(cluster.asked.length).toBeLessThan(400);
  });

  it('takes another source when one lacks the blob, and says so', async () => {
    const cluster = await startCluster(3);
    const [empty, source, target] = cluster.nodes as [FakeNode, FakeNode, FakeNode];
    const job = await cluster.makeBlob(target, [source]);
    await start(cluster);
    cluster.leases.enqueue([{ ...job, sources: [empty.id, source.id] }]);
    await eventually(() => cluster.attempts).toMatchObject([
      { source: empty.id, outcome: 'failed', errorCode: 'not-found', sourceIsBad: 'missing' },
      { source: source.id, outcome: 'stored' },
    ]);
  });

  it('tells of a target without room and leaves it at that', async () => {
    const cluster = await startCluster(2);
    const [source, target] = cluster.nodes as [FakeNode, FakeNode];
    target.store.fault = () => {
      throw new StoreError('no-room', 'The disk is full.');
    };
    const job = await cluster.makeBlob(target, [source]);
    await start(cluster);
    cluster.leases.enqueue([job]);
    await eventually(() => cluster.leases.leased.size + cluster.leases.waiting.size).toBe(0);
    await eventually(() => cluster.attempts.map((attempt) => attempt.errorCode)).toEqual([
      'no-room',
    ]);
  });

  it('finds nodes that swapped their addresses, and never makes one do the work of the other', async () => {
    const cluster = await startCluster(3);
    const [source, one, two] = cluster.nodes as [FakeNode, FakeNode, FakeNode];
    const [oneUrl, twoUrl] = [urlOf(one.server), urlOf(two.server)];
    cluster.urls.set(one.id, twoUrl).set(two.id, oneUrl);
    const jobs = [await cluster.makeBlob(one, [source]), await cluster.makeBlob(two, [source])];
    await start(cluster);
    // The master learns of the swap after the replicator took its first map.
    cluster.urls.set(one.id, oneUrl).set(two.id, twoUrl);
    cluster.leases.enqueue(jobs);
    await eventually(() => storedOf(cluster).length).toBe(2);
    expect(one.store.ids).toEqual([jobs[0]?.blobId]);
    expect(two.store.ids).toEqual([jobs[1]?.blobId]);
    expect(cluster.attempts.some((attempt) => attempt.errorCode === 'wrong-node')).toBe(true);
  });

  it('goes on copying for others while one node hangs', async () => {
    const cluster = await startCluster(4);
    const [source, hanging, fine, alsoFine] = cluster.nodes as [
      FakeNode,
      FakeNode,
      FakeNode,
      FakeNode,
    ];
    const gate = makeGate();
    hanging.store.fault = () => gate.opened;
    const stuck = await Promise.all(
      Array.from({ length: 30 }, () => cluster.makeBlob(hanging, [source, fine])),
    );
    const jobs = [
      ...(await Promise.all(
        Array.from({ length: 30 }, () => cluster.makeBlob(fine, [source, alsoFine])),
      )),
      ...(await Promise.all(
        Array.from({ length: 30 }, () => cluster.makeBlob(alsoFine, [source, fine])),
      )),
    ];
    await start(cluster, { DFS_COPY_CONCURRENCY: '6' });
    cluster.leases.enqueue([...stuck, ...jobs]);
    await eventually(() => storedOf(cluster).length).toBe(60);
    expect(storedOf(cluster).some((attempt) => attempt.target === hanging.id)).toBe(false);
    gate.open();
    await eventually(() => storedOf(cluster).length).toBe(90);
  });

  it('loses no outcome when the master restarts in the middle', async () => {
    const cluster = await startCluster(2);
    const [source, target] = cluster.nodes as [FakeNode, FakeNode];
    const gate = makeGate();
    target.store.fault = () => gate.opened;
    const jobs = await Promise.all(
      Array.from({ length: 40 }, () => cluster.makeBlob(target, [source])),
    );
    await start(cluster, { DFS_COPY_CONCURRENCY: '100' });
    cluster.leases.enqueue(jobs);
    await eventually(() => cluster.leases.leased.size).toBe(40);
    await cluster.stopMaster();
    cluster.leases.leased.clear();
    gate.open();
    await eventually(() => holds(target, jobs)).toBe(true);
    await cluster.startMaster();
    await eventually(() => storedOf(cluster).length).toBe(40);
    const next = await cluster.makeBlob(target, [source]);
    cluster.leases.enqueue([next]);
    await eventually(() => storedOf(cluster).length).toBe(41);
  });

  it('waits for a master that is not there yet', async () => {
    const cluster = await startCluster(2);
    const [source, target] = cluster.nodes as [FakeNode, FakeNode];
    cluster.leases.enqueue([await cluster.makeBlob(target, [source])]);
    await cluster.stopMaster();
    const { logger, lines } = recordingLogger();
    const starting = start(cluster, {}, { logger });
    await eventually(() => lines.map((line) => line.message)).toContain('waiting for the master');
    await cluster.startMaster();
    await starting;
    await eventually(() => storedOf(cluster).length).toBe(1);
  });

  it('stops while it waits for the master', async () => {
    const cluster = await startCluster(0);
    await cluster.stopMaster();
    const stopping = new AbortController();
    const starting = start(cluster, {}, { stopping: stopping.signal });
    stopping.abort();
    const { stop } = await starting;
    await stop();
  });

  it.each([undefined, 'another-key'])(
    'is refused with one clear line with the key %s',
    async (key) => {
      const cluster = await startCluster(0);
      await expect(start(cluster, {}, { keyring: ClusterKeyring.of(key) })).rejects.toMatchObject({
        kind: 'unauthorized',
        message: 'The cluster key is wrong.',
      });
    },
  );

  it('stops in order: copies that run are told, those that hang are given back', async () => {
    const cluster = await startCluster(3);
    const [source, target, hanging] = cluster.nodes as [FakeNode, FakeNode, FakeNode];
    const [gate, started] = [makeGate(), makeGate()];
    hanging.store.fault = () => gate.opened;
    target.store.fault = () => started.open();
    const ends = await cluster.makeBlob(target, [source]);
    const hangs = await cluster.makeBlob(hanging, [source]);
    const { stop } = await start(cluster);
    cluster.leases.enqueue([hangs, ends]);
    await started.opened;
    await stop();
    expect(storedOf(cluster).map((attempt) => attempt.blobId)).toEqual([ends.blobId]);
    expect([...cluster.leases.waiting.keys()]).toEqual([jobIdOf(hangs)]);
    gate.open();
  });
});
