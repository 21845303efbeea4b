import {
  type BlobId,
  cacheReportLimits,
  newBlobId,
  newNodeId,
  nodeHeaders,
  signBlobPath,
} from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { bytesOf, eventually, makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { peerContentType } from '../blob-fetcher.ts';
import { FakeMaster } from '../testing/fake-master.ts';
import { startTestNode, type TestNode } from '../testing/test-node.ts';

const clusterKey = 'the key of the cluster';
const bytes = Buffer.from(patternBytes(2 * 2 ** 20 + 100));
const md5 = md5Of(bytes);

let masters: FakeMaster[];
/** Stores blobs. */
let holder: TestNode;
/** Caches them. */
let cacher: TestNode;
beforeAll(async () => {
  masters = [await FakeMaster.start({ clusterKey }), await FakeMaster.start({ clusterKey })];
  const [first, second] = masters as [FakeMaster, FakeMaster];
  holder = await startTestNode({ clusterKey, master: first });
  cacher = await startTestNode({ clusterKey, master: second });
  await Promise.all([holder.node.registered, cacher.node.registered]);
});
afterAll(async () => {
  await holder?.close();
  await cacher?.close();
  for (const master of masters) await master.close();
});

async function store(body = bytes): Promise<BlobId> {
  const blobId = newBlobId();
  await holder.client.put(blobId, body, { description: makeDescription({ blobId }) });
  return blobId;
}

const toCache = (blobId: BlobId) => ({
  blobId,
  sizeBytes: bytes.byteLength,
  md5,
  sources: [{ nodeId: holder.node.nodeId, url: holder.url, query: '' }],
});

function linkTo(blobId: BlobId, contentType: string): string {
  const [urlKey] = ClusterKeyring.of(clusterKey).blobUrlKeys();
  const path = signBlobPath(urlKey as Buffer, {
    blobId,
    nodeId: cacher.node.nodeId,
    expiresAtSeconds: Math.floor(Date.now() / 1_000) + 60,
    contentType,
  });
  return cacher.url + path;
}

const request = (method: string, body: string, headers: Record<string, string> = {}) =>
  fetch(`${cacher.url}/cache`, {
    method,
    ...(method === 'GET' ? {} : { body }),
    headers: {
      authorization: `Bearer ${clusterKey}`,
      [nodeHeaders.node]: cacher.node.nodeId,
      [nodeHeaders.epoch]: '1',
      ...headers,
    },
  });

async function cache(blobId: BlobId): Promise<void> {
  const answer = await cacher.client.cache.fetch({ blobs: [toCache(blobId)], priority: 2 });
  expect(answer).toEqual({ accepted: [blobId], present: [], refused: [] });
  const isThere = async () =>
    (await cacher.client.cache.list()).blobs.some(
      (blob) => blob.blobId === blobId && blob.isComplete,
    );
  await eventually(isThere).toBe(true);
}

describe('a node that is told to cache a blob', () => {
  it('fetches it, and serves it to the cluster and by signed links, also when the holder is gone', async () => {
    const passing = await startTestNode({ clusterKey, master: masters[0] as FakeMaster });
    await passing.node.registered;
    const blobId = newBlobId();
    await passing.client.put(blobId, bytes, { description: makeDescription({ blobId }) });
    const source = { nodeId: passing.node.nodeId, url: passing.url, query: '' };
    await cacher.client.cache.fetch({
      blobs: [{ ...toCache(blobId), sources: [source] }],
      priority: 0,
    });
    await eventually(async () =>
      (await cacher.client.cache.list()).blobs.some((b) => b.isComplete),
    ).toBe(true);
    await passing.close();
    const opened = await cacher.client.open(blobId, { range: { start: 5, end: 2_000_000 } });
    expect(opened.isCached).toBe(true);
    expect((await bytesOf(opened.bytes)).equals(bytes.subarray(5, 2_000_000))).toBe(true);
    const answer = await fetch(linkTo(blobId, 'video/mp4'));
    expect(answer.headers.get('content-type')).toBe('video/mp4');
    expect(answer.headers.get('etag')).toBe(`"${md5}"`);
    expect(Buffer.from(await answer.arrayBuffer()).equals(bytes)).toBe(true);
  });

  it('obeys no master of an older epoch', async () => {
    const blobId = await store();
    await cache(blobId);
    const refused = [
      await request('DELETE', JSON.stringify({ blobIds: [blobId] }), { [nodeHeaders.epoch]: '0' }),
      await request('POST', JSON.stringify({ blobs: [], priority: 0 }), {
        [nodeHeaders.epoch]: '0',
      }),
    ];
    expect(refused.map(({ status }) => status)).toEqual([409, 409]);
    const { blobs } = await cacher.client.cache.list();
    expect(blobs.map((blob) => blob.blobId)).toContain(blobId);
  });

  it('counts it as no copy: no inventory, no description', async () => {
    const blobId = await store();
    await cache(blobId);
    expect(await cacher.client.describe(blobId)).toBeUndefined();
    expect((await cacher.client.inventory(undefined, 100)).blobs).toEqual([]);
    expect(await cacher.client.status()).toMatchObject({ blobCount: 0, usedBytes: 0 });
    // A pull asks for the description: a cached copy is no source of stored ones.
    const link = linkTo(blobId, peerContentType);
    expect((await fetch(link)).status).toBe(200);
    const pulling = await fetch(link, { headers: { [nodeHeaders.wantDescription]: '1' } });
    expect(pulling.status).toBe(404);
  });

  it('tells the master with its heartbeats', async () => {
    const blobId = await store();
    await cache(blobId);
    const [, master] = masters as [FakeMaster, FakeMaster];
    const last = () => master.heartbeats.at(-1)?.caches;
    await eventually(() => last()?.blobs.includes(blobId)).toBe(true);
    expect(last()).toMatchObject({ reads: [] });
    expect(last()?.bytes).toBeGreaterThan(bytes.byteLength);
    expect(last()?.blobs.length).toBeLessThanOrEqual(cacheReportLimits.blobs);
    const metrics = await fetch(`${cacher.url}/metrics`, {
      headers: { authorization: `Bearer ${clusterKey}` },
    });
    expect(await metrics.text()).toMatch(/^dfs_node_cached_bytes [1-9]/m);
  });

  it('lets go of it when told, and of what it lacks without a word', async () => {
    const blobId = await store();
    await cache(blobId);
    await cacher.client.cache.drop({ blobIds: [blobId, newBlobId()] });
    await expect(cacher.client.open(blobId)).rejects.toMatchObject({ kind: 'not-found' });
    const { blobs } = await cacher.client.cache.list();
    expect(blobs.map((blob) => blob.blobId)).not.toContain(blobId);
  });

  it('says what is there already, keeps it longer when asked, and caches nothing that it stores', async () => {
    const blobId = await store();
    await cache(blobId);
    const again = { blobs: [toCache(blobId)], priority: 9 };
    expect(await cacher.client.cache.fetch(again)).toMatchObject({ present: [blobId] });
    const found = async () =>
      (await cacher.client.cache.list()).blobs.find((blob) => blob.blobId === blobId);
    expect(await found()).toMatchObject({ priority: 9 });
    const { nodeId } = holder.node;
    await cacher.client.pull({
      ...toCache(blobId),
      source: { nodeId, url: holder.url },
    });
    await eventually(found).toBeUndefined();
    expect(await cacher.client.cache.fetch(again)).toMatchObject({ present: [blobId] });
    const opened = await cacher.client.open(blobId);
    expect(opened.isCached).toBeUndefined();
    opened.bytes.destroy();
  });

  it('lists page by page', async () => {
    const ids = [await store(), await store(), await store()];
    for (const id of ids) await cache(id);
    const all = (await cacher.client.cache.list()).blobs.map(({ blobId }) => blobId);
    const paged: BlobId[] = [];
    let after: BlobId | undefined;
    do {
      const page = await cacher.client.cache.list(after, 2);
      paged.push(...page.blobs.map(({ blobId }) => blobId));
      after = page.next;
    } while (after !== undefined);
    expect(paged).toEqual(all);
    expect(paged).toEqual(expect.arrayContaining(ids));
  });

  it('stays as it is when the source has no such blob', async () => {
    const blobId = newBlobId();
    await cacher.client.cache.fetch({ blobs: [toCache(blobId)], priority: 0 });
    await eventually(() => cacher.lines.some((line) => line.includes(blobId))).toBe(true);
    expect((await cacher.client.cache.list()).blobs.map((blob) => blob.blobId)).not.toContain(
      blobId,
    );
  });

  it('that caches nothing says so', async () => {
    const none = await startTestNode({
      clusterKey,
      master: masters[1] as FakeMaster,
      environment: { DFS_CACHE_BYTES: '0' },
    });
    await none.node.registered;
    const order = none.client.cache.fetch({ blobs: [toCache(newBlobId())], priority: 0 });
    await expect(order).rejects.toMatchObject({ kind: 'no-room' });
    const [, master] = masters as [FakeMaster, FakeMaster];
    const own = master.heartbeats.find(({ nodeId }) => nodeId === none.node.nodeId);
    expect(own).toBeDefined();
    expect(own).not.toHaveProperty('caches');
    await none.close();
  });
});

describe('an order to a cache', () => {
  const blob = () => toCache(newBlobId());
  const orderOf = (more: object) => JSON.stringify({ blobs: [blob()], priority: 0, ...more });
  it.each<[string, () => Promise<Response>, number]>([
    ['without the key', () => request('POST', orderOf({}), { authorization: 'Bearer no' }), 401],
    [
      'for another node',
      () => request('POST', orderOf({}), { [nodeHeaders.node]: newNodeId() }),
      421,
    ],
    ['of another method', () => request('PUT', ''), 405],
    ['that is no JSON', () => request('POST', '{'), 400],
    ['that is null', () => request('POST', 'null'), 400],
    ['without blobs', () => request('POST', orderOf({ blobs: undefined })), 400],
    ['of a blob that is null', () => request('POST', orderOf({ blobs: [null] })), 400],
    ['of a wrong priority', () => request('POST', orderOf({ priority: 21 })), 400],
    [
      'of a wrong size',
      () => request('POST', orderOf({ blobs: [{ ...blob(), sizeBytes: -1 }] })),
      400,
    ],
    ['of a wrong MD5', () => request('POST', orderOf({ blobs: [{ ...blob(), md5: 'x' }] })), 400],
    [
      'of a wrong id',
      () => request('POST', orderOf({ blobs: [{ ...blob(), blobId: '../x' }] })),
      400,
    ],
    [
      'from a file',
      () =>
        request(
          'POST',
          orderOf({
            blobs: [{ ...blob(), sources: [{ nodeId: newNodeId(), url: 'file:///etc/passwd' }] }],
          }),
        ),
      400,
    ],
    [
      'of too many blobs',
      () => request('POST', orderOf({ blobs: new Array(1_001).fill(blob()) })),
      400,
    ],
    ['to let go of a path', () => request('DELETE', JSON.stringify({ blobIds: ['../../x'] })), 400],
    ['to let go of nothing', () => request('DELETE', '{}'), 400],
  ])('%s is refused', async (_, send, status) => {
    const answer = await send();
    expect(answer.status).toBe(status);
    expect(await answer.json()).toHaveProperty('error.code');
  });
});
