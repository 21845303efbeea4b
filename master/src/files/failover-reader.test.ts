import { once } from 'node:events';
import { type BlobId, type NodeId, StoreError } from '@dfs/shared';
import { bytesOf, patternBytes, seededRandom } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { FileInfo } from './file-types.ts';
import { TestCluster, type TestClusterOptions } from './test-cluster.ts';
import type { TestNode } from './test-nodes.ts';
import type { ReadFate } from './test-store.ts';

const clusters: TestCluster[] = [];
/** Every file has a copy on each of three nodes. */
const open = async ({ config, ...options }: TestClusterOptions = {}) => {
  const cluster = await TestCluster.open({ ...options, config: { minCopies: 3, ...config } });
  clusters.push(cluster);
  return cluster;
};
afterEach(async () => {
  for (const cluster of clusters.splice(0)) {
    // Every read of a test has ended: nothing may be held or open any more.
    expect([...cluster.inUse.readingNow()]).toEqual([]);
    expect(cluster.nodes.all.map(({ store }) => store.openReads)).toEqual([0, 0, 0]);
    await cluster.close();
  }
});

const { signal } = new AbortController();
const unavailable = () => new StoreError('unavailable', 'No connection.');

/** Long enough not to be read whole before the answer. */
const longBytes = patternBytes(700_000, 9);
const shortBytes = patternBytes(5_000, 8);

const primaryOf = (cluster: TestCluster, info: FileInfo): TestNode =>
  cluster.nodes.get(info.primary?.id as NodeId);
const failOpens = (node: TestNode, error: () => Error) => {
  node.store.fault = (operation) => {
    if (operation === 'open') throw error();
  };
};
/** Reads go in pieces of 10 000 bytes, and meet their fate at this offset, the first `times`. */
const failAt = (node: TestNode, offset: number, fate: ReadFate, times = 1) => {
  let met = 0;
  node.store.fateOfRead = (_id, at) => {
    if (at < offset) return Math.min(10_000, offset - at);
    if (met >= times) return 10_000;
    met += 1;
    return fate;
  };
};

describe('reading', () => {
  it.each([
    ['short', shortBytes],
    ['long', longBytes],
  ])('a %s file asks the primary when it is up', async (_, bytes) => {
    const cluster = await open();
    for (let i = 0; i < 5; i += 1) {
      const { info } = await cluster.put(`/${i}`, bytes);
      const opened = await cluster.files.open(info.file, { signal });
      expect(opened.nodeId).toBe(info.primary?.id);
      expectBytes(await bytesOf(opened.bytes), bytes);
      const other = await cluster.files.open(info.file, {
        signal,
        avoid: info.primary?.id as NodeId,
      });
      expect(other.nodeId).not.toBe(info.primary?.id);
      expectBytes(await bytesOf(other.bytes), bytes);
    }
  });

  it('gives a short content at once, too', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', shortBytes);
    const { content } = await cluster.files.open(info.file, { signal });
    expect(content).toEqual(shortBytes);
    const empty = await cluster.put('/empty', Buffer.alloc(0));
    const opened = await cluster.files.open(empty.info.file, { signal });
    expect(opened.content).toEqual(Buffer.alloc(0));
    expect(await bytesOf(opened.bytes)).toEqual(Buffer.alloc(0));
  });

  it.each([
    ['down', 'down', unavailable],
    ['suspect', 'suspect', unavailable],
    ['up for all we know, but dead', 'up', unavailable],
    ['up and answers 500', 'up', () => new StoreError('internal', 'Bug.')],
    ['another node by now', 'up', () => new StoreError('wrong-node', 'I am another.')],
    ['busy', 'up', () => new StoreError('too-many-requests', 'x', { retryAfterSeconds: 60 })],
  ] as const)('works at once when the primary is %s', async (_, state, error) => {
    const cluster = await open();
    for (const [path, bytes] of [
      ['/short', shortBytes],
      ['/long', longBytes],
    ] as const) {
      const { info } = await cluster.put(path, bytes);
      const primary = primaryOf(cluster, info);
      primary.state = state;
      failOpens(primary, error);
      const opened = await cluster.files.open(info.file, { signal });
      expect(opened.nodeId).not.toBe(primary.id);
      expectBytes(await bytesOf(opened.bytes), bytes);
      primary.state = 'up';
      primary.store.fault = undefined;
    }
    expect(cluster.waits).toEqual([]);
  });

  const offsets = [0, 1, 9_999, 10_000, 10_001, 262_143, 262_144, 262_145, 699_999];
  it.each(offsets)('goes on from another copy when one breaks off after %i bytes', async (at) => {
    const cluster = await open();
    const { info } = await cluster.put('/long', longBytes);
    failAt(primaryOf(cluster, info), at, 'break');
    const opened = await cluster.files.open(info.file, { signal });
    expectBytes(await bytesOf(opened.bytes), longBytes);
    expect(opened.nodeId === info.primary?.id).toBe(at > 0);
  });

  it.each([0, 1, 4_999])('also of a short file, after %i bytes', async (at) => {
    const cluster = await open();
    const { info } = await cluster.put('/short', shortBytes);
    failAt(primaryOf(cluster, info), at, 'break');
    expectBytes(await cluster.get('/short'), shortBytes);
  });

  it('goes on when one copy after the other breaks off, each at most twice', async () => {
    const cluster = await open();
    await cluster.put('/long', longBytes);
    for (const [i, node] of cluster.nodes.all.entries()) failAt(node, 100_000 * (i + 1), 'break');
    expectBytes(await cluster.get('/long'), longBytes);
    for (const node of cluster.nodes.all) failAt(node, 100_000, 'break', 2);
    await expect(cluster.get('/long')).rejects.toMatchObject({ kind: 'unavailable' });
  });

  it('outlives more failures the longer it is', async () => {
    const cluster = await open();
    const bytes = patternBytes(9 * 2 ** 20);
    await cluster.put('/very-long', bytes);
    let sinceBreak = 0;
    for (const { store } of cluster.nodes.all) {
      store.fateOfRead = () => {
        sinceBreak += 50_000;
        if (sinceBreak < 2 ** 20 + 300_000) return 50_000;
        sinceBreak = 0;
        return 'break';
      };
    }
    expectBytes(await cluster.get('/very-long'), bytes);
  });

  it('treats a copy that ends early as one that broke off', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/long', longBytes);
    const { store } = primaryOf(cluster, info);
    const realOpen = store.open.bind(store);
    store.open = async (id, options) => {
      const { bytes } = await realOpen(id, { ...options, range: { start: 0, end: 300_000 } });
      return { bytes, sizeBytes: longBytes.byteLength };
    };
    expectBytes(await cluster.get('/long'), longBytes);
  });

  it('waits for a copy that may recover when there is no other', async () => {
    const cluster = await open({ nodes: 3, config: { minCopies: 1 } });
    const { info } = await cluster.put('/long', longBytes);
    failAt(primaryOf(cluster, info), 300_000, 'break');
    expectBytes(await cluster.get('/long'), longBytes);
    expect(cluster.waits).toHaveLength(1);
  });
});

describe('reading what no node gives out', () => {
  it.each([
    ['short', shortBytes],
    ['long', longBytes],
  ])('names the nodes that hold a %s file', async (_, bytes) => {
    const cluster = await open();
    const { info } = await cluster.put('/a', bytes);
    for (const node of cluster.nodes.all) {
      node.state = 'down';
      failOpens(node, unavailable);
    }
    const refused = cluster.files.open(info.file, { signal });
    await expect(refused).rejects.toMatchObject({ kind: 'unavailable' });
    // Silent nodes are asked once, as a last hope, and not waited for.
    expect(cluster.waits).toEqual([]);
    for (const { name } of cluster.nodes.all) {
      await expect(cluster.files.open(info.file, { signal })).rejects.toThrow(`${name} (down)`);
    }
  });

  it('fails in the middle when the last copy goes, with nothing more given out', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/long', longBytes);
    for (const node of cluster.nodes.all) failAt(node, 400_000, 'break', 100);
    const { bytes } = await cluster.files.open(info.file, { signal });
    const given: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of bytes) given.push(chunk as Buffer);
    })();
    await expect(reading).rejects.toMatchObject({ kind: 'unavailable' });
    expectBytes(Buffer.concat(given), longBytes.subarray(0, 400_000));
  });

  it('is "corrupt" when every copy is bad', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', shortBytes);
    const id = info.file.blobs[0]?.blobId as BlobId;
    for (const { store } of cluster.nodes.all) store.corrupt(id, 17);
    const refused = cluster.files.open(info.file, { signal });
    await expect(refused).rejects.toMatchObject({ kind: 'corrupt' });
    const rows = async () => (await cluster.metadata.replicasOf([id])).get(id) ?? [];
    await until(async () => (await rows()).every(({ state }) => state === 'corrupt'));
  });

  it('tells a wrong range by its name', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', shortBytes);
    for (const range of [
      { start: 0, end: 5_001 },
      { start: 5_000, end: 5_001 },
      { start: -1, end: 3 },
      { start: 10, end: 10 },
    ]) {
      const refused = cluster.files.open(info.file, { signal, range });
      await expect(refused).rejects.toMatchObject({ kind: 'range-not-satisfiable' });
    }
  });
});

describe('a bad copy', () => {
  const blobOf = (info: FileInfo) => info.file.blobs[0]?.blobId as BlobId;
  const stateOn = async (cluster: TestCluster, info: FileInfo, node: TestNode) => {
    const rows = (await cluster.metadata.replicasOf([blobOf(info)])).get(blobOf(info)) ?? [];
    return rows.find(({ nodeId }) => nodeId === node.id)?.state;
  };
  const damages = [
    ['rotten', 'corrupt', (node: TestNode, id: BlobId) => node.store.corrupt(id, 600_000)],
    ['lost', 'wanted', (node: TestNode, id: BlobId) => node.store.lose(id)],
  ] as const;

  it.each(damages)('that is %s is never given out, and is made anew', async (_, state, damage) => {
    const cluster = await open();
    const { info } = await cluster.put('/long', longBytes);
    const primary = primaryOf(cluster, info);
    damage(primary, blobOf(info));
    expectBytes(await cluster.get('/long'), longBytes);
    await until(() => cluster.hints.length > 0);
    expect(await stateOn(cluster, info, primary)).toBe(state);
    const others = cluster.nodes.all.filter((node) => node !== primary).map(({ id }) => id);
    expect(cluster.hints).toEqual([
      expect.objectContaining({ blobId: blobOf(info), target: primary.id, path: '/long' }),
    ]);
    expect([...(cluster.hints[0]?.sources ?? [])].sort()).toEqual(others.sort());
  });

  it('is reported once by a read', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', shortBytes);
    primaryOf(cluster, info).store.lose(blobOf(info));
    let reports = 0;
    const { recordDamage } = cluster.metadata;
    cluster.metadata.recordDamage = async (...args) => {
      reports += 1;
      await recordDamage.apply(cluster.metadata, args);
    };
    await cluster.get('/a');
    await until(() => cluster.hints.length > 0);
    expect(reports).toBe(1);
  });

  it('that cannot be reported does not disturb the reader, and is logged', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/a', shortBytes);
    primaryOf(cluster, info).store.lose(blobOf(info));
    cluster.metadata.recordDamage = async () => {
      throw new StoreError('unavailable', 'The database is away.');
    };
    expectBytes(await cluster.get('/a'), shortBytes);
    await until(() => cluster.lines.some(({ level }) => level === 'error'));
  });
});

describe('ranges', () => {
  it.each([1, 2, 3, 4])('across blobs are right while nodes fail (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    const below = (limit: number) => Math.floor(random() * limit);
    const segmentBytes = 1 + below(3_000);
    const cluster = await open({
      seed,
      config: { segmentBytes, readAheadBytes: 1 + below(5_000) },
    });
    const bytes = patternBytes(below(20_000) + 1, seed);
    const { info } = await cluster.put('/a', bytes);
    expect(info.file.blobs).toHaveLength(Math.ceil(bytes.byteLength / segmentBytes));
    for (const { store } of cluster.nodes.all) {
      store.fateOfRead = () => (random() < 0.02 ? 'break' : 1 + below(1_500));
    }
    for (let i = 0; i < 150; i += 1) {
      const start = below(bytes.byteLength);
      const end = start + 1 + below(bytes.byteLength - start);
      const got = await cluster.get('/a', { range: { start, end } });
      expect(got.equals(bytes.subarray(start, end)), `${start}-${end}`).toBe(true);
    }
  });

  it('at and around the borders of blobs are right', async () => {
    const cluster = await open({ config: { segmentBytes: 100 } });
    const bytes = patternBytes(1_000);
    await cluster.put('/a', bytes);
    const edges = [0, 1, 99, 100, 101, 199, 200, 500, 899, 900, 901, 999, 1_000];
    for (const start of edges) {
      for (const end of edges.filter((edge) => edge > start)) {
        expectBytes(await cluster.get('/a', { range: { start, end } }), bytes.subarray(start, end));
      }
    }
  });
});

describe('a reader', () => {
  it('that goes away at any moment leaves nothing open', async () => {
    const cluster = await open({ config: { segmentBytes: 300_000, readAheadBytes: 20_000 } });
    const { info } = await cluster.put('/long', longBytes);
    const random = seededRandom(4);
    for (let i = 0; i < 30; i += 1) {
      const gone = new AbortController();
      const stopAfter = Math.floor(random() * 700_000);
      const { bytes } = await cluster.files.open(info.file, { signal: gone.signal });
      let taken = 0;
      const reading = (async () => {
        for await (const chunk of bytes) {
          taken += (chunk as Buffer).byteLength;
          if (taken > stopAfter && i % 3 === 0) break;
          if (taken > stopAfter && i % 3 === 1) gone.abort();
          if (taken > stopAfter && i % 3 === 2) bytes.destroy();
        }
      })();
      const [outcome] = await Promise.allSettled([reading]);
      if (i % 3 === 1) expect(outcome).toMatchObject({ reason: { kind: 'cancelled' } });
      expect(taken).toBeGreaterThan(0);
      if (!bytes.closed) await once(bytes, 'close');
    }
  });

  it('that goes away while a node hangs leaves nothing open', async () => {
    const cluster = await open();
    const { info } = await cluster.put('/long', longBytes);
    failAt(primaryOf(cluster, info), 300_000, 'hang');
    const { bytes } = await cluster.files.open(info.file, { signal });
    let taken = 0;
    for await (const chunk of bytes) {
      taken += (chunk as Buffer).byteLength;
      if (taken === 300_000) break;
    }
    const first = new AbortController();
    failAt(primaryOf(cluster, info), 0, 'hang', 2);
    const opening = cluster.files.open(info.file, { signal: first.signal });
    setImmediate(() => first.abort());
    await expect(opening).rejects.toMatchObject({ kind: 'cancelled' });
    const { info: short } = await cluster.put('/short', shortBytes);
    failAt(primaryOf(cluster, short), 0, 'hang');
    const second = new AbortController();
    const reading = cluster.files.open(short.file, { signal: second.signal });
    setImmediate(() => second.abort());
    await expect(reading).rejects.toMatchObject({ kind: 'cancelled' });
  });

  it('that is slow keeps the node from being read faster than it reads', async () => {
    const cluster = await open({ config: { readAheadBytes: 50_000 } });
    const { info } = await cluster.put('/long', longBytes);
    let furthest = 0;
    primaryOf(cluster, info).store.fateOfRead = (_id, at) => {
      furthest = Math.max(furthest, at);
      return 10_000;
    };
    const { bytes } = await cluster.files.open(info.file, { signal });
    let taken = 0;
    for await (const chunk of bytes) {
      taken += (chunk as Buffer).byteLength;
      for (let i = 0; i < 5; i += 1) await new Promise(setImmediate);
      expect(furthest - taken).toBeLessThanOrEqual(80_000);
    }
    expect(taken).toBe(longBytes.byteLength);
  });

  it('that is slow does not use up the patience with nodes that hang up on it', async () => {
    const cluster = await open({ config: { minCopies: 1, readAheadBytes: 10_000 } });
    const { info } = await cluster.put('/long', longBytes);
    const { store } = primaryOf(cluster, info);
    // A node that hangs up on connections where nothing moved for a minute.
    let heardAtMs = cluster.clock.monotonic();
    let hangUps = 0;
    store.fateOfRead = () => {
      const silentForMs = cluster.clock.monotonic() - heardAtMs;
      heardAtMs = cluster.clock.monotonic();
      if (silentForMs < 60_000) return 10_000;
      hangUps += 1;
      return 'break';
    };
    const { bytes } = await cluster.files.open(info.file, { signal });
    const given: Buffer[] = [];
    for await (const chunk of bytes) {
      given.push(chunk as Buffer);
      for (let i = 0; i < 5; i += 1) await new Promise(setImmediate);
      if (given.length % 10 === 0) cluster.clock.advance(70_000);
    }
    expectBytes(Buffer.concat(given), longBytes);
    expect(hangUps).toBeGreaterThan(2);
  });

  it('holds the blobs it has open, until it ends', async () => {
    const cluster = await open({ config: { segmentBytes: 300_000 } });
    const { info } = await cluster.put('/long', longBytes);
    const ids = info.file.blobs.map(({ blobId }) => blobId);
    const whole = await cluster.files.open(info.file, { signal });
    expect([...cluster.inUse.readingNow()].sort()).toEqual([...ids].sort());
    const range = { start: 0, end: 299_999 };
    const part = await cluster.files.open(info.file, { signal, range });
    await bytesOf(whole.bytes);
    expect([...cluster.inUse.readingNow()]).toEqual([ids[0]]);
    await bytesOf(part.bytes);
    expect([...cluster.inUse.readingNow()]).toEqual([]);
  });
});

/** Quicker than `toEqual` by far. */
function expectBytes(given: Buffer, expected: Buffer): void {
  expect(given.byteLength).toBe(expected.byteLength);
  expect(given.equals(expected)).toBe(true);
}

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise(setImmediate);
}
