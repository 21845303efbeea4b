import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

const minuteMs = 60_000;

describe('a process that stood still for a minute, with the times that users have', () => {
  let cluster: LocalCluster;
  const paths = Array.from({ length: 40 }, (_, index) => `/time/${index}.bin`);
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: 3,
      copies: 2,
      environment: { DFS_HEARTBEAT_EVERY: '3s', DFS_NODE_TIMEOUT: '15s', DFS_REPLACE_AFTER: '60s' },
    });
    for (const path of paths) await cluster.store(path, contentOf(path, 30_000));
    await cluster.waitForAllCopies();
  });
  afterAll(() => cluster?.dispose());

  const nodeNames = ['node-1', 'node-2', 'node-3'];
  it.each([
    ['a node', ['node-1']],
    ['the master', ['master']],
    ['all nodes', nodeNames],
    ['the whole machine', ['master', 'replicator', ...nodeNames]],
  ])('%s: no copy is made or dropped because of it', async (_what, members) => {
    const before = await cluster.log({ limit: '1000' });
    const copiesBefore = (await cluster.onDisk()).copies;
    for (const member of members) await cluster.kill(member, 'SIGSTOP');
    await delay(minuteMs);
    for (const member of members.toReversed()) await cluster.kill(member, 'SIGCONT');
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    // What a wrong conclusion would start, it starts within this.
    await delay(20_000);
    expect((await cluster.log({ limit: '1000' })).slice(before.length)).toEqual([]);
    expect((await cluster.onDisk()).copies).toBe(copiesBefore);
    for (const path of paths) {
      expect([path, md5Of((await cluster.get(path)).body)]).toEqual([
        path,
        md5Of(contentOf(path, 30_000)),
      ]);
    }
  });
});
