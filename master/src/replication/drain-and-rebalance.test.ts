import { type BlobId, StoreError } from '@dfs/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { spreadMax, spreadOf } from './rebalance-plan.ts';
import { TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
afterEach(() => cluster.close());

/** Rounds until this holds; every round, all blobs must have a stored copy whose bytes are there. */
async function until(what: string, holds: () => Promise<boolean>, blobs: readonly BlobId[]) {
  for (let round = 0; round < 200; round += 1) {
    if (await holds()) return;
    await cluster.round();
    await cluster.collector.step();
    await expectReadable(blobs);
  }
  throw new Error(`It never came about: ${what}`);
}

async function expectReadable(blobs: readonly BlobId[], copies = 1): Promise<void> {
  const rows = await cluster.metadata.replicasOf(blobs);
  for (const blobId of blobs) {
    const stored = (rows.get(blobId) ?? []).filter(({ state }) => state === 'stored');
    const held = stored.filter(({ nodeId }) =>
      cluster.directory.storeOf(nodeId).ids.includes(blobId),
    );
    expect(held.length).toBeGreaterThanOrEqual(copies);
  }
}

const holdsNothing = (node: TestNode) => async () =>
  (await cluster.metadata.copiesOn(node.id)) === 0 && node.store.ids.length === 0;

async function putMany(holders: (index: number) => TestNode[], count: number, sizeBytes = 100) {
  const blobs: BlobId[] = [];
  for (let index = 0; index < count; index += 1) {
    const [first, ...others] = holders(index) as [TestNode, ...TestNode[]];
    const options = { copiesWanted: others.length + 1, storedOn: others, sizeBytes };
    blobs.push(await cluster.put([first, ...others], options));
  }
  return blobs;
}

describe('a node that is drained', () => {
  it('is emptied: its copies are made elsewhere first, zones stay apart, and then they are dropped', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const [a, b, c] = ['east', 'west', 'west'].map((zone) => cluster.addNode({ zone }));
    const [first, second, third] = [a, b, c] as [TestNode, TestNode, TestNode];
    const blobs = await putMany((index) => [first, index % 2 === 0 ? second : third], 40);
    const fourth = cluster.addNode({ zone: 'east' });
    await cluster.settle();
    cluster.drain(first);
    for (let round = 0; round < 200 && !(await holdsNothing(first)()); round += 1) {
      await cluster.round();
      await cluster.collector.step();
      // Never fewer copies than wanted, on the way.
      await expectReadable(blobs, 2);
    }
    expect(first.store.ids).toEqual([]);
    for (const blobId of blobs) {
      expect(cluster.holdersOf(blobId)).toContain(cluster.directory.nodes.indexOf(fourth));
    }
    const counts = await cluster.metadata.counts();
    expect(counts.replicas).toEqual({ wanted: 0, stored: 80, corrupt: 0, dropping: 0 });
  });

  it('keeps what no other node can take, and gives it once one can', async () => {
    cluster = await TestCluster.start({ nodes: 2 });
    const [first, second] = cluster.directory.nodes as [TestNode, TestNode];
    const blobs = await putMany(() => [first, second], 5);
    cluster.drain(first);
    await cluster.settle();
    expect(first.store.ids).toHaveLength(5);
    await expectReadable(blobs, 2);
    cluster.addNode();
    await until('an empty node', holdsNothing(first), blobs);
    await expectReadable(blobs, 2);
  });

  it('keeps all it has when that is called off, and what was made meanwhile is trimmed', async () => {
    cluster = await TestCluster.start({ nodes: 3 });
    const [first, second] = cluster.directory.nodes as [TestNode, TestNode, TestNode];
    const blobs = await putMany(() => [first, second], 20);
    await cluster.settle();
    cluster.isReplicatorDown = true;
    cluster.drain(first);
    await cluster.round();
    cluster.drain(first, false);
    cluster.isReplicatorDown = false;
    await cluster.settle(200);
    await expectReadable(blobs, 2);
    const { replicas } = await cluster.metadata.counts();
    expect(replicas).toEqual({ wanted: 0, stored: 40, corrupt: 0, dropping: 0 });
  });

  it('is a source while it is there, and is made up for when it dies half empty', async () => {
    cluster = await TestCluster.start({ nodes: 4 });
    const [first, second] = cluster.directory.nodes as [TestNode, TestNode];
    const alone = await putMany(() => [first], 5);
    const both = await putMany(() => [first, second], 20);
    await cluster.settle();
    cluster.drain(first);
    await until('the lone copies elsewhere', async () => {
      return alone.every((blobId) => cluster.holdersOf(blobId).some((at) => at !== 0));
    }, [...alone, ...both]);
    cluster.kill(first);
    cluster.pass(80_000);
    await cluster.settle();
    for (const blobId of both) {
      expect(cluster.holdersOf(blobId).filter((at) => at !== 0)).toHaveLength(2);
    }
    // It comes back: still drained, and then empty.
    cluster.revive(first);
    cluster.drain(first);
    await until('an empty node', holdsNothing(first), [...alone, ...both]);
  });
});

/** Rounds until rebalancing ended by itself; `check` must hold after each. */
async function rebalanceToTheEnd(check: () => Promise<void> = async () => {}): Promise<void> {
  const { rebalance } = cluster.repair;
  rebalance.start();
  for (let round = 0; round < 300 && rebalance.isBusy; round += 1) {
    await cluster.round();
    await cluster.collector.step();
    await check();
  }
  expect(rebalance.isBusy).toBe(false);
}

describe('rebalancing', () => {
  it('fills a new node twice as large, without a file having a copy less for a moment, and ends by itself', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const olds = [1, 2, 3].map(() => cluster.addNode({ capacityBytes: 20_000 }));
    const blobs = await putMany((index) => {
      return [olds[index % 3] as TestNode, olds[(index + 1) % 3] as TestNode];
    }, 150);
    await cluster.settle();
    const large = cluster.addNode({ capacityBytes: 40_000 });
    await cluster.settle();
    expect(large.store.ids).toEqual([]);
    await rebalanceToTheEnd(() => expectReadable(blobs, 2));
    const { rebalance } = cluster.repair;
    const spread = spreadOf(cluster.directory.snapshots());
    expect(spread).toBeLessThanOrEqual(spreadMax);
    const progress = rebalance.progress(cluster.directory.snapshots());
    expect(progress).toMatchObject({ isRunning: false, spread });
    // Hardly a copy more than needed was moved.
    expect(progress.movedCopies).toBeLessThanOrEqual(1.25 * large.store.ids.length);
    const { replicas } = await cluster.metadata.counts();
    expect(replicas).toEqual({ wanted: 0, stored: 300, corrupt: 0, dropping: 0 });
    expect(cluster.copiesMade.get(large.id)).toBe(large.store.ids.length);
    // Once more: there is nothing to do.
    rebalance.start();
    await cluster.round();
    expect(rebalance.progress(cluster.directory.snapshots())).toMatchObject({ movedCopies: 0 });
  });

  it('keeps zones apart, also where that leaves nodes uneven', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const east = cluster.addNode({ capacityBytes: 10_000, zone: 'east' });
    const west = cluster.addNode({ capacityBytes: 10_000, zone: 'west' });
    const blobs = await putMany(() => [east, west], 50);
    const west2 = cluster.addNode({ capacityBytes: 10_000, zone: 'west' });
    await cluster.settle();
    await rebalanceToTheEnd();
    expect(east.store.ids).toHaveLength(50);
    expect(Math.abs(west.store.ids.length - west2.store.ids.length)).toBeLessThanOrEqual(6);
    for (const blobId of blobs) expect(cluster.holdersOf(blobId)).toContain(0);
  });

  it('spreads copies over zones that came later, without a file having a copy less for a moment', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const east = [1, 2, 3].map(() => cluster.addNode({ capacityBytes: 20_000, zone: 'east' }));
    const empty = await putMany(() => east.slice(0, 3), 10, 0);
    const blobs = await putMany((index) => {
      return [0, 1, 2].filter((at) => at !== index % 3).map((at) => east[at] as TestNode);
    }, 90);
    const west = cluster.addNode({ capacityBytes: 20_000, zone: 'west' });
    const north = cluster.addNode({ capacityBytes: 20_000, zone: 'north' });
    await cluster.settle();
    await rebalanceToTheEnd(async () => {
      await expectReadable(blobs, 2);
      await expectReadable(empty, 3);
    });
    const zoneAt = cluster.directory.nodes.map((node) =>
      node === west ? 'west' : node === north ? 'north' : 'east',
    );
    const zonesOf = (blobId: BlobId) => cluster.holdersOf(blobId).map((at) => zoneAt[at]);
    for (const blobId of blobs)
      expect(new Set(zonesOf(blobId)).size, zonesOf(blobId).join()).toBe(2);
    for (const blobId of empty) expect(zonesOf(blobId).sort()).toEqual(['east', 'north', 'west']);
  });

  it('gives up what cannot move, and goes on to even out the rest', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const [a, b] = [1, 2].map(() => cluster.addNode({ capacityBytes: 10_000, zone: 'east' })) as [
      TestNode,
      TestNode,
    ];
    const stuck = await putMany(() => [a, b], 5);
    await putMany(() => [a], 60);
    await cluster.settle();
    const west = cluster.addNode({ capacityBytes: 10_000, zone: 'west' });
    await cluster.settle();
    west.store.fault = (operation, id) => {
      const isStuck = operation === 'pull' && id !== undefined && stuck.includes(id);
      if (isStuck) throw new StoreError('no-room', 'No room for this one.');
    };
    await rebalanceToTheEnd(() => expectReadable(stuck, 2));
    for (const blobId of stuck) expect(cluster.holdersOf(blobId)).toEqual([0, 1]);
    expect(spreadOf(cluster.directory.snapshots())).toBeLessThanOrEqual(spreadMax);
    const { replicas } = await cluster.metadata.counts();
    expect(replicas).toEqual({ wanted: 0, stored: 70, corrupt: 0, dropping: 0 });
  });

  it('waits while a node is away, and lets what is on its way arrive when it is stopped', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const full = cluster.addNode({ capacityBytes: 10_000 });
    const other = cluster.addNode({ capacityBytes: 10_000 });
    const blobs = await putMany(() => [full], 80);
    await cluster.settle();
    const { rebalance } = cluster.repair;
    const third = cluster.addNode({ capacityBytes: 10_000 });
    await cluster.settle();
    cluster.kill(third);
    cluster.pass(20_000);
    rebalance.start();
    for (let round = 0; round < 5; round += 1) await cluster.round();
    expect(full.store.ids).toHaveLength(80);
    cluster.revive(third);
    await until('a moved copy', async () => other.store.ids.length > 0, blobs);
    rebalance.stop();
    await until('the end', async () => !rebalance.isBusy, blobs);
    await cluster.settle(100);
    expect(rebalance.isBusy).toBe(false);
    const { replicas } = await cluster.metadata.counts();
    expect(replicas).toEqual({ wanted: 0, stored: 80, corrupt: 0, dropping: 0 });
  });

  it('leaves what was on its way in good order when the master starts anew', async () => {
    cluster = await TestCluster.start({ nodes: 0 });
    const full = cluster.addNode({ capacityBytes: 10_000 });
    cluster.addNode({ capacityBytes: 10_000 });
    const blobs = await putMany(() => [full], 80);
    await cluster.settle();
    cluster.repair.rebalance.start();
    await cluster.round();
    await cluster.repair.stop();
    cluster.repair = cluster.makeRepair();
    for (const { id } of cluster.directory.nodes) cluster.directory.tell(id, 'up');
    await cluster.settle(100);
    await expectReadable(blobs);
    const { replicas } = await cluster.metadata.counts();
    expect(replicas).toEqual({ wanted: 0, stored: 80, corrupt: 0, dropping: 0 });
  });
});

describe('files that have lost more copies than others', () => {
  it('get theirs back first, however they lie between the others', async () => {
    cluster = await TestCluster.start({ nodes: 6, loops: { repairBytesPerSecond: 1_000 } });
    const [a, b, c, d] = cluster.directory.nodes as [TestNode, TestNode, TestNode, TestNode];
    const endangered: BlobId[] = [];
    for (let index = 0; index < 40; index += 1) {
      const holders = index % 2 === 0 ? [c, a, b] : [c, d, a];
      const [first, ...storedOn] = holders as [TestNode, ...TestNode[]];
      const options = { copiesWanted: 3, storedOn, sizeBytes: 1_000 };
      const blobId = await cluster.put([first, ...storedOn], options);
      if (index % 2 === 0) endangered.push(blobId);
    }
    await cluster.settle();
    cluster.kill(a);
    cluster.kill(b);
    cluster.pass(80_000);
    for (let round = 0; round < 100 && cluster.blobsCopied.length < 40; round += 1) {
      await cluster.round();
    }
    // Those handed out before all was looked at may be others.
    const first = new Set(cluster.blobsCopied.slice(0, endangered.length + 4));
    expect(endangered.filter((blobId) => !first.has(blobId))).toEqual([]);
  });
});

describe('a limit of bytes per second', () => {
  it('slows repair, and neither loses nor forgets anything', async () => {
    cluster = await TestCluster.start({ nodes: 3, loops: { repairBytesPerSecond: 1_000 } });
    const [first, second, third] = cluster.directory.nodes as [TestNode, TestNode, TestNode];
    const blobs = await putMany(() => [first, second], 100, 1_000);
    await cluster.settle();
    cluster.kill(second);
    cluster.pass(80_000);
    const startedAtMs = cluster.clock.monotonic();
    await until('all copies on the third', async () => third.store.ids.length === 100, blobs);
    const seconds = (cluster.clock.monotonic() - startedAtMs) / 1_000;
    // 100 kB at 1 kB/s, and what is kept at the start.
    expect(seconds).toBeGreaterThanOrEqual(95);
    expect(seconds).toBeLessThanOrEqual(130);
  });
});
