import {
  type BlobId,
  newBlobId,
  newEntryId,
  newFileId,
  parseFilePath,
  StoreError,
} from '@dfs/shared';
import { makeDescription, patternBytes } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { gcGraceMs, TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
afterEach(() => cluster.close());

async function start(nodes: number): Promise<TestNode[]> {
  cluster = await TestCluster.start({ nodes });
  await cluster.settle();
  return cluster.directory.nodes;
}

/** A file with all its copies made. */
async function makeFile(path: string, copies: number): Promise<BlobId> {
  const blob = await cluster.put(cluster.directory.nodes.slice(0, copies), {
    copiesWanted: copies,
    path,
  });
  await cluster.settle();
  expect(cluster.holdersOf(blob)).toHaveLength(copies);
  return blob;
}

const remove = (path: string) => cluster.metadata.removeEntry(parseFilePath(path));

/** Bytes on a node that no name refers to, as an upload that was broken off leaves them. */
async function leave(node: TestNode, changes: { epoch?: number } = {}): Promise<BlobId> {
  const blobId = newBlobId();
  const description = makeDescription({ ...cluster.metadata.identity(), ...changes, blobId });
  await node.store.put(blobId, patternBytes(100), { description });
  return blobId;
}

describe('the check of an inventory', () => {
  it('believes no page during which the clock was set back', async () => {
    const [, node] = (await start(2)) as [TestNode, TestNode];
    const blob = await makeFile('/seen.txt', 2);
    cluster.pass(60_000);
    const list = node.store.inventory.bind(node.store);
    node.store.inventory = async (after, limit) => {
      const page = await list(after, limit);
      cluster.clock.set(cluster.clock.now() - 30_000);
      const damage = { blobId: blob, kind: 'missing', detail: 'gone since' } as const;
      await cluster.metadata.recordDamage(node.id, [damage], cluster.clock.now());
      return page;
    };
    const before = await cluster.rowsOf(blob);
    const check = cluster.inventories.check(node.id, new AbortController().signal);
    await expect(check).rejects.toMatchObject({ kind: 'unavailable' });
    const [row] =
      (await cluster.metadata.replicasOf([blob]))
        .get(blob)
        ?.filter(({ nodeId }) => nodeId === node.id) ?? [];
    expect(row?.state, before).toBe('wanted');
  });
});

describe('the collector', () => {
  it('takes the copies of a deleted file from the nodes after the grace time, not before', async () => {
    await start(3);
    const blob = await makeFile('/gone.txt', 3);
    await remove('/gone.txt');
    cluster.pass(gcGraceMs - 1_000);
    await cluster.collector.step();
    expect(cluster.holdersOf(blob)).toEqual([0, 1, 2]);
    cluster.pass(2_000);
    await cluster.collector.step();
    expect(cluster.holdersOf(blob)).toEqual([]);
    expect(await cluster.rowsOf(blob)).toBe('');
    const log = await cluster.metadata.listLog({ limit: 3 });
    expect(log.map((row) => row.outcome)).toEqual(['dropped', 'dropped', 'dropped']);
  });

  it('waits out only seconds of the grace time while room is short, and takes nothing that is read', async () => {
    await start(2);
    const [read, gone] = [await makeFile('/read.txt', 2), await makeFile('/gone.txt', 2)];
    const release = cluster.blobsInUse.reading([read]);
    await remove('/read.txt');
    await remove('/gone.txt');
    cluster.pass(10_000);
    await cluster.collector.step();
    expect(cluster.holdersOf(gone)).toEqual([0, 1]);
    for (const node of cluster.directory.nodes) node.freeBytes = 10;
    await cluster.collector.step();
    expect(cluster.holdersOf(gone)).toEqual([]);
    expect(cluster.holdersOf(read)).toEqual([0, 1]);
    release();
    await cluster.collector.step();
    expect(cluster.holdersOf(read)).toEqual([]);
    // What an aborted upload left is not known to be one before the whole grace time is over.
    const left = await leave(cluster.directory.nodes[0] as TestNode);
    cluster.pass(20_000);
    await cluster.collector.step();
    expect(cluster.holdersOf(left)).toEqual([0]);
  });

  it('leaves a blob alone while somebody reads it, however long', async () => {
    await start(2);
    const blob = await makeFile('/read.txt', 2);
    const release = cluster.blobsInUse.reading([blob]);
    await remove('/read.txt');
    for (let i = 0; i < 3; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(cluster.holdersOf(blob)).toEqual([0, 1]);
    release();
    await cluster.collector.step();
    expect(cluster.holdersOf(blob)).toEqual([]);
  });

  it('takes what aborted uploads left, after the grace time', async () => {
    const [a] = (await start(2)) as [TestNode];
    const left = await leave(a);
    cluster.pass(gcGraceMs - 10_000);
    await cluster.collector.step();
    expect(a.store.ids).toEqual([left]);
    for (let i = 0; i < 3; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(a.store.ids).toEqual([]);
  });

  it('leaves the blobs of an upload alone that takes longer than the grace time', async () => {
    const [a] = (await start(2)) as [TestNode];
    const part = await leave(a);
    const release = cluster.blobsInUse.uploading([part]);
    for (let i = 0; i < 5; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(a.store.ids).toEqual([part]);
    release();
    for (let i = 0; i < 3; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(a.store.ids).toEqual([]);
  });

  it('writes down uploads that last longer than half a minute, again and again, and their end', async () => {
    await start(1);
    const calls: string[] = [];
    const { metadata } = cluster;
    const [renew, end] = [metadata.renewUploads.bind(metadata), metadata.endUploads.bind(metadata)];
    metadata.renewUploads = (ids, expiresAtMs) => {
      calls.push(`renew ${ids.length} for ${(expiresAtMs - cluster.clock.now()) / 1_000} s`);
      return renew(ids, expiresAtMs);
    };
    metadata.endUploads = (ids) => {
      calls.push(`end ${ids.length}`);
      return end(ids);
    };
    const release = cluster.blobsInUse.uploading([newBlobId(), newBlobId()]);
    const short = cluster.blobsInUse.uploading([newBlobId()]);
    cluster.pass(20_000);
    await cluster.collector.step();
    short();
    for (let i = 0; i < 7; i += 1) {
      cluster.pass(10_000);
      await cluster.collector.step();
    }
    release();
    await cluster.collector.step();
    await cluster.collector.step();
    expect(calls).toEqual(['renew 2 for 300 s', 'renew 2 for 300 s', 'renew 2 for 300 s', 'end 2']);
  });

  it('leaves blobs of another epoch alone and says so once', async () => {
    const [a] = (await start(1)) as [TestNode];
    const foreign = await leave(a, { epoch: 7 });
    for (let i = 0; i < 4; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(a.store.ids).toEqual([foreign]);
    const words = cluster.recorded.lines.filter((line) => line.message.includes('another epoch'));
    expect(words.map((line) => line.fields['quarantined'])).toEqual([1]);
  });

  it('deletes from a node that was away when it returns, and the file does not come back', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const blob = await makeFile('/old.txt', 2);
    cluster.kill(b);
    cluster.pass(20_000);
    await remove('/old.txt');
    for (let i = 0; i < 3; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(cluster.holdersOf(blob)).toEqual([1]);
    expect(a.store.ids).toEqual([]);
    cluster.revive(b);
    await cluster.settle();
    expect(b.store.ids).toEqual([]);
    expect(await cluster.rowsOf(blob)).toBe('');
  });

  it('deletes again what a node did not confirm, with longer and longer pauses', async () => {
    const [a] = (await start(1)) as [TestNode];
    const blob = await makeFile('/stubborn.txt', 1);
    await remove('/stubborn.txt');
    let deletes = 0;
    a.store.fault = (operation) => {
      if (operation !== 'delete') return;
      deletes += 1;
      if (deletes <= 4) throw new StoreError('internal', 'The disk is slow.');
    };
    cluster.pass(gcGraceMs + 1_000);
    for (let i = 0; i < 20; i += 1) {
      await cluster.collector.step();
      cluster.pass(1_000);
    }
    expect(deletes).toBe(5);
    expect(cluster.holdersOf(blob)).toEqual([]);
  });

  it('asks a node that gives no answer a few times, not for each of its blobs', async () => {
    const [a] = (await start(1)) as [TestNode];
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        cluster.put([a], { copiesWanted: 1, path: `/many/${index}` }),
      ),
    );
    for (let index = 0; index < 100; index += 1) await remove(`/many/${index}`);
    cluster.pass(gcGraceMs + 1_000);
    let deletes = 0;
    a.store.fault = (operation) => {
      if (operation !== 'delete') return;
      deletes += 1;
      const cause = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
      throw new StoreError('unavailable', 'The node gave no answer.', { cause });
    };
    await cluster.collector.step();
    expect(deletes).toBeLessThanOrEqual(8);
    a.store.fault = undefined;
    cluster.pass(5_000);
    await cluster.collector.step();
    expect(a.store.ids).toEqual([]);
  });

  it('gives every delete an expiry half a minute ahead, so that one that is late does nothing', async () => {
    const [a] = (await start(1)) as [TestNode];
    const blob = await makeFile('/late.txt', 1);
    await remove('/late.txt');
    cluster.pass(gcGraceMs + 1_000);
    const sentAtMs = cluster.clock.now();
    let expiresAtMs = 0;
    const { delete: remember } = a.store;
    a.store.delete = (id, options) => {
      expiresAtMs = options.expiresAtMs;
      // On its way for longer than it is valid.
      cluster.clock.advance(30_001);
      return remember.call(a.store, id, options);
    };
    await cluster.collector.step();
    expect(expiresAtMs).toBe(sentAtMs + 30_000);
    expect(cluster.holdersOf(blob)).toEqual([0]);
    expect(await cluster.rowsOf(blob)).toBe('0:dropping*');
    a.store.delete = remember;
    // The first round after that half minute takes it for a standstill of this process.
    for (let i = 0; i < 2; i += 1) {
      cluster.pass(60_000);
      await cluster.collector.step();
    }
    expect(cluster.holdersOf(blob)).toEqual([]);
  });

  it('takes nothing for a whole grace time after the clock was set forward', async () => {
    const [a] = (await start(1)) as [TestNode];
    const blob = await makeFile('/jump.txt', 1);
    const left = await leave(a);
    await remove('/jump.txt');
    cluster.clock.set(cluster.clock.now() + 24 * 3_600_000);
    await cluster.collector.step();
    cluster.pass(gcGraceMs - 5_000);
    await cluster.collector.step();
    expect(a.store.ids.toSorted()).toEqual([blob, left].toSorted());
    for (let i = 0; i < 3; i += 1) {
      cluster.pass(gcGraceMs);
      await cluster.collector.step();
    }
    expect(a.store.ids).toEqual([]);
  });

  it.each(['recovery', 'a standstill'])('takes nothing in %s', async (when) => {
    const [a] = (await start(1)) as [TestNode];
    const blob = await makeFile('/kept.txt', 1);
    await remove('/kept.txt');
    cluster.pass(gcGraceMs + 1_000);
    if (when === 'recovery') cluster.directory.recoveryReason = 'The database is empty.';
    else cluster.clock.advance(60_000);
    await cluster.collector.step();
    expect(a.store.ids).toEqual([blob]);
  });

  it('deletes many files in one go', async () => {
    const [a, b] = (await start(2)) as [TestNode, TestNode];
    const paths = Array.from({ length: 700 }, (_, index) => `/lots/${index}`);
    await Promise.all(
      paths.map((path) => cluster.put([a, b], { copiesWanted: 2, path, storedOn: [b] })),
    );
    await Promise.all(paths.map(remove));
    cluster.pass(gcGraceMs + 1_000);
    await cluster.collector.step();
    expect([a.store.ids.length, b.store.ids.length]).toEqual([0, 0]);
    expect((await cluster.metadata.counts()).replicas).toMatchObject({ stored: 0, dropping: 0 });
  });

  it('deletes rows of the log that are old enough', async () => {
    await start(2);
    await makeFile('/logged.txt', 2);
    expect(await cluster.metadata.listLog({})).not.toEqual([]);
    cluster.pass(20 * 60_000);
    cluster.clock.set(cluster.clock.now() + 31 * 86_400_000);
    await cluster.collector.step();
    // The clock may be set right again.
    expect(await cluster.metadata.listLog({})).not.toEqual([]);
    cluster.pass(gcGraceMs + 1_000);
    await cluster.collector.step();
    expect(await cluster.metadata.listLog({})).toEqual([]);
  });

  it('forgets grants and revocations a day after their end, and none by a clock that was set', async () => {
    await start(2);
    const { metadata, clock } = cluster;
    const day = 86_400_000;
    const expiresAtMs = clock.now() + 60_000;
    const fileId = newFileId();
    const issuedBeforeMs = clock.now();
    await metadata.addRevocation({ subject: 'f:old', issuedBeforeMs, expiresAtMs });
    const lasting = { issuedBeforeMs, expiresAtMs: expiresAtMs + 3 * day };
    await metadata.addRevocation({ subject: 'f:lasting', ...lasting });
    await metadata.addGrant({
      ...{ id: newEntryId(), path: parseFilePath('/f'), fileId, network: '192.0.2.0/24' },
      ...{ createdBy: 'admin', createdAtMs: clock.now(), expiresAtMs },
    });
    const subjects = async () =>
      (await metadata.revocationsOf(['f:old', 'f:lasting'])).map(({ subject }) => subject).sort();
    const step = async () => {
      // Longer than between two purges.
      cluster.pass(20 * 60_000);
      await cluster.collector.step();
    };
    await step();
    expect(await subjects()).toEqual(['f:lasting', 'f:old']);
    cluster.pass(10 * 60_000);
    clock.set(clock.now() + 30 * day);
    await cluster.collector.step();
    expect(await subjects()).toEqual(['f:lasting', 'f:old']);
    clock.set(clock.now() - 29 * day);
    await cluster.collector.step();
    await step();
    expect(await subjects()).toEqual(['f:lasting']);
    expect(await metadata.grantsOf(fileId, 0)).toEqual([]);
  });
});
