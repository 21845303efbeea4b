import {
  type BlobId,
  fileIdOfFirstBlob,
  newBlobId,
  newNodeId,
  StoreError,
  verifyBlobQuery,
} from '@dfs/shared';
import { bytesOf, patternBytes } from '@dfs/shared/testing';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { pathOf } from '../files/test-cluster.ts';
import type { TestNode } from '../files/test-nodes.ts';
import { dropGoneBlobs } from './gone-blobs.ts';
import { TestCaches, testUrlKey } from './test-caches.ts';

const opened: TestCaches[] = [];
const open = async (options: Parameters<typeof TestCaches.open>[0] = {}) => {
  const caches = await TestCaches.open(options);
  opened.push(caches);
  return caches;
};
afterEach(async () => {
  for (const { cluster } of opened.splice(0)) await cluster.close();
});

const { signal } = new AbortController();
const bytes = patternBytes(700_000, 3);

/** A stored file, its one holder and the other nodes. */
async function stored(caches: TestCaches, path = '/video.mp4') {
  const { info } = await caches.cluster.put(path, bytes);
  const blobId = info.file.blobs[0]?.blobId as BlobId;
  const { all } = caches.cluster.nodes;
  const primary = all.find(({ id }) => id === info.primary?.id) as TestNode;
  return { file: info.file, blobId, primary, others: all.filter((node) => node !== primary) };
}
const read = async ({ files }: TestCaches, file: Awaited<ReturnType<typeof stored>>['file']) => {
  const { bytes: stream, nodeId } = await files.open(file, { signal });
  return { nodeId, content: await bytesOf(stream) };
};

describe('reading with caches', () => {
  it('serves a file from a cache when its only holder is down, and never counts that as a copy', async () => {
    const caches = await open();
    const { file, blobId, primary, others } = await stored(caches);
    const [cache] = others as [TestNode];
    await caches.cacheAt(cache, blobId);
    caches.cluster.nodes.become(primary, 'down');
    primary.store.fault = () => {
      throw new StoreError('unavailable', 'No connection.');
    };
    const { nodeId, content } = await read(caches, file);
    expect(nodeId).toBe(cache.id);
    expect(content.equals(bytes)).toBe(true);
    const info = await caches.files.stat({ path: pathOf('/video.mp4') });
    expect(info.copies).toEqual({ stored: 1, wanted: 1 });
  });

  it('asks the primary of a file that is not hot, however busy it is', async () => {
    const caches = await open();
    const { file, blobId, primary, others } = await stored(caches);
    for (const node of others) await caches.cacheAt(node, blobId);
    const reads = await Promise.all(
      Array.from({ length: 8 }, () => caches.files.open(file, { signal })),
    );
    expect(reads.map(({ nodeId }) => nodeId)).toEqual(reads.map(() => primary.id));
    for (const { bytes: stream } of reads) stream.destroy();
  });

  it.each([['not-found'], ['corrupt'], ['unavailable']] as const)(
    'goes on elsewhere when a cache fails (%s), and records no damage',
    async (kind) => {
      const caches = await open();
      const { file, blobId, primary, others } = await stored(caches);
      const [cache] = others as [TestNode];
      await caches.cacheAt(cache, blobId);
      cache.store.fault = () => {
        throw new StoreError(kind, 'It does not have it.');
      };
      caches.cluster.nodes.become(primary, 'suspect');
      const { nodeId, content } = await read(caches, file);
      expect(nodeId).toBe(primary.id);
      expect(content.equals(bytes)).toBe(true);
      const isForgotten = kind !== 'unavailable';
      expect(caches.caching.holdersOf(blobId)).toEqual(isForgotten ? [] : [cache.id]);
      const replicas = await caches.files.replicas({ id: file.id });
      expect(replicas.map(({ node, state }) => [node.id, state])).toEqual([[primary.id, 'stored']]);
      expect(caches.cluster.hints).toEqual([]);
    },
  );

  it('has a stored copy made anew when its node gives the bytes from a cache alone', async () => {
    const caches = await open({ copies: 2 });
    const { info } = await caches.cluster.put('/video.mp4', bytes, { minCopies: 2 });
    const [blob] = info.file.blobs;
    if (!blob) throw new Error('There is no blob.');
    const { metadata, hints, nodes } = caches.cluster;
    const primary = nodes.get(info.primary?.id ?? newNodeId());
    const stateThere = async () => {
      const rows = (await metadata.replicasOf([blob.blobId])).get(blob.blobId) ?? [];
      return rows.find(({ nodeId }) => nodeId === primary.id)?.state;
    };
    hints.length = 0;
    primary.store.isCacheOnly = true;
    expect(await stateThere()).toBe('stored');
    expect((await read(caches, info.file)).nodeId).toBe(primary.id);
    await expect.poll(stateThere).toBe('wanted');
    await expect.poll(() => hints.map(({ target }) => target)).toEqual([primary.id]);
  });

  it('shares the reads of a hot file evenly among all that have it, the primary first', async () => {
    const caches = await open({ hotReadsPerMinute: 10 });
    const { file, blobId, primary, others } = await stored(caches);
    for (const node of others) await caches.cacheAt(node, blobId);
    await caches.read(file.id, 11);
    const reads = [];
    for (let i = 0; i < 40; i += 1) {
      const { signal: ownSignal } = new AbortController();
      reads.push(await caches.files.open(file, { signal: ownSignal }));
    }
    expect(reads[0]?.nodeId).toBe(primary.id);
    const loads = caches.cluster.nodes.all.map(({ store }) => store.openReads);
    expect(loads).toEqual([10, 10, 10, 10]);
    for (const { bytes: stream } of reads) stream.destroy();
  });

  it('shares them evenly also when they come one after the other', async () => {
    const caches = await open({ hotReadsPerMinute: 10 });
    const { file, blobId, primary, others } = await stored(caches);
    for (const node of others) await caches.cacheAt(node, blobId);
    await caches.read(file.id, 11);
    const served = new Map<string, number>();
    for (let i = 0; i < 40; i += 1) {
      const { nodeId } = await read(caches, file);
      if (i === 0) expect(nodeId).toBe(primary.id);
      served.set(nodeId, (served.get(nodeId) ?? 0) + 1);
      await vi.waitUntil(() =>
        caches.cluster.nodes.all.every(({ store }) => store.openReads === 0),
      );
    }
    expect([...served.values()]).toEqual([10, 10, 10, 10]);
  });
});

describe('a hot file', () => {
  it.each([
    { reads: 60, further: 0 },
    { reads: 61, further: 1 },
    { reads: 119, further: 1 },
    { reads: 120, further: 2 },
    { reads: 100_000, further: 3 },
  ])('that is read $reads times a minute is cached on $further of 3 further nodes', async (row) => {
    const caches = await open();
    const { file, primary, others } = await stored(caches);
    await caches.read(file.id, row.reads);
    await caches.caching.hot.step();
    await caches.caching.hot.step();
    const told = others.filter(({ id }) => caches.cacheOf(id).orders.length > 0);
    expect(told).toHaveLength(row.further);
    for (const { id } of told) expect(caches.cacheOf(id).orders).toHaveLength(1);
    expect(caches.cacheOf(primary.id).orders).toEqual([]);
  });

  it('is fetched from nodes that have it and are there, by signed addresses', async () => {
    const caches = await open();
    const { file, blobId, primary, others } = await stored(caches);
    const [one, down, third] = others as [TestNode, TestNode, TestNode];
    await caches.cacheAt(one, blobId);
    await caches.cacheAt(down, blobId);
    caches.cluster.nodes.become(down, 'down');
    await caches.read(file.id, 1_000);
    await caches.caching.hot.step();
    const [order] = caches.cacheOf(third.id).orders;
    const [blob] = order?.blobs ?? [];
    expect(blob).toMatchObject({ blobId, sizeBytes: bytes.byteLength, md5: file.md5 });
    expect(blob?.sources.map(({ nodeId }) => nodeId)).toEqual([primary.id, one.id]);
    const now = caches.cluster.clock.now();
    for (const { nodeId, url, query } of blob?.sources ?? []) {
      expect(url).toBe(caches.cluster.nodes.find(nodeId)?.url);
      const claims = verifyBlobQuery([testUrlKey], blobId, new URLSearchParams(query), now);
      expect(claims?.nodeId).toBe(nodeId);
    }
  });

  it('goes to further nodes as it gets hotter, and to another node when one goes away', async () => {
    const caches = await open();
    const { file, others } = await stored(caches);
    const told = () => others.filter(({ id }) => caches.cacheOf(id).orders.length > 0);
    await caches.read(file.id, 70);
    await caches.caching.hot.step();
    await caches.fetchAll();
    const [first] = told() as [TestNode];
    caches.cluster.nodes.become(first, 'down');
    await caches.caching.hot.step();
    expect(told()).toHaveLength(2);
    caches.cluster.nodes.become(first, 'up');
    await caches.read(file.id, 110);
    await caches.caching.hot.step();
    expect(told()).toHaveLength(3);
  });

  it('is let go when it has been cool for two minutes, and no sooner', async () => {
    const caches = await open();
    const { file, blobId, others } = await stored(caches);
    const { clock } = caches.cluster;
    const drops = () => others.flatMap(({ id }) => caches.cacheOf(id).drops);
    await caches.read(file.id, 130);
    await caches.caching.hot.step();
    await caches.fetchAll();
    // Between half and whole it is neither hot nor cool.
    for (let second = 0; second < 600; second += 10) {
      clock.advance(10_000);
      await caches.read(file.id, 6);
      await caches.caching.hot.step();
    }
    expect(drops()).toEqual([]);
    for (let second = 0; second < 170; second += 10) {
      clock.advance(10_000);
      await caches.caching.hot.step();
      if (second < 100) expect(drops(), `after ${second} s`).toEqual([]);
    }
    expect(drops()).toEqual([[blobId], [blobId]]);
    expect(caches.caching.holdersOf(blobId)).toEqual([]);
    expect(await caches.caching.hot.list()).toEqual([]);
  });

  it('stays where somebody asked for it when it cools', async () => {
    const caches = await open();
    const { file, others } = await stored(caches);
    const [asked] = others as [TestNode];
    await caches.read(file.id, 10_000);
    await caches.caching.hot.step();
    await caches.caching.control.cacheOn(pathOf('/video.mp4'), { nodes: asked.id });
    await caches.fetchAll();
    for (let second = 0; second < 300; second += 10) {
      caches.cluster.clock.advance(10_000);
      await caches.caching.hot.step();
    }
    const dropped = others.filter(({ id }) => caches.cacheOf(id).drops.length > 0);
    expect(dropped).toEqual(others.filter((node) => node !== asked));
  });

  it('is let go at once when it was deleted', async () => {
    const caches = await open();
    const { file, others } = await stored(caches);
    await caches.read(file.id, 10_000);
    await caches.caching.hot.step();
    // By another way than the file service, which would tell the nodes itself.
    await caches.cluster.metadata.removeEntry(pathOf('/video.mp4'), {});
    await caches.caching.hot.step();
    for (const { id } of others) expect(caches.cacheOf(id).drops).toHaveLength(1);
  });

  it('leaves a node that refuses alone for a minute, and takes another one', async () => {
    const caches = await open();
    const { file, others } = await stored(caches);
    for (const { id } of others) caches.cacheOf(id).refusal = 'too many wait';
    for (let i = 0; i < 5; i += 1) {
      await caches.read(file.id, 100);
      await caches.caching.hot.step();
      caches.cluster.clock.advance(10_000);
    }
    const refusals = () => caches.lines.filter(({ level }) => level === 'warn').length;
    expect(refusals()).toBe(3);
    for (const { id } of others) {
      caches.cacheOf(id).refusal = undefined;
      caches.cacheOf(id).orders.length = 0;
    }
    caches.cluster.clock.advance(61_000);
    await caches.read(file.id, 100);
    await caches.caching.hot.step();
    expect(others.flatMap(({ id }) => caches.cacheOf(id).orders)).toHaveLength(1);
  });

  it('is asked for again when a node did not come to it', async () => {
    const caches = await open({ nodes: 2 });
    const { file, others } = await stored(caches);
    const [other] = others as [TestNode];
    for (const expected of [1, 1, 2]) {
      await caches.read(file.id, 100);
      await caches.caching.hot.step();
      expect(caches.cacheOf(other.id).orders).toHaveLength(expected);
      caches.cluster.clock.advance(40_000);
    }
  });

  it.each([
    [
      'where nodes cache nothing',
      (caches: TestCaches) => {
        for (const { id } of caches.cluster.nodes.all) caches.caching.heard(id, undefined);
      },
    ],
    [
      'on nodes that are drained',
      (caches: TestCaches) => {
        for (const node of caches.cluster.nodes.all) node.isDraining = true;
      },
    ],
    [
      'in recovery',
      (caches: TestCaches) => {
        caches.cluster.nodes.recoveryReason = 'The database is gone.';
      },
    ],
  ])('is not cached %s', async (_, arrange) => {
    const caches = await open();
    const { file, others } = await stored(caches);
    await caches.read(file.id, 10_000);
    arrange(caches);
    await caches.caching.hot.step();
    expect(others.flatMap(({ id }) => caches.cacheOf(id).orders)).toEqual([]);
  });

  it('there is none when spreading is switched off', async () => {
    const caches = await open({ hotReadsPerMinute: 0 });
    const { file, others } = await stored(caches);
    await caches.read(file.id, 10_000);
    await caches.caching.hot.step();
    expect(others.flatMap(({ id }) => caches.cacheOf(id).orders)).toEqual([]);
    expect(caches.caching.isHot(file.id)).toBe(false);
    expect(await caches.caching.hot.list()).toEqual([]);
  });

  it('is listed with its path, how often it is read, and where it is', async () => {
    const caches = await open();
    const { file, primary } = await stored(caches, '/films/a.mp4');
    await caches.read(file.id, 61);
    await caches.caching.hot.step();
    await caches.fetchAll();
    const [entry, ...more] = await caches.caching.hot.list();
    expect(more).toEqual([]);
    expect(entry).toMatchObject({
      fileId: file.id,
      path: '/films/a.mp4',
      sizeBytes: bytes.byteLength,
      readsPerMinute: 61,
      storedOn: [primary.id],
    });
    expect(entry?.cachedOn).toHaveLength(1);
  });
});

describe('reads', () => {
  it('are counted when files are opened here, by redirect, and as nodes tell', async () => {
    const caches = await open();
    const { file, primary } = await stored(caches);
    primary.publicUrl = 'http://public';
    const named = await caches.files.find({ id: file.id });
    await read(caches, file);
    if (named) await caches.files.locate(named);
    await caches.read(file.id, 58);
    expect(caches.caching.isHot(file.id)).toBe(false);
    await read(caches, file);
    expect(caches.caching.isHot(file.id)).toBe(true);
  });
});

describe('a heartbeat', () => {
  it('tells of no more files than it may', async () => {
    const caches = await open();
    const [node] = caches.cluster.nodes.all as [TestNode];
    const reads = Array.from({ length: 150 }, () => ({
      fileId: fileIdOfFirstBlob(newBlobId()),
      count: 100,
    }));
    caches.caching.heard(node.id, { bytes: 0, count: 0, blobs: [], reads });
    expect(reads.filter(({ fileId }) => caches.caching.isHot(fileId))).toHaveLength(100);
  });
});

describe('a redirect', () => {
  it('goes to the node with the fewest readers that has the file and a public address', async () => {
    const caches = await open();
    const { file, blobId, primary, others } = await stored(caches);
    const [cache, silent] = others as [TestNode, TestNode];
    primary.publicUrl = 'http://primary';
    cache.publicUrl = 'http://cache/';
    silent.publicUrl = 'http://silent';
    await caches.cacheAt(cache, blobId);
    await caches.cacheAt(silent, blobId);
    caches.cluster.nodes.become(silent, 'suspect');
    const named = await caches.files.find({ id: file.id });
    if (!named) throw new Error('The file is gone.');
    const hosts = [];
    for (let i = 0; i < 6; i += 1) {
      hosts.push(new URL((await caches.files.locate(named)) ?? '').host);
    }
    expect(hosts).toEqual(['primary', 'cache', 'primary', 'cache', 'primary', 'cache']);
    caches.cluster.clock.advance(120_000);
    expect(await caches.files.locate(named)).toContain('http://primary/blobs/');
    caches.cluster.clock.advance(120_000);
    const busy = await caches.files.open(file, { signal });
    expect(busy.nodeId).toBe(primary.id);
    expect(await caches.files.locate(named)).toContain('http://cache/blobs/');
    expect(await caches.files.locate(named, cache.id)).toContain('http://primary/blobs/');
    busy.bytes.destroy();
  });
});

describe('caching by hand', () => {
  const path = pathOf('/video.mp4');

  it('puts a file on all nodes, and tells what became of it at each', async () => {
    const caches = await open({ nodes: 5 });
    const { blobId, primary, others } = await stored(caches);
    const [has, down, without, takes] = others as [TestNode, TestNode, TestNode, TestNode];
    await caches.cacheAt(has, blobId);
    caches.cluster.nodes.become(down, 'down');
    caches.caching.heard(without.id, undefined);
    const outcomes = await caches.caching.control.cacheOn(path, { nodes: 'all', priority: 7 });
    const byNode = new Map(outcomes.map(({ node, outcome }) => [node.id, outcome]));
    expect(byNode.get(primary.id)).toBe('stored');
    expect(byNode.get(has.id)).toBe('cached');
    expect(byNode.get(down.id)).toBe('failed');
    expect(byNode.get(without.id)).toBe('failed');
    expect(byNode.get(takes.id)).toBe('ordered');
    expect(caches.cacheOf(takes.id).orders).toMatchObject([{ priority: 7, blobs: [{ blobId }] }]);
    // It is to be kept with this priority from now on.
    expect(caches.cacheOf(has.id).orders).toMatchObject([{ priority: 7 }]);
    expect(outcomes.find(({ node }) => node.id === down.id)?.message).toMatch(/down/);
  });

  it('puts it on so many nodes, those that cache it counted', async () => {
    const caches = await open({ nodes: 5 });
    const { blobId, others } = await stored(caches);
    await caches.cacheAt(others[0] as TestNode, blobId);
    const outcomes = await caches.caching.control.cacheOn(path, { nodes: 3 });
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual(['cached', 'ordered', 'ordered']);
  });

  it('drops it from every node that caches, also where it is still being fetched', async () => {
    const caches = await open({ nodes: 4 });
    const { blobId, others } = await stored(caches);
    const [has, down] = others as [TestNode, TestNode];
    await caches.cacheAt(has, blobId);
    caches.cluster.nodes.become(down, 'down');
    const outcomes = await caches.caching.control.dropCaches(path);
    expect(outcomes.map(({ outcome }) => outcome).sort()).toEqual([
      ...['dropped', 'dropped', 'dropped', 'failed'],
    ]);
    expect(caches.caching.holdersOf(blobId)).toEqual([]);
    expect(caches.cacheOf(has.id).drops).toEqual([[blobId]]);
  });

  it('refuses what is not there', async () => {
    const caches = await open();
    await stored(caches);
    const { control } = caches.caching;
    const no = pathOf('/no');
    await expect(control.cacheOn(no, { nodes: 'all' })).rejects.toMatchObject({
      kind: 'not-found',
    });
    await expect(control.dropCaches(no)).rejects.toMatchObject({ kind: 'not-found' });
    const unknown = newNodeId();
    await expect(control.cacheOn(path, { nodes: unknown })).rejects.toMatchObject({
      kind: 'not-found',
    });
  });

  it('says so when nobody can give the bytes', async () => {
    const caches = await open({ nodes: 2 });
    const { primary, others } = await stored(caches);
    caches.cluster.nodes.become(primary, 'down');
    const [other] = others as [TestNode];
    const outcomes = await caches.caching.control.cacheOn(path, { nodes: other.id });
    expect(outcomes).toMatchObject([
      { outcome: 'failed', message: expect.stringMatching(/holds/) },
    ]);
  });
});

describe('a deleted file', () => {
  it('leaves the caches at once', async () => {
    const caches = await open();
    const { blobId, others } = await stored(caches);
    const [cache] = others as [TestNode];
    await caches.cacheAt(cache, blobId);
    await caches.files.remove(pathOf('/video.mp4'));
    expect(caches.cacheOf(cache.id).drops).toEqual([[blobId]]);
  });

  it('leaves nodes that were told to cache it and did not say yet that they do', async () => {
    const caches = await open();
    const { blobId, others } = await stored(caches);
    await stored(caches, '/hot.mp4');
    const [asked] = others as [TestNode];
    await caches.caching.control.cacheOn(pathOf('/video.mp4'), { nodes: asked.id });
    await caches.files.remove(pathOf('/video.mp4'));
    expect(caches.cacheOf(asked.id).drops).toEqual([[blobId]]);
    await caches.files.remove(pathOf('/hot.mp4'));
    expect(caches.cacheOf(asked.id).drops).toHaveLength(1);
  });

  it('leaves the caches later however it went, once the database no longer knows its blobs', async () => {
    const caches = await open();
    const { blobId, others } = await stored(caches);
    const [cache, down] = others as [TestNode, TestNode];
    const gone = newBlobId();
    const blobs = [blobId, gone];
    for (const { id } of [cache, down])
      caches.caching.heard(id, { bytes: 0, count: 2, blobs, reads: [] });
    const { metadata, nodes } = caches.cluster;
    nodes.become(down, 'down');
    const { directory } = caches.caching;
    const drop = async (id: TestNode['id'], ids: readonly BlobId[]) =>
      caches.cacheOf(id).drop({ blobIds: ids });
    const look = () => dropGoneBlobs({ directory, orders: { drop }, nodes, metadata });
    nodes.confirmed = false;
    await look();
    nodes.confirmed = true;
    nodes.recoveryReason = 'The database is gone.';
    await look();
    nodes.recoveryReason = undefined;
    expect(caches.cacheOf(cache.id).drops).toEqual([]);
    await look();
    expect(caches.cacheOf(cache.id).drops).toEqual([[gone]]);
    expect(caches.cacheOf(down.id).drops).toEqual([]);
  });
});
