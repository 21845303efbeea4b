import { type BlobId, type FsckFinding, type FsckSummary, newBlobId } from '@dfs/shared';
import { type MemoryBlobStore, makeDescription, patternBytes } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fsck } from './fsck.ts';
import { gcGraceMs, TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
/** Called when a node has listed its blobs, before the rows are read. */
let afterInventory: (() => Promise<void>) | undefined;
let nodes: readonly [TestNode, TestNode, TestNode, TestNode];

beforeEach(async () => {
  cluster = await TestCluster.start({ nodes: 4 });
  nodes = cluster.directory.nodes as unknown as typeof nodes;
});
afterEach(async () => {
  afterInventory = undefined;
  await cluster.close();
});

async function check(
  isRepair = false,
): Promise<{ findings: FsckFinding[]; summary: FsckSummary['summary'] }> {
  const findings: FsckFinding[] = [];
  const lines = fsck(
    {
      metadata: cluster.metadata,
      nodes: {
        snapshots: () => cluster.directory.snapshots(),
        recovery: () => cluster.directory.recovery(),
        storeOf: (id) => withLateChanges(cluster.directory.storeOf(id)),
      },
      clock: cluster.clock,
      grace: cluster.grace,
      blobsInUse: cluster.blobsInUse,
      onRepaired: ({ id }) => cluster.repair.scan(id),
    },
    { isRepair, signal: new AbortController().signal },
  );
  for await (const line of lines) {
    if ('summary' in line) return { findings, summary: line.summary };
    if ('problem' in line) findings.push(line);
  }
  throw new Error('The summary is missing.');
}

function withLateChanges(store: MemoryBlobStore): MemoryBlobStore {
  const inventory = async (after: string | undefined, limit: number) => {
    const page = await store.inventory(after, limit);
    await afterInventory?.();
    return page;
  };
  return Object.assign(Object.create(store), {
    inventory,
    describe: (id: BlobId) => store.describe(id),
  }) as MemoryBlobStore;
}

const problemsOf = (findings: readonly FsckFinding[]) =>
  findings.map(({ problem, blob, node }) => [
    problem,
    blob,
    nodes.findIndex(({ id }) => id === node?.id),
  ]);

/** Blob on all of these, wanted so often. */
async function stored(holders: readonly TestNode[], copiesWanted = holders.length) {
  return cluster.put(holders, { copiesWanted, storedOn: holders.slice(1) });
}

const bytes = patternBytes(100);

/** A blob that no row tells of. */
async function putUnknown(node: TestNode, epoch: number): Promise<BlobId> {
  const blobId = newBlobId();
  const { clusterId } = cluster.metadata.identity();
  const description = makeDescription({ clusterId, epoch, blobId });
  await node.store.put(blobId, bytes, { description });
  return blobId;
}

describe('fsck', () => {
  it('finds nothing where database and nodes agree, and says what it compared', async () => {
    for (let i = 0; i < 5; i += 1) await stored(nodes.slice(0, 3));
    const { findings, summary } = await check();
    expect(findings).toEqual([]);
    expect(summary).toMatchObject({ isRepair: false, copies: 15, notAsked: [] });
  });

  it('finds every difference, changes nothing without being told to, and mends them all when told', async () => {
    const missing = await stored(nodes.slice(0, 3));
    nodes[1].store.lose(missing);
    const wrong = await stored(nodes.slice(0, 3));
    await putOthers(nodes[2], wrong);
    const uncounted = await stored(nodes.slice(0, 3));
    await copyTo(uncounted, nodes[3]);
    const surplus = await stored(nodes.slice(0, 4), 2);
    const orphan = await putUnknown(nodes[3], 0);
    cluster.pass(gcGraceMs + 60_000);

    const before = await stateOf([missing, wrong, uncounted, surplus, orphan]);
    const { findings } = await check();
    expect(problemsOf(findings).toSorted()).toEqual(
      [
        ['missing', missing, 1],
        ['wrong', wrong, 2],
        ['uncounted', uncounted, 3],
        ['surplus', surplus, 0],
        ['orphaned', orphan, 3],
      ].toSorted(),
    );
    expect(await stateOf([missing, wrong, uncounted, surplus, orphan])).toEqual(before);

    await check(true);
    await cluster.settle();
    const after = await check();
    expect(after.findings).toEqual([]);
    expect(cluster.holdersOf(missing)).toHaveLength(3);
    expect(cluster.holdersOf(wrong)).toHaveLength(3);
    expect(cluster.holdersOf(surplus)).toHaveLength(2);
    expect(cluster.holdersOf(orphan)).toEqual([]);
  });

  it('changes nothing by a page during which the clock was set back, and says which node it did not ask', async () => {
    const missing = await stored(nodes.slice(0, 2));
    nodes[1].store.lose(missing);
    cluster.pass(60_000);
    const before = await stateOf([missing]);
    afterInventory = async () => cluster.clock.set(cluster.clock.now() - 30_000);
    const { findings, summary } = await check(true);
    expect(findings).toEqual([]);
    expect(summary.notAsked).toMatchObject([{ id: nodes[1].id }]);
    expect(await stateOf([missing])).toEqual(before);
    afterInventory = undefined;
    expect(problemsOf((await check(true)).findings)).toEqual([['missing', missing, 1]]);
  });

  it('names what no node holds any more', async () => {
    const lost = await stored(nodes.slice(0, 1));
    nodes[0].store.lose(lost);
    const damage = { blobId: lost, kind: 'missing' as const, detail: '' };
    await cluster.metadata.recordDamage(nodes[0].id, [damage], cluster.clock.now());
    const { findings, summary } = await check();
    expect(findings).toMatchObject([{ problem: 'lost', blob: lost, path: '/file-1' }]);
    expect(summary.problems.lost).toBe(1);
  });

  it('leaves alone what may be bound yet: young blobs, and those of uploads that run', async () => {
    const running = await putUnknown(nodes[0], 1);
    cluster.pass(gcGraceMs + 60_000);
    const release = cluster.blobsInUse.uploading([running]);
    const young = await putUnknown(nodes[0], 1);
    const { findings } = await check(true);
    expect(findings).toEqual([]);
    expect(cluster.holdersOf(running)).toEqual([0]);
    expect(cluster.holdersOf(young)).toEqual([0]);
    release();
  });

  it('does not take for a difference what changes while it looks', async () => {
    const removed = await stored(nodes.slice(0, 1));
    let uploaded: BlobId | undefined;
    afterInventory = async () => {
      afterInventory = undefined;
      uploaded = await stored(nodes.slice(0, 1));
      const { id } = nodes[0];
      await cluster.metadata.recordDamage(
        id,
        [{ blobId: removed, kind: 'missing', detail: '' }],
        cluster.clock.now(),
      );
      nodes[0].store.lose(removed);
    };
    const { findings } = await check();
    expect(uploaded).toBeDefined();
    expect(problemsOf(findings)).toEqual([['lost', removed, -1]]);
  });

  it('says which nodes it could not ask, and judges nothing on them', async () => {
    await stored(nodes.slice(0, 3));
    cluster.kill(nodes[1]);
    const { findings, summary } = await check();
    expect(findings).toEqual([]);
    expect(summary.notAsked.map(({ id }) => id)).toEqual([nodes[1].id]);
  });

  it('refuses while the master is in recovery', async () => {
    cluster.directory.recoveryReason = 'The database is missing.';
    await expect(check()).rejects.toMatchObject({ kind: 'in-recovery' });
  });
});

async function copyTo(id: BlobId, node: TestNode): Promise<void> {
  const held = await nodes[0].store.describe(id);
  if (!held) throw new Error('The first node lacks it.');
  await node.store.pull({
    blobId: id,
    source: { nodeId: nodes[0].id, url: '' },
    sizeBytes: held.sizeBytes,
    md5: held.md5,
  });
}

/** Other bytes than those that were stored, under the same id. */
async function putOthers(node: TestNode, blobId: BlobId): Promise<void> {
  node.store.lose(blobId);
  const description = makeDescription({ ...cluster.metadata.identity(), blobId });
  await node.store.put(blobId, bytes, { description });
}

async function stateOf(ids: readonly BlobId[]) {
  return Promise.all(ids.map(async (id) => [await cluster.rowsOf(id), cluster.holdersOf(id)]));
}
