import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeAnswer } from './harness/answers.ts';
import { contentOf } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import {
  type SeparateNode,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('a node that is taken out while everything runs', () => {
  let programs: SeparatePrograms;
  let node1: SeparateNode;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 3, copies: 2 });
    node1 = programs.node('node-1');
  });
  afterAll(() => programs?.dispose());

  const paths = Array.from({ length: 40 }, (_, index) => `/kept/${index}.bin`);
  const idOf = async (name: string) =>
    (await programs.nodes()).find((node) => node.name === name)?.id;

  it('is not removed while it holds the only copy of something, and stays as it was', async () => {
    for (const path of paths) await programs.store(path, contentOf(path, 30_000));
    const lone = '/lone.bin';
    await programs.waitForAllCopies();
    const [only, other] = [programs.node('node-1'), programs.node('node-2')];
    await only.program.stop();
    await waitUntil('the node to be down', async () => (await programs.status()).away.length === 1);
    // Everything can be read, but not everything has all its copies.
    expect((await programs.dfs(['status'])).code).toBe(8);
    // With two of three away, nothing of what is on them can be removed by mistake.
    await other.program.stop();
    await waitUntil('both to be down', async () => (await programs.status()).away.length === 2);
    await programs.store(lone, contentOf(lone, 10_000));
    const refused = await programs.dfs(['nodes', 'rm', 'node-3']);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain('node-3 holds the only copy that can be reached of');
    expect(refused.stderr).toContain('dfs drain node-3');
    const drained = await programs.dfs(['drain', 'node-3']);
    expect(drained.code).toBe(5);
    expect((await programs.dfs(['status'])).code).toBe(9);
    for (const { name, dataDir, port } of [only, other]) {
      programs.nodeList.splice(
        programs.nodeList.findIndex((node) => node.name === name),
        1,
      );
      await programs.startNode({ name, dataDir, port });
    }
    await programs.waitForAllCopies();
    expect((await programs.dfs(['status'])).code).toBe(0);
    node1 = programs.node('node-1');
  });

  it('is drained under load without a failed request, also when the master dies on the way, and ends empty', async () => {
    expect((await programs.dfs(['drain', 'nobody'])).code).toBe(3);
    const drained = await programs.dfsJson<NodeAnswer & { copiesLeft: number }>([
      'drain',
      'node-1',
    ]);
    expect(drained.state).toBe('draining');
    let isDone = false;
    const failures: unknown[] = [];
    const load = (async () => {
      for (let count = 0; !isDone; count += 1) {
        const path = `/meanwhile/${count}.bin`;
        const put = await programs.put(path, contentOf(path, 10_000));
        if (put.status !== 201) failures.push(put.text);
        else if (put.json<{ primary: { name: string } }>().primary.name === 'node-1') {
          failures.push('A new file went to the node that is drained.');
        }
        const kept = paths[count % paths.length] as string;
        const got = await programs.get(kept);
        if (got.status !== 200 || !got.body.equals(contentOf(kept, 30_000))) failures.push(kept);
      }
    })();
    try {
      await waitUntil(
        'an empty disk',
        async () => {
          const [status] = (await programs.status()).draining;
          return status?.copiesLeft === 0 && (await copiesOnDisk(node1.dataDir)).length === 0;
        },
        { withinMs: 90_000 },
      );
    } finally {
      isDone = true;
      await load;
    }
    expect(failures).toEqual([]);
    const shown = await programs.dfs(['status']);
    expect(shown.stdout).toContain('node-1 is drained: empty');
    await programs.restartMaster();
    await waitUntil('the node to be drained still', async () => {
      const node = (await programs.nodes()).find(({ name }) => name === 'node-1');
      return node?.state === 'draining';
    });
  });

  it('takes blobs again when that is called off', async () => {
    expect((await programs.dfs(['drain', 'node-1', '--cancel'])).code).toBe(0);
    const primaries: string[] = [];
    await waitUntil('a new file on it', async () => {
      const path = `/again/${primaries.length}.bin`;
      primaries.push((await programs.store(path, contentOf(path, 1_000))).primary.name);
      return primaries.includes('node-1');
    });
  });

  it('is drained and removed, refused when it comes back, and welcome with an empty disk under its old name', async () => {
    await programs.dfs(['drain', 'node-1']);
    await waitUntil(
      'an empty node',
      async () => (await programs.status()).draining[0]?.copiesLeft === 0,
      { withinMs: 90_000 },
    );
    const removed = await programs.dfsJson<{ id: string }>(['nodes', 'rm', 'node-1']);
    expect((await programs.nodes()).map(({ name }) => name).sort()).toEqual(['node-2', 'node-3']);
    await node1.program.stop();
    programs.nodeList.splice(programs.nodeList.indexOf(node1), 1);
    const back = programs.startDfs(
      ['node', '--data', node1.dataDir, '--name', 'node-1', '--master', programs.managementUrl],
      { environment: { DFS_CLUSTER_KEY: programs.key, DFS_PORT: '0', DFS_HOST: '127.0.0.1' } },
    );
    const finished = await back.finished;
    expect(finished.code).not.toBe(0);
    const said = finished.stderr.split('\n').filter((line) => line.includes('was removed'));
    expect(said, finished.stderr).toHaveLength(1);
    await programs.startNode({ name: 'node-1' });
    expect(await idOf('node-1')).not.toBe(removed.id);
    expect((await programs.dfs(['rebalance'])).code).toBe(0);
    await waitUntil(
      'evening out to end',
      async () => {
        const { rebalance } = await programs.status();
        if (rebalance.running) throw new Error(JSON.stringify(rebalance));
        return true;
      },
      { withinMs: 90_000 },
    );
    await programs.waitUntilTidy();
    for (const path of paths) {
      expect((await programs.get(path)).body.equals(contentOf(path, 30_000))).toBe(true);
    }
  });

  it('is removed with the only copy of something where that is insisted on, and what is lost is told', async () => {
    const others = ['node-1', 'node-2'].map((name) => programs.node(name));
    for (const { program } of others) await program.stop();
    await waitUntil('both to be down', async () => (await programs.status()).away.length === 2);
    await programs.store('/lone-again.bin', contentOf('/lone-again.bin', 10_000));
    expect((await programs.dfs(['nodes', 'rm', 'node-3'])).code).toBe(5);
    expect((await programs.dfs(['nodes', 'rm', 'node-3', '--force'])).code).toBe(0);
    await programs.node('node-3').program.stop();
    programs.nodeList.length = 0;
    for (const { name, dataDir, port } of others) await programs.startNode({ name, dataDir, port });
    await waitUntil('both to be up', async () => (await programs.status()).nodes.up === 2);
    // The rows of its copies go in the background.
    await waitUntil('the loss to be told', async () => {
      return (await programs.dfs(['status'])).code === 9;
    });
    expect((await programs.get('/lone-again.bin')).status).toBe(503);
    for (const path of paths) {
      expect((await programs.get(path)).body.equals(contentOf(path, 30_000))).toBe(true);
    }
  });
});
