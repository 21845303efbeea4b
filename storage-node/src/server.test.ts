import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  type BlobId,
  blobPathOf,
  deriveBlobUrlKey,
  encodeHeaderJson,
  newBlobId,
  newClusterId,
  newNodeId,
  signBlobPath,
} from '@dfs/shared';
import { ClusterKeyring, HttpBlobStore } from '@dfs/shared/cluster';
import { bytesOf, makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answerOf, ask, codeOf } from './testing/raw-http.ts';
import { startTestNode, type TestNode } from './testing/test-node.ts';

const clusterKey = 'a key for this test';
const bytes = patternBytes(5_000);

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ clusterKey, environment: { DFS_UPLOAD_IDLE: '300ms' } });
  await node.node.registered;
});
afterAll(() => node.close());

const keyed = () => ({
  authorization: `Bearer ${clusterKey}`,
  'x-dfs-node': node.node.nodeId as string,
  'x-dfs-epoch': '1',
});
const described = (id: BlobId) => ({
  'x-dfs-description': encodeHeaderJson(makeDescription({ blobId: id })),
});
const put = (id: BlobId, headers: Record<string, string | undefined>, body: Uint8Array = bytes) =>
  ask(node.url + blobPathOf(id), {
    method: 'PUT',
    headers: Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined)),
    body,
  });
async function stored(content: Uint8Array = bytes): Promise<BlobId> {
  const id = newBlobId();
  await node.client.put(id, content, { description: makeDescription({ blobId: id }) });
  return id;
}
const staged = () => readdir(join(node.node.dataDir, 'staging'));

describe('without the cluster key', () => {
  it.each([
    ['GET', '/status'],
    ['GET', '/inventory'],
    ['POST', '/pull'],
    ['GET', '/metrics'],
    ['GET', '/'],
    ['GET', '/blobs/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11'],
    ['HEAD', '/blobs/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11'],
    ['PUT', '/blobs/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11'],
    ['DELETE', '/blobs/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11'],
    ['PATCH', '/blobs/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11'],
  ])('%s %s is 401, with no key and with wrong ones', async (method, path) => {
    for (const authorization of [
      undefined,
      'Bearer wrong',
      `Bearer ${clusterKey}x`,
      'Basic eA==',
    ]) {
      const { authorization: _, ...others } = keyed();
      const headers = authorization === undefined ? others : { ...others, authorization };
      const answer = await ask(node.url + path, { method, headers });
      expect([authorization, answer.status]).toEqual([authorization, 401]);
      expect(answer.headers['x-dfs-error']).toBe('unauthorized');
      expect(answer.body.toString()).not.toContain(clusterKey);
    }
  });

  it('only /healthz answers', async () => {
    expect((await ask(`${node.url}/healthz`)).status).toBe(200);
  });
});

describe('with the cluster key', () => {
  it('takes it as SHARD-KEY, too', async () => {
    const headers = { 'shard-key': clusterKey, 'x-dfs-node': node.node.nodeId };
    expect((await ask(`${node.url}/status`, { headers })).status).toBe(200);
  });

  it('tells its status and its metrics', async () => {
    await stored();
    expect(await node.client.status()).toMatchObject({
      nodeId: node.node.nodeId,
      name: node.node.name,
      epoch: 1,
    });
    const { authorization } = keyed();
    const metrics = await ask(`${node.url}/metrics`, { headers: { authorization } });
    expect(metrics.body.toString()).toMatch(/^dfs_node_blobs_handled_total\{kind="put"\} [1-9]/m);
  });

  it('has nothing at other paths', async () => {
    const answer = await ask(`${node.url}/fs/file`, { headers: keyed() });
    expect([answer.status, codeOf(answer)]).toEqual([404, 'not-found']);
  });
});

describe('a request that is meant for another node', () => {
  it('is 421 and does nothing, whatever it asks', async () => {
    const id = await stored();
    const other = new HttpBlobStore({
      nodeId: newNodeId(),
      url: () => node.url,
      keyring: ClusterKeyring.of(clusterKey),
      epoch: () => 99,
    });
    const source = { nodeId: newNodeId(), url: node.url };
    const fresh = newBlobId();
    const attempts = [
      other.put(fresh, bytes, { description: makeDescription({ blobId: fresh }) }),
      other.put(fresh, Readable.from([bytes]), { description: makeDescription({ blobId: fresh }) }),
      other.open(id),
      other.describe(id),
      other.delete(id, { expiresAtMs: Date.now() + 30_000 }),
      other.pull({ blobId: fresh, source, sizeBytes: 1, md5: md5Of(bytes) }),
      other.inventory(undefined, 1),
      other.status(),
    ];
    for (const attempt of attempts) {
      await expect(attempt).rejects.toMatchObject({ kind: 'wrong-node' });
    }
    expect(await node.client.describe(fresh)).toBeUndefined();
    expect(await bytesOf((await node.client.open(id)).bytes)).toEqual(bytes);
    // The epoch it came with was none of ours.
    expect((await node.client.status()).epoch).toBe(1);
    await other.close();
  });

  it('is 400 when it does not say for which', async () => {
    const { 'x-dfs-node': _, ...headers } = keyed();
    const answer = await ask(`${node.url}/status`, { headers });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'invalid-request']);
  });
});

describe('a header that makes no sense', () => {
  const id = newBlobId();
  const other = encodeHeaderJson(makeDescription());
  it.each<[string, Record<string, string | undefined>]>([
    ['no epoch', { 'x-dfs-epoch': undefined }],
    ['a negative epoch', { 'x-dfs-epoch': '-1' }],
    ['an epoch in words', { 'x-dfs-epoch': 'one' }],
    ['no description', { 'x-dfs-description': undefined }],
    ['junk for a description', { 'x-dfs-description': '%%%' }],
    ['null for a description', { 'x-dfs-description': encodeHeaderJson(null) }],
    ['half a description', { 'x-dfs-description': encodeHeaderJson({ blobId: id }) }],
    ['the description of another blob', { 'x-dfs-description': other }],
    ['a short MD5', { 'x-dfs-md5': 'abc' }],
    ['a size in words', { 'x-dfs-size': 'many' }],
    ['two sizes', { 'x-dfs-size': '4999' }],
  ])('is 400: %s', async (_, headers) => {
    const answer = await put(id, { ...keyed(), ...described(id), ...headers });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'invalid-request']);
    expect(await node.client.describe(id)).toBeUndefined();
  });

  it.each(['/blobs/', '/blobs/x', '/blobs/..%2f..%2fnode.json', '/blobs/../node.json'])(
    'is an error of the caller: %s',
    async (path) => {
      const answer = await ask(node.url + path, { headers: keyed() });
      expect([400, 404]).toContain(answer.status);
    },
  );

  it.each(['limit=0', 'limit=-1', 'limit=x', 'limit=1.5'])(
    'is 400: /inventory?%s',
    async (query) => {
      const answer = await ask(`${node.url}/inventory?${query}`, { headers: keyed() });
      expect([answer.status, codeOf(answer)]).toEqual([400, 'invalid-request']);
    },
  );

  it.each([
    '',
    'x',
    'null',
    '{}',
    '{"blobId":"x","source":{"nodeId":"y","url":"http://a"},"sizeBytes":1,"md5":"x"}',
    JSON.stringify({
      blobId: id,
      source: { nodeId: newNodeId(), url: 'file:///etc/passwd' },
      sizeBytes: 1,
      md5: md5Of(bytes),
    }),
  ])('is 400: a pull of %j', async (body) => {
    const answer = await ask(`${node.url}/pull`, { method: 'POST', headers: keyed(), body });
    expect([answer.status, codeOf(answer)]).toEqual([400, 'invalid-request']);
  });

  it('is 405: another method on a blob', async () => {
    const answer = await ask(node.url + blobPathOf(id), { method: 'PATCH', headers: keyed() });
    expect([answer.status, codeOf(answer)]).toEqual([405, 'method-not-allowed']);
  });
});

describe('a command of another cluster or epoch', () => {
  it('stores nothing of another cluster', async () => {
    const id = newBlobId();
    const description = makeDescription({ blobId: id, clusterId: newClusterId() });
    await expect(node.client.put(id, bytes, { description })).rejects.toMatchObject({
      kind: 'wrong-cluster',
    });
    expect(await node.client.describe(id)).toBeUndefined();
  });

  it('is refused below the highest epoch that was seen', async () => {
    const ahead = await startTestNode({ clusterKey });
    const at = (epoch: number) =>
      new HttpBlobStore({
        nodeId: ahead.node.nodeId,
        url: () => ahead.url,
        keyring: ClusterKeyring.of(clusterKey),
        epoch: () => epoch,
      });
    await ahead.node.registered;
    const [old, current] = [at(4), at(5)];
    const id = newBlobId();
    const description = makeDescription({ blobId: id });
    await current.put(id, bytes, { description });
    const stale = { kind: 'stale-epoch' };
    const other = newBlobId();
    await expect(
      old.put(other, bytes, { description: makeDescription({ blobId: other }) }),
    ).rejects.toMatchObject(stale);
    await expect(old.delete(id, { expiresAtMs: Date.now() + 30_000 })).rejects.toMatchObject(stale);
    const source = { nodeId: node.node.nodeId, url: node.url };
    const pull = { blobId: other, source, sizeBytes: 1, md5: md5Of(bytes) };
    await expect(old.pull(pull)).rejects.toMatchObject(stale);
    // Reading commands nothing.
    expect(await bytesOf((await old.open(id)).bytes)).toEqual(bytes);
    await Promise.all([old.close(), current.close(), ahead.close()]);
  });
});

describe('a signed link', () => {
  const urlKey = deriveBlobUrlKey(clusterKey);
  const inAMinute = () => Math.floor(Date.now() / 1000) + 60;
  const sign = (id: BlobId, overrides = {}) =>
    node.url +
    signBlobPath(urlKey, {
      blobId: id,
      nodeId: node.node.nodeId,
      expiresAtSeconds: inAMinute(),
      contentType: 'video/mp4',
      fileName: 'film.mp4',
      ...overrides,
    });

  it('opens one blob for reading, with ranges', async () => {
    const id = await stored();
    const whole = await ask(sign(id));
    expect([whole.status, whole.body]).toEqual([200, bytes]);
    expect(whole.headers['content-type']).toBe('video/mp4');
    const part = await ask(sign(id), { headers: { range: 'bytes=10-19' } });
    expect([part.status, part.body]).toEqual([206, bytes.subarray(10, 20)]);
    expect((await ask(sign(id), { method: 'HEAD' })).headers['content-length']).toBe('5000');
    const beyond = await ask(sign(id), { headers: { range: 'bytes=5000-' } });
    expect(beyond.status).toBe(416);
  });

  it('does not open another blob, another node, or anything after its time', async () => {
    const [id, other] = [await stored(), await stored()];
    expect((await ask(sign(id).replace(id, other))).status).toBe(401);
    expect((await ask(sign(id).replace('film', 'File'))).status).toBe(401);
    expect((await ask(sign(id, { nodeId: newNodeId() }))).status).toBe(421);
    expect((await ask(sign(id, { expiresAtSeconds: inAMinute() - 300 }))).status).toBe(401);
    const foreign = signBlobPath(deriveBlobUrlKey('another key'), {
      blobId: id,
      nodeId: node.node.nodeId,
      expiresAtSeconds: inAMinute(),
    });
    expect((await ask(node.url + foreign)).status).toBe(401);
  });

  it('changes nothing', async () => {
    const id = await stored();
    for (const method of ['PUT', 'DELETE']) {
      const headers = { ...described(id), 'x-dfs-node': node.node.nodeId, 'x-dfs-epoch': '1' };
      expect((await ask(sign(id), { method, headers })).status).toBe(401);
    }
    expect(await bytesOf((await node.client.open(id)).bytes)).toEqual(bytes);
  });
});

describe('a blob that is part of a larger file', () => {
  const part = (id: BlobId) => ({ ...keyed(), ...described(id), 'x-dfs-part': '1' });

  it('is stored with the facts of the whole that follow its body', async () => {
    const whole = { blobCount: 3, sizeBytes: 12_345, md5: md5Of(Buffer.from('all')) };
    const last = newBlobId();
    const description = makeDescription({ blobId: last, sequence: 2 });
    await node.client.put(last, Readable.from([bytes]), { description, whole: () => whole });
    expect((await node.client.describe(last))?.whole).toEqual(whole);
    const first = newBlobId();
    await node.client.put(first, bytes, {
      description: makeDescription({ blobId: first }),
      whole: () => undefined,
    });
    expect(await node.client.describe(first)).not.toHaveProperty('whole');
  });

  it.each([
    ['is missing', undefined, 'incomplete-body'],
    ['is junk', '%%', 'invalid-request'],
    ['is half', encodeHeaderJson({ blobCount: 1 }), 'invalid-request'],
  ])('is not stored when its trailer %s', async (_, trailer, code) => {
    const id = newBlobId();
    const sent = request(node.url + blobPathOf(id), {
      method: 'PUT',
      agent: false,
      headers: { ...part(id), 'transfer-encoding': 'chunked' },
    });
    sent.write(bytes);
    if (trailer !== undefined) sent.addTrailers({ 'x-dfs-whole': trailer });
    sent.end();
    expect(codeOf(await answerOf(sent))).toBe(code);
    expect(await node.client.describe(id)).toBeUndefined();
    expect(await staged()).toEqual([]);
  });
});

describe('a sender', () => {
  const start = (id: BlobId, headers: Record<string, string>) =>
    request(node.url + blobPathOf(id), {
      method: 'PUT',
      agent: false,
      headers: { ...keyed(), ...described(id), ...headers },
    });

  it.each([
    ['of a short body', '5000'],
    ['of a long body', '5000000'],
  ])('%s that falls silent is given up, and leaves nothing', async (_, length) => {
    const id = newBlobId();
    const sent = start(id, { 'content-length': length });
    sent.write(bytes.subarray(0, 100));
    expect(codeOf(await answerOf(sent))).toBe('incomplete-body');
    sent.destroy();
    expect(await node.client.describe(id)).toBeUndefined();
    expect(await staged()).toEqual([]);
  });

  it.each(['5000', '50000000'])(
    'of %s bytes that goes away in the middle leaves nothing',
    async (length) => {
      const id = newBlobId();
      const sent = start(id, { 'content-length': length });
      sent.on('error', () => undefined);
      const isLong = Number(length) > 1e6;
      const sentBytes = isLong ? patternBytes(4 * 2 ** 20) : bytes.subarray(0, 4_000);
      await new Promise<void>((resolve) => sent.write(sentBytes, () => resolve()));
      if (isLong) await expect.poll(staged, { timeout: 10_000 }).not.toEqual([]);
      sent.destroy();
      await expect.poll(staged, { timeout: 10_000 }).toEqual([]);
      expect(await node.client.describe(id)).toBeUndefined();
    },
  );

  it('that waits for 100-continue is refused before its body', async () => {
    const id = newBlobId();
    const sent = start(id, {
      'content-length': '5000',
      expect: '100-continue',
      'x-dfs-epoch': '0',
    });
    let wasAsked = false;
    sent.once('continue', () => {
      wasAsked = true;
    });
    sent.flushHeaders();
    const answer = await answerOf(sent);
    expect([codeOf(answer), wasAsked]).toEqual(['stale-epoch', false]);
    expect(answer.headers.connection).toBe('close');
    sent.destroy();
  });

  it('that is refused while it sends sees the answer, not a broken connection', async () => {
    const id = newBlobId();
    const content = patternBytes(8 * 2 ** 20);
    const answer = await ask(node.url + blobPathOf(id), {
      method: 'PUT',
      headers: {
        ...keyed(),
        ...described(id),
        'content-length': String(content.byteLength),
        'x-dfs-epoch': '0',
      },
      body: content,
    });
    expect(codeOf(answer)).toBe('stale-epoch');
  });
});

describe('a node without a cluster key', () => {
  let open: TestNode;
  beforeAll(async () => {
    open = await startTestNode();
    await open.node.registered;
  });
  afterAll(() => open.close());
  const status = (headers: Record<string, string>) =>
    ask(`${open.url}/status`, { headers: { 'x-dfs-node': open.node.nodeId, ...headers } });

  it('answers local programs', async () => {
    expect((await status({})).status).toBe(200);
    expect((await status({ host: 'localhost:7050', origin: 'http://127.0.0.1:7040' })).status).toBe(
      200,
    );
  });

  it.each<[string, Record<string, string>]>([
    ['under another name', { host: 'evil.example:7050' }],
    ['from another origin', { origin: 'https://evil.example' }],
    ['from a sandboxed page', { origin: 'null' }],
    ['from another site', { 'sec-fetch-site': 'cross-site' }],
  ])('does not answer a web page that reaches it %s', async (_, headers) => {
    const answer = await status(headers);
    expect([answer.status, codeOf(answer)]).toEqual([403, 'forbidden']);
  });
});
