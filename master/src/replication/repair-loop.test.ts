import { type NodeId, type ReplicationJob, StoreError } from '@dfs/shared';
import { makeJob } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { gcGraceMs, TestCluster, type TestClusterOptions, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
afterEach(() => cluster.close());

async function start(options: TestClusterOptions | number): Promise<TestNode[]> {
  cluster = await TestCluster.start(typeof options === 'number' ? { nodes: options } : options);
  return cluster.directory.nodes;
}

/** All nodes that are there, as positions. */
const all = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('the repair loop', () => {
  it('has copies made that nobody hinted', async () => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 2:stored');
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
  });

  it('does not hand out what was hinted a moment ago', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await cluster.settle();
    await cluster.put([a, b], { copiesWanted: 2 });
    await cluster.repair.step();
    expect(await cluster.queue.outstanding()).toBe(0);
    cluster.pass(2_000);
    await cluster.repair.step();
    expect(await cluster.queue.outstanding()).toBe(1);
  });

  it('gives a node that joins its share of what is missing', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const blobs = [await cluster.put([a, b]), await cluster.put([b, a]), await cluster.put([a])];
    await cluster.settle();
    expect(blobs.map((blob) => cluster.holdersOf(blob))).toEqual([all(2), all(2), all(2)]);
    expect((await cluster.metadata.counts()).blobsShort).toBe(3);
    cluster.addNode();
    await cluster.settle();
    expect(blobs.map((blob) => cluster.holdersOf(blob))).toEqual([all(3), all(3), all(3)]);
    expect((await cluster.metadata.counts()).blobsShort).toBe(0);
  });

  it('does not read the same short blobs again and again while nothing can be done', async () => {
    const [a] = (await start(1)) as [TestNode];
    for (let i = 0; i < 3; i += 1) await cluster.put([a]);
    let reads = 0;
    const { metadata } = cluster;
    const read = metadata.blobsShortOfCopies.bind(metadata);
    metadata.blobsShortOfCopies = (page) => {
      reads += 1;
      return read(page);
    };
    for (let i = 0; i < 90; i += 1) await cluster.round();
    // Three minutes: one pass for the nodes, one behind it, then one look a minute.
    expect(reads).toBeLessThanOrEqual(6);
    expect(reads).toBeGreaterThanOrEqual(3);
  });

  it('makes the copies of a dead node anew elsewhere, and moves the primary', async () => {
    const [a, b, c] = (await start(5)) as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all([a, b, c].map(() => cluster.put([a, b, c])));
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(75_000 - 4_000);
    await cluster.round();
    expect(cluster.holdersOf(blobs[0] as never)).toEqual([0, 1, 2]);
    cluster.pass(4_000);
    await cluster.settle();
    for (const blob of blobs) {
      const rows = await cluster.rowsOf(blob);
      // The old row stays: the node may come back.
      expect(rows).toContain('0:stored ');
      expect(rows.match(/stored/g)).toHaveLength(4);
      expect(rows).toMatch(/[1-4]:stored\*/);
    }
  });

  it('drops what is one too many when the node comes back, and never the only confirmed ones', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all(all(20).map(() => cluster.put([a, b, c])));
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(80_000);
    await cluster.settle();
    for (const blob of blobs) expect(cluster.holdersOf(blob)).toEqual([0, 1, 2, 3]);
    cluster.revive(a);
    await cluster.settle();
    for (const blob of blobs) {
      expect(cluster.holdersOf(blob)).toHaveLength(3);
      const rows = await cluster.rowsOf(blob);
      expect(rows.match(/stored/g)).toHaveLength(3);
      expect(rows.match(/\*/g)).toHaveLength(1);
      expect(rows).not.toContain('dropping');
    }
  });

  it('calls off copies that are not needed any more because their node came back', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all(all(20).map(() => cluster.put([a, b, c])));
    await cluster.settle();
    cluster.isReplicatorDown = true;
    cluster.kill(a);
    cluster.pass(80_000);
    await cluster.round();
    expect((await cluster.metadata.counts()).replicas.wanted).toBe(20);
    cluster.revive(a);
    for (let i = 0; i < 3; i += 1) await cluster.round();
    expect((await cluster.metadata.counts()).replicas.wanted).toBe(0);
    for (const blob of blobs) expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
  });

  it('drops a surplus copy later when a holder was in doubt as its node came back', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(80_000);
    await cluster.settle();
    b.state = 'suspect';
    cluster.revive(a);
    for (let i = 0; i < 4; i += 1) await cluster.round();
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2, 3]);
    b.state = 'up';
    cluster.pass(30_000);
    await cluster.settle();
    expect(cluster.holdersOf(blob)).toHaveLength(3);
  });

  it('trusts a node that comes back only for what it still holds', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all(all(10).map(() => cluster.put([a, b, c])));
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(80_000);
    await cluster.settle();
    // Its disk was replaced under the same id, or lost files.
    for (const blob of blobs.slice(0, 5)) a.store.lose(blob);
    cluster.revive(a);
    await cluster.settle();
    for (const blob of blobs) {
      expect(cluster.holdersOf(blob).length).toBeGreaterThanOrEqual(3);
      const rows = await cluster.rowsOf(blob);
      for (const [, node] of rows.matchAll(/(\d):stored/g)) {
        expect(cluster.holdersOf(blob)).toContain(Number(node));
      }
    }
  });

  it('makes again what a node lost while it was away for a short time', async () => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(20_000);
    a.store.lose(blob);
    cluster.revive(a);
    await cluster.settle();
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
    expect(await cluster.rowsOf(blob)).toMatch(/0:stored \d:stored/);
  });

  it('leaves everything where it is while a node flaps', async () => {
    const [a, b, c] = (await start(5)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    for (let flap = 0; flap < 6; flap += 1) {
      cluster.kill(c);
      cluster.pass(40_000);
      await cluster.round();
      cluster.revive(c);
      await cluster.round();
    }
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 2:stored');
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
  });

  it('does nothing when more than half of the nodes fall silent, and once one returns waits for the others in full', async () => {
    const nodes = await start(5);
    const [a, b, c] = nodes as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    for (const node of [a, b, c]) cluster.kill(node);
    cluster.pass(600_000);
    for (let i = 0; i < 5; i += 1) await cluster.round();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 2:stored');
    const words = cluster.recorded.lines.filter((line) => line.message.includes('more than half'));
    expect(words).toHaveLength(1);
    cluster.revive(c);
    await cluster.settle();
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
    cluster.pass(600_000);
    await cluster.settle();
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2, 3, 4]);
  });

  it('decides nothing right after it stood still', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    cluster.kill(a);
    cluster.pass(20_000);
    // A minute without a tick; what the nodes said since is not heard yet.
    cluster.clock.advance(60_000);
    a.silentForMs += 60_000;
    await cluster.repair.step();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 2:stored');
    expect(cluster.recorded.lines.at(-1)?.message).toContain('stood still');
  });

  it('decides nothing after a start before the nodes had time to be heard', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b]);
    c.state = 'suspect';
    await cluster.round();
    await cluster.round();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored');
    cluster.pass(15_000);
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 3:stored');
  });

  it('does nothing in recovery', async () => {
    const [a, b] = (await start(3)) as [TestNode, TestNode];
    const blob = await cluster.put([a, b]);
    cluster.directory.recoveryReason = 'The database is empty.';
    await cluster.settle(10);
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:wanted');
    expect(cluster.holdersOf(blob)).toEqual([0]);
  });

  it('waits for the only holder of a blob instead of asking again and again, and goes on when it returns', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const blob = await cluster.put([a, b], { copiesWanted: 2 });
    cluster.kill(a);
    for (let i = 0; i < 300; i += 1) await cluster.round();
    const log = await cluster.metadata.listLog({ limit: 1_000 });
    // Ten minutes: a few while the node was only suspect, then one a minute.
    expect(log.length).toBeLessThanOrEqual(18);
    expect(log.length).toBeGreaterThanOrEqual(8);
    expect(log.at(-1)).toMatchObject({ outcome: 'failed', errorCode: 'unavailable' });
    cluster.revive(a);
    await cluster.round();
    await cluster.round();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored');
  });

  it('replaces a copy that a node found to be bad', async () => {
    const [a, b, c] = (await start(3)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    a.store.corrupt(blob, 7);
    const damage = { blobId: blob, kind: 'corrupt' as const, detail: 'block 0' };
    await cluster.metadata.recordDamage(a.id, [damage], cluster.clock.now());
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toMatch(/^0:stored \d:stored/);
    const { bytes } = await a.store.open(blob);
    expect((await bytes.toArray()).length).toBeGreaterThan(0);
  });

  it('has the only copy looked at anew after it was found to be bad', async () => {
    const [a] = (await start(1)) as [TestNode];
    const blob = await cluster.put([a], { copiesWanted: 1 });
    await cluster.settle();
    const damages = [{ blobId: blob, kind: 'corrupt' as const, detail: 'read as other bytes' }];
    await cluster.metadata.recordDamage(a.id, damages, cluster.clock.now());
    expect(await cluster.rowsOf(blob)).toBe('0:corrupt*');
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toBe('0:stored*');
  });

  it('moves a copy that a node has no room for to another one', async () => {
    const [a, b, c, d] = (await start(4)) as [TestNode, TestNode, TestNode, TestNode];
    c.store.fault = (operation) => {
      if (operation === 'pull') throw new StoreError('no-room', 'The disk is full.');
    };
    c.freeBytes = 0;
    d.freeBytes = 1e9;
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored 3:stored');
  });

  it('hands out at most a thousand jobs, and the rest as they end', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    await Promise.all(all(1_200).map(() => cluster.put([a, b], { copiesWanted: 2 })));
    cluster.isReplicatorDown = true;
    for (let i = 0; i < 3; i += 1) await cluster.round();
    expect(await cluster.queue.outstanding()).toBe(1_000);
    cluster.isReplicatorDown = false;
    await cluster.settle();
    expect((await cluster.metadata.counts()).replicas).toMatchObject({ wanted: 0, stored: 2_400 });
  });

  it('hands out again what a queue or a replicator lost', async () => {
    const taken: ReplicationJob[] = [];
    let held = 1;
    const queue = {
      enqueue: async (jobs: readonly ReplicationJob[]) => void taken.push(...jobs),
      outstanding: async () => held,
      close: async () => {},
    };
    const [a, b] = (await start({ nodes: 2, queue: () => queue, takeJobs: async () => [] })) as [
      TestNode,
      TestNode,
    ];
    await cluster.put([a, b], { copiesWanted: 2 });
    await cluster.round();
    await cluster.round();
    expect(taken).toHaveLength(1);
    for (let i = 0; i < 31; i += 1) await cluster.round();
    expect(taken).toHaveLength(2);
    // The target came back: whatever was handed out for it was given up.
    cluster.directory.tell(b.id, 'up');
    await cluster.round();
    expect(taken).toHaveLength(3);
    // The queue holds nothing any more, and nothing was reported: a replicator left it to this loop.
    held = 0;
    for (let i = 0; i < 4; i += 1) await cluster.round();
    expect(taken).toHaveLength(3);
    for (let i = 0; i < 2; i += 1) await cluster.round();
    expect(taken).toHaveLength(4);
  });

  it('goes on by itself when the queue could not be reached', async () => {
    let isDown = true;
    const taken: ReplicationJob[] = [];
    const fail = async () => {
      if (isDown) throw new StoreError('unavailable', 'Redis is not connected.');
    };
    const queue = {
      enqueue: async (jobs: readonly ReplicationJob[]) => {
        await fail();
        taken.push(...jobs);
      },
      outstanding: async () => {
        await fail();
        return 0;
      },
      close: async () => {},
    };
    const [a, b] = (await start({
      nodes: 2,
      queue: () => queue,
      takeJobs: async () => taken.splice(0),
    })) as [TestNode, TestNode];
    const blob = await cluster.put([a, b], { copiesWanted: 2 });
    for (let i = 0; i < 5; i += 1) await cluster.round();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:wanted');
    isDown = false;
    await cluster.settle();
    expect(await cluster.rowsOf(blob)).toBe('0:stored* 1:stored');
    expect(cluster.recorded.lines.filter((line) => line.level === 'warn')).toHaveLength(1);
  });

  it('finds again after a restart of the master what it was about to do', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blobs = await Promise.all(all(5).map(() => cluster.put([a, b, c])));
    await cluster.settle();
    cluster.kill(c);
    cluster.pass(80_000);
    await cluster.repair.step();
    await cluster.repair.stop();
    cluster.repair = cluster.makeRepair();
    cluster.pass(16_000);
    await cluster.settle();
    for (const blob of blobs) expect(cluster.holdersOf(blob)).toEqual([0, 1, 2, 3]);
  });

  it('adopts a copy that nobody counted on instead of making another one too many', async () => {
    const [a, b, c] = (await start(4)) as [TestNode, TestNode, TestNode];
    const blob = await cluster.put([a, b, c]);
    await cluster.settle();
    const stray = cluster.directory.nodes[3] as TestNode;
    const found = await a.store.describe(blob);
    const { bytes } = await a.store.open(blob);
    await stray.store.put(blob, bytes, { description: found as never });
    cluster.pass(gcGraceMs + 10_000);
    await cluster.settle();
    expect(cluster.holdersOf(blob)).toHaveLength(3);
    expect((await cluster.rowsOf(blob)).match(/stored/g)).toHaveLength(3);
  });

  it('ignores a job that is nonsense to it', async () => {
    await start(1);
    cluster.repair.reported([{ ...makeJob(), outcome: 'stored', startedAtMs: 0, durationMs: 0 }]);
    cluster.directory.tell(makeJob().target as NodeId, 'up');
    await expect(cluster.repair.step()).resolves.toBeUndefined();
  });
});
