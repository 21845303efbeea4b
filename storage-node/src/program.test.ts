import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newClusterId } from '@dfs/shared';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeMaster } from './testing/fake-master.ts';
import { NodeProcess } from './testing/node-process.ts';
import { ask } from './testing/raw-http.ts';

const clusterKey = 'the key of the cluster';

let master: FakeMaster;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const processes: NodeProcess[] = [];

beforeEach(async () => {
  master = await FakeMaster.start({ clusterKey });
  directory = await temporaryDirectory();
});
afterEach(async () => {
  for (const each of processes.splice(0)) await each.kill();
  await master.close();
  await directory.remove();
});

function start(environment: Readonly<Record<string, string>> = {}): NodeProcess {
  const one = new NodeProcess({
    DFS_DATA: join(directory.path, 'data'),
    DFS_MASTER_URL: master.url,
    DFS_CLUSTER_KEY: clusterKey,
    ...environment,
  });
  processes.push(one);
  return one;
}

/** What it printed that is no line of its log. */
const plainLines = ({ output }: NodeProcess) =>
  output.split('\n').filter((line) => line !== '' && !line.startsWith('{'));

describe('the storage node as a program', () => {
  it('tells its parent where it serves once a master accepted it, and stops in order', async () => {
    const node = start({ DFS_NODE_NAME: 'cellar' });
    const ready = await node.ready;
    expect(ready).toMatchObject({
      ready: true,
      name: 'cellar',
      dataDir: join(directory.path, 'data'),
    });
    expect(master.heartbeats.length).toBeGreaterThan(0);
    expect((await ask(`${ready.url}/healthz`)).status).toBe(200);
    node.child.kill('SIGTERM');
    expect(await node.ended).toBe(0);
    const again = start();
    expect((await again.ready).nodeId).toBe(ready.nodeId);
  });

  it('ends with one line when its gossip instance does not take its key, and in order while it waits', async () => {
    const gossip = { DFS_MASTER_URL: '', GOSSIP_INSTANCE: master.url.slice('http://'.length) };
    const refused = start({ ...gossip, DFS_CLUSTER_KEY: 'another key' });
    expect(await refused.ended).toBe(1);
    expect(plainLines(refused)).toEqual([
      `storage-node: The instance at ${master.url} refused the key of this node. Start both with the same SHARD_KEY (or DFS_CLUSTER_KEY).`,
    ]);
    const alone = start({ ...gossip, GOSSIP_INSTANCE: '127.0.0.1:1' });
    await expect.poll(() => alone.output, { timeout: 10_000 }).toContain('gives no answer');
    alone.child.kill('SIGTERM');
    expect(await alone.ended).toBe(0);
  });

  it('ends when its parent goes away', async () => {
    const node = start();
    await node.ready;
    node.child.disconnect();
    expect(await node.ended).toBe(0);
  });

  it('ends on a signal while it still waits for a master', async () => {
    await master.close();
    const node = start();
    await expect
      .poll(() => node.output, { timeout: 20_000 })
      .toContain('no answer from the master');
    node.child.kill('SIGINT');
    expect(await node.ended).toBe(0);
    master = await FakeMaster.start();
  });

  it('waits for a key file that another program makes', async () => {
    const keyFile = join(directory.path, 'key');
    const node = start({ DFS_CLUSTER_KEY: '', DFS_CLUSTER_KEY_FILE: keyFile });
    await expect.poll(() => node.output, { timeout: 20_000 }).toContain('waiting for the key file');
    await writeFile(keyFile, `${clusterKey}\n`);
    expect(await node.ready).toMatchObject({ ready: true });
  });

  it('takes a free slot of a shared directory', async () => {
    const environment = { DFS_SLOTS: 'true' };
    const first = await start(environment).ready;
    const second = await start(environment).ready;
    expect([first.name, second.name]).toEqual(['node-1', 'node-2']);
    expect(second.dataDir).toBe(join(directory.path, 'data', 'node-2'));
  });
});

describe('what it refuses, in one clear line', () => {
  it('a data directory that another one uses', async () => {
    await start().ready;
    const second = start();
    expect(await second.ended).toBe(1);
    expect(plainLines(second)).toEqual([
      `storage-node: The directory ${directory.path}/data is in use by another storage node. Stop it, or give this storage node another directory.`,
    ]);
  });

  it('a wrong cluster key', async () => {
    const node = start({ DFS_CLUSTER_KEY: 'another key' });
    expect(await node.ended).toBe(1);
    expect(plainLines(node)).toEqual([
      expect.stringMatching(/^storage-node: The cluster key is wrong\./),
    ]);
    expect(node.output).not.toContain('another key');
  });

  it('a master of another cluster', async () => {
    const first = start();
    await first.ready;
    await first.kill();
    master.answer = { clusterId: newClusterId() };
    const second = start();
    expect(await second.ended).toBe(1);
    expect(plainLines(second)).toEqual([
      expect.stringMatching(
        /^storage-node: This disk \(.*\) belongs to cluster .*, the master to cluster /,
      ),
    ]);
  });

  it('a data directory that cannot be written', async () => {
    const node = start({ DFS_DATA: '/proc/self' });
    expect(await node.ended).toBe(2);
    expect(plainLines(node)).toEqual([
      expect.stringMatching(/^storage-node: The directory \/proc\/self cannot be written/),
    ]);
  });

  it('a port that is taken', async () => {
    const { port } = await start().ready;
    const second = start({ DFS_DATA: join(directory.path, 'other'), DFS_PORT: String(port) });
    expect(await second.ended).toBe(2);
    expect(plainLines(second)).toEqual([
      `storage-node: Port ${port} of 127.0.0.1 is taken by another program: choose another port, or stop that program.`,
    ]);
  });

  it('every wrong setting at once', async () => {
    const node = start({
      DFS_PORT: 'http',
      DFS_MASTER_URL: 'master',
      DFS_RESERVE_BYTES: 'much',
      DFS_LOG_LEVEL: 'loud',
      DFS_NODE_NAME: 'two\nlines',
    });
    expect(await node.ended).toBe(2);
    expect(plainLines(node).map((line) => line.split(' ')[1])).toEqual([
      'DFS_MASTER_URL',
      'DFS_PORT',
      'DFS_RESERVE_BYTES',
      'DFS_LOG_LEVEL',
      'DFS_NODE_NAME',
    ]);
  });

  it('to listen to the world without a key', async () => {
    const node = start({ DFS_CLUSTER_KEY: '', DFS_HOST: '0.0.0.0' });
    expect(await node.ended).toBe(2);
    expect(plainLines(node)).toEqual([
      expect.stringMatching(/DFS_HOST is 0\.0\.0\.0, but no cluster key is set/),
    ]);
  });

  it('to serve users of the world without a key', async () => {
    const node = start({
      DFS_CLUSTER_KEY: '',
      DFS_NODE_PUBLIC_PORT: '0',
      DFS_NODE_PUBLIC_HOST: '0.0.0.0',
    });
    expect(await node.ended).toBe(2);
    expect(plainLines(node)).toEqual([
      expect.stringMatching(/DFS_NODE_PUBLIC_HOST is 0\.0\.0\.0, but no cluster key is set/),
    ]);
  });
});
