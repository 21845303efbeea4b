import { rm } from 'node:fs/promises';
import { newBlobId, newClusterId, StoreError } from '@dfs/shared';
import {
  makeDescription,
  patternBytes,
  temporaryDirectory,
  testClusterId,
} from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeMaster } from './testing/fake-master.ts';
import { flipByte } from './testing/test-disk.ts';
import { startTestNode, type TestNode, type TestNodeOptions } from './testing/test-node.ts';

const clusterKey = 'the key of the cluster';

let master: FakeMaster;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const started: { close(): Promise<void> }[] = [];

beforeEach(async () => {
  master = await FakeMaster.start({ clusterKey });
  directory = await temporaryDirectory();
});
afterEach(async () => {
  for (const each of started.splice(0).reverse()) await each.close();
  await master.close();
  await directory.remove();
});

async function start(options: TestNodeOptions = {}): Promise<TestNode> {
  const node = await startTestNode({ clusterKey, master, dataDir: directory.path, ...options });
  started.push(node);
  return node;
}

const linesWith = ({ lines }: TestNode, text: string) =>
  lines.filter((line) => line.includes(text));

describe('a node', () => {
  it('tells the master who it is and how it fares', async () => {
    const environment = { DFS_NODE_NAME: 'cellar', DFS_ZONE: 'house', DFS_RESERVE_BYTES: '1MiB' };
    const { node } = await start({
      environment: { ...environment, DFS_NODE_PUBLIC_URL: 'http://files.example:7050/' },
    });
    await node.registered;
    const [heartbeat] = master.heartbeats;
    expect(heartbeat).toMatchObject({
      nodeId: node.nodeId,
      name: 'cellar',
      zone: 'house',
      url: `http://127.0.0.1:${node.port}`,
      publicUrl: 'http://files.example:7050',
      port: node.port,
      dataDir: directory.path,
      reserveBytes: 2 ** 20,
      blobCount: 0,
      usedBytes: 0,
      epoch: 0,
      journal: 0,
      pid: process.pid,
    });
    expect(heartbeat).not.toHaveProperty('clusterId');
    expect(heartbeat?.capacityBytes).toBeGreaterThan(heartbeat?.freeBytes ?? Number.NaN);
    expect(heartbeat?.loopAgeMs).toBeLessThan(5_000);
    expect(heartbeat?.diskWriteAgeMs).toBeLessThan(5_000);
  });

  it('joins the cluster of the first master that accepts it, and remembers what it heard', async () => {
    master.answer = { epoch: 4, journal: 77 };
    const first = await start();
    await first.node.registered;
    await master.until(() => master.heartbeats.some(({ journal }) => journal === 77));
    await started.pop()?.close();
    master.heartbeats.length = 0;
    const second = await start();
    await second.node.registered;
    expect(second.node.nodeId).toBe(first.node.nodeId);
    expect(master.heartbeats[0]).toMatchObject({ clusterId: testClusterId, epoch: 4, journal: 77 });
  });

  it('keeps at it until a master is there, and says so once', async () => {
    const port = Number(new URL(master.url).port);
    await master.close();
    const late = await start();
    // Several attempts fail before the master comes.
    await expect.poll(() => linesWith(late, 'no answer from the master').length).toBe(1);
    master = await FakeMaster.start({ clusterKey, port });
    await late.node.registered;
    await master.until(() => master.heartbeats.length >= 3);
    expect(linesWith(late, 'no answer from the master')).toHaveLength(1);
    expect(linesWith(late, 'registered')).toHaveLength(1);
  });

  it('goes on at the pace that the master names', async () => {
    master.answer = { heartbeatEveryMs: 50 };
    const { node } = await start({ environment: { DFS_HEARTBEAT_EVERY: '60s' } });
    await node.registered;
    await master.until(() => master.heartbeats.length >= 4);
  });

  it('tells how many blobs it has from the first heartbeat on', async () => {
    const first = await start();
    await first.node.registered;
    for (let i = 0; i < 3; i += 1) {
      const id = newBlobId();
      const description = makeDescription({ blobId: id });
      await first.client.put(id, patternBytes(1000), { description });
    }
    await started.pop()?.close();
    master.heartbeats.length = 0;
    const { node } = await start();
    await node.registered;
    // A master with an empty database must not take this disk for an empty one.
    expect(master.heartbeats[0]?.blobCount).toBeGreaterThanOrEqual(1);
    await master.until(() => master.heartbeats.at(-1)?.blobCount === 3);
    expect(master.heartbeats.at(-1)?.usedBytes).toBeGreaterThan(3000);
  });
});

describe('a node whose main loop is held up', () => {
  const block = (ms: number) => {
    const untilMs = performance.now() + ms;
    while (performance.now() < untilMs);
  };

  it('is heard all the same, and tells for how long its loop has not turned', async () => {
    master.answer = { heartbeatEveryMs: 200 };
    const { node } = await start({ environment: { DFS_HEARTBEAT_EVERY: '200ms' } });
    await node.registered;
    await master.until(() => master.heartbeats.length >= 3);
    const before = master.heartbeats.length;
    // This master is in the same process: what was sent meanwhile it takes afterwards.
    block(3_000);
    await master.until(() => master.heartbeats.slice(before).some((beat) => beat.loopAgeMs > 500));
    const late = master.heartbeats.slice(before).filter((beat) => beat.loopAgeMs > 500);
    for (const beat of late) {
      expect(beat).toMatchObject({ nodeId: node.nodeId, port: node.port });
      expect(beat.diskWriteAgeMs).toBeGreaterThanOrEqual(beat.loopAgeMs - 1_000);
    }
    // It goes on by itself, with a loop that turns.
    const after = master.heartbeats.length;
    await master.until(() => master.heartbeats.slice(after).some((beat) => beat.loopAgeMs < 500));
  });

  it('says nothing while the master refuses it', async () => {
    master.answer = { heartbeatEveryMs: 100 };
    const { node } = await start();
    await node.registered;
    const refused: number[] = [];
    master.refuse = ({ loopAgeMs }) => {
      refused.push(loopAgeMs);
      return new StoreError('fenced', 'Another process has this disk.');
    };
    await expect.poll(() => refused.length).toBeGreaterThan(2);
    block(1_500);
    const after = refused.length;
    await expect.poll(() => refused.length).toBeGreaterThan(after + 2);
    expect(refused.filter((loopAgeMs) => loopAgeMs > 600)).toEqual([]);
  });
});

describe('a refusal', () => {
  it.each([
    ['a wrong key', 'unauthorized'],
    ['another cluster', 'wrong-cluster'],
  ] as const)('for %s ends a new node', async (_, kind) => {
    master.refuse = () => new StoreError(kind, 'You are not one of us.', { hint: 'Go home.' });
    const { node } = await start();
    await expect(node.registered).rejects.toMatchObject({
      kind,
      message: 'You are not one of us.',
    });
  });

  it('is what the node itself gives a master of another cluster', async () => {
    const first = await start();
    await first.node.registered;
    await started.pop()?.close();
    master.answer = { clusterId: newClusterId() };
    const { node } = await start();
    await expect(node.registered).rejects.toMatchObject({ kind: 'wrong-cluster' });
  });

  it.each(['fenced', 'in-recovery'] as const)(
    'that may pass (%s) is told in one line, and asked again',
    async (kind) => {
      let refusals = 0;
      master.refuse = () => {
        refusals += 1;
        return refusals > 3 ? undefined : new StoreError(kind, 'Not now.', { hint: 'Do this.' });
      };
      const refused = await start();
      await refused.node.registered;
      expect(linesWith(refused, 'Not now.')).toHaveLength(1);
      expect(JSON.parse(linesWith(refused, 'Not now.')[0] ?? '')).toMatchObject({
        level: 'warn',
        message: 'the master refuses this node',
        kind,
        hint: 'Do this.',
      });
    },
  );

  it('of a node that was accepted before does not end it', async () => {
    const accepted = await start();
    await accepted.node.registered;
    let refusals = 0;
    master.refuse = () => {
      refusals += 1;
      return refusals > 3 ? undefined : new StoreError('wrong-cluster', 'Another one now.');
    };
    const before = master.heartbeats.length;
    await master.until(() => master.heartbeats.length > before + 1 && refusals > 3);
    expect(linesWith(accepted, 'Another one now.')).toHaveLength(1);
    await expect.poll(() => linesWith(accepted, 'accepts this node again').length).toBe(1);
  });

  it('is told of a program that is no master', async () => {
    master.answer = { masterTimeMs: 'noon' as unknown as number };
    const lost = await start();
    await expect.poll(() => linesWith(lost, 'is no master').length).toBe(1);
  });
});

describe('a drop', () => {
  it("expires by the master's clock, which the node hears", async () => {
    const aheadMs = 3_600_000;
    master.answer = { masterTimeMs: Date.now() + aheadMs };
    const { client, node } = await start();
    await node.registered;
    const id = newBlobId();
    await client.put(id, patternBytes(10), { description: makeDescription({ blobId: id }) });
    const bySystem = client.delete(id, { expiresAtMs: Date.now() + 60_000 });
    await expect(bySystem).rejects.toMatchObject({ kind: 'expired' });
    await client.delete(id, { expiresAtMs: Date.now() + aheadMs + 60_000 });
    expect(await client.describe(id)).toBeUndefined();
  });
});

describe('a bad copy', () => {
  async function damaged(node: TestNode) {
    const id = newBlobId();
    await node.client.put(id, patternBytes(1000), { description: makeDescription({ blobId: id }) });
    await flipByte(node.blobPath(id), 500);
    await expect(node.client.open(id)).rejects.toMatchObject({ kind: 'corrupt' });
    return id;
  }

  it('is told to the master at once, and once however often it is read', async () => {
    const node = await start();
    await node.node.registered;
    const id = await damaged(node);
    await master.until(() => master.damages.length > 0);
    for (let i = 0; i < 5; i += 1) await node.client.open(id).catch(() => undefined);
    const before = master.heartbeats.length;
    await master.until(() => master.heartbeats.length >= before + 2);
    expect(master.damages).toMatchObject([{ blobId: id, kind: 'corrupt' }]);
    expect(linesWith(node, 'found a bad copy')).toHaveLength(1);
  });

  it('whose file is gone is told, too', async () => {
    const node = await start();
    await node.node.registered;
    const id = newBlobId();
    await node.client.put(id, patternBytes(10), { description: makeDescription({ blobId: id }) });
    await rm(node.blobPath(id));
    await expect(node.client.open(id)).rejects.toMatchObject({ kind: 'not-found' });
    await master.until(() => master.damages.length > 0);
    expect(master.damages).toMatchObject([{ blobId: id, kind: 'missing' }]);
  });

  it('is told when the master is back', async () => {
    const node = await start();
    await node.node.registered;
    const port = Number(new URL(master.url).port);
    await master.close();
    const id = await damaged(node);
    master = await FakeMaster.start({ clusterKey, port });
    await master.until(() => master.damages.length > 0);
    expect(master.damages).toMatchObject([{ blobId: id, kind: 'corrupt' }]);
  });
});
