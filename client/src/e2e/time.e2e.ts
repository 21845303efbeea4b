import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

const nodeTimeoutMs = 1_500;
const replaceAfterMs = 3_500;
/** Everything that a node is waited for, and a bit more. */
const pastAllMs = nodeTimeoutMs + replaceAfterMs + 2_000;

describe('a process that stood still', () => {
  let cluster: LocalCluster;
  const paths = Array.from({ length: 40 }, (_, index) => `/time/${index}.bin`);
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: 3,
      copies: 2,
      environment: {
        DFS_NODE_TIMEOUT: `${nodeTimeoutMs}ms`,
        DFS_REPLACE_AFTER: `${replaceAfterMs}ms`,
      },
    });
    for (const path of paths) await cluster.store(path, contentOf(path, 30_000));
    await cluster.waitForAllCopies();
  });
  afterAll(() => cluster?.dispose());

  const nodeNames = ['node-1', 'node-2', 'node-3'];
  const everyone = ['master', 'replicator', ...nodeNames];

  /** Suspends these, waits, lets them go on, and waits until all is as before. Gives what was logged because of it. */
  async function standStill(members: readonly string[], ms: number) {
    const before = await cluster.log({ limit: '1000' });
    const copiesBefore = (await cluster.onDisk()).copies;
    for (const member of members) await cluster.kill(member, 'SIGSTOP');
    await delay(ms);
    for (const member of members.toReversed()) await cluster.kill(member, 'SIGCONT');
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    await cluster.waitForAllCopies();
    // What a wrong conclusion would start, it starts within a few rounds of the loops.
    await delay(3_000);
    await cluster.waitUntilTidy();
    const rows = (await cluster.log({ limit: '1000' })).slice(before.length);
    return { rows, copiesBefore, copiesAfter: (await cluster.onDisk()).copies };
  }

  const expectAllRight = async () => {
    for (const path of paths) {
      const got = await cluster.get(path);
      expect([path, got.status, md5Of(got.body)]).toEqual([
        path,
        200,
        md5Of(contentOf(path, 30_000)),
      ]);
    }
  };

  it.each([
    ['a node, until it counted as down', ['node-1'], nodeTimeoutMs + 2_000],
    ['the master, past every limit', ['master'], pastAllMs],
    ['all nodes at once, past every limit', nodeNames, pastAllMs],
    ['two of three nodes, past every limit', ['node-1', 'node-2'], pastAllMs],
    ['the whole machine, past every limit', everyone, pastAllMs],
    ['master and one node, past every limit', ['master', 'node-2'], pastAllMs],
  ])('%s: no copy is made or dropped because of it', async (_what, members, ms) => {
    const { rows, copiesBefore, copiesAfter } = await standStill(members, ms);
    expect(rows.map(({ outcome, path }) => [outcome, path])).toEqual([]);
    expect(copiesAfter).toBe(copiesBefore);
    await expectAllRight();
  });

  it('a replicator makes the copies that waited for it, each once', async () => {
    await cluster.kill('replicator', 'SIGSTOP');
    const waiting = Array.from({ length: 20 }, (_, index) => `/waiting/${index}.bin`);
    for (const path of waiting) await cluster.store(path, contentOf(path, 20_000));
    expect((await cluster.status()).replicas.wanted).toBeGreaterThanOrEqual(waiting.length - 2);
    await delay(3_000);
    await cluster.kill('replicator', 'SIGCONT');
    await cluster.waitForCopies(waiting, 2);
    for (const path of waiting) {
      const rows = await cluster.log({ path });
      expect([path, rows.map(({ outcome }) => outcome)]).toEqual([path, ['stored']]);
    }
    await cluster.waitUntilTidy();
  });

  it('a node that stays away is replaced once, and what it brings back is trimmed again', async () => {
    const copiesBefore = (await cluster.onDisk()).copies;
    const held = await Promise.all(
      paths.map(async (path) =>
        (await cluster.replicas(path)).filter(({ node }) => node.name === 'node-3'),
      ),
    );
    const onNode = held.flat().length;
    const before = (await cluster.log({ limit: '5000' })).length;
    await cluster.kill('node-3', 'SIGSTOP');
    await waitUntil('every file to have two copies on the nodes that are left', async () => {
      for (const path of paths) {
        const copies = await cluster.replicas(path);
        const reachable = copies.filter(
          ({ node, state }) => node.name !== 'node-3' && state === 'stored',
        );
        if (reachable.length !== 2) return false;
      }
      return true;
    });
    await cluster.kill('node-3', 'SIGCONT');
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    const status = await cluster.waitUntilTidy();
    expect(status.replicas.stored).toBe(copiesBefore);
    const rows = (await cluster.log({ limit: '5000' })).slice(before);
    const count = (what: string) =>
      rows.filter(({ outcome, path }) => outcome === what && path.startsWith('/time/')).length;
    expect([count('stored'), count('dropped')]).toEqual([onNode, onNode]);
    await expectAllRight();
  });
});
