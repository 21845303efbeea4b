import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  type BlobId,
  encodeHeaderJson,
  errorBodyOf,
  newBlobId,
  newClusterId,
  newNodeId,
  type StoredBlob,
  StoreError,
  systemClock,
  verifyBlobQuery,
} from '@dfs/shared';
import { ClusterKeyring, listen } from '@dfs/shared/cluster';
import { bytesOf, makeDescription, md5Of, patternBytes, testClusterId } from '@dfs/shared/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BlobFetcher } from './blob-fetcher.ts';
import { openTestDisk, type TestDisk } from './testing/test-disk.ts';

const bytes = patternBytes(3 * 2 ** 20);
const keyring = ClusterKeyring.of('the key of the cluster');
const nodeId = newNodeId();

let url: string;
/** How the source behaves in this test. */
let source: (request: IncomingMessage, response: ServerResponse) => void;
const server = createServer((request, response) => source(request, response));
let fetcher: BlobFetcher;
let disk: TestDisk;
let id: BlobId;

beforeAll(async () => {
  url = `http://127.0.0.1:${await listen(server, { host: '127.0.0.1', port: 0 })}`;
  fetcher = new BlobFetcher({
    keyring,
    clusterId: () => testClusterId,
    clock: systemClock,
    limits: { connectMs: 1_000, headersMs: 1_000, idleMs: 300 },
  });
  disk = await openTestDisk({ fetchBlob: fetcher.fetch });
});
afterAll(async () => {
  await fetcher.close();
  await disk.close();
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  id = newBlobId();
});
afterEach(async () => {
  expect(await disk.staged()).toEqual([]);
});

const facts = { sizeBytes: bytes.byteLength, md5: md5Of(bytes) };
const storedBlob = (overrides: Partial<StoredBlob> = {}): StoredBlob => ({
  ...makeDescription({ blobId: id }),
  ...facts,
  storedAtMs: 1,
  ...overrides,
});
const begin = (response: ServerResponse, overrides: Partial<StoredBlob> = {}) =>
  response.writeHead(200, {
    'content-length': bytes.byteLength,
    'x-dfs-description': encodeHeaderJson(storedBlob(overrides)),
  });
const pull = (signal?: AbortSignal) =>
  disk.store.pull({ blobId: id, source: { nodeId, url }, ...facts }, signal);

describe('a pull', () => {
  it('asks by a signed link that gives nothing of the key away', async () => {
    let asked: IncomingMessage | undefined;
    source = (request, response) => {
      asked = request;
      begin(response).end(bytes);
    };
    expect(await pull()).toEqual(facts);
    expect(await bytesOf((await disk.store.open(id)).bytes)).toHaveLength(bytes.byteLength);
    const [path, query] = (asked?.url ?? '').split('?');
    expect(path).toBe(`/blobs/${id}`);
    const claims = verifyBlobQuery(
      keyring.blobUrlKeys(),
      id,
      new URLSearchParams(query),
      Date.now(),
    );
    expect(claims).toMatchObject({ blobId: id, nodeId });
    expect(asked?.headers).not.toHaveProperty('authorization');
    expect(asked?.headers).not.toHaveProperty('shard-key');
  });

  it('keeps what the blob says of itself, with its own time', async () => {
    source = (_, response) => begin(response, { sequence: 3, path: '/a/b' }).end(bytes);
    await pull();
    const stored = await disk.store.describe(id);
    expect(stored).toMatchObject({ ...facts, sequence: 3, path: '/a/b' });
    expect(stored?.storedAtMs).toBeGreaterThan(1);
  });

  const refuse = (kind: StoreError['kind'], status: number) => (response: ServerResponse) =>
    response.writeHead(status).end(JSON.stringify(errorBodyOf(new StoreError(kind, 'No.'))));
  it.each<[string, string, (response: ServerResponse) => unknown]>([
    ['has no such blob', 'not-found', refuse('not-found', 404)],
    ['has a damaged copy', 'corrupt', refuse('corrupt', 503)],
    ['is another node', 'unavailable', refuse('wrong-node', 421)],
    ['is out of order', 'unavailable', refuse('internal', 500)],
    ['does not know us', 'unavailable', refuse('unauthorized', 401)],
    ['is a web server', 'unavailable', (response) => response.end('<html>')],
    [
      'holds a blob of another size',
      'corrupt',
      (response) => begin(response, { sizeBytes: 1 }).end(bytes),
    ],
    [
      'holds other bytes by its own word',
      'corrupt',
      (response) => begin(response, { md5: 'f'.repeat(32) }).end(bytes),
    ],
    [
      'gives bytes that changed on their way',
      'unavailable',
      (response) => begin(response).end(patternBytes(bytes.byteLength, 9)),
    ],
    [
      'belongs to another cluster',
      'wrong-cluster',
      (response) => begin(response, { clusterId: newClusterId() }).end(bytes),
    ],
    [
      'breaks off',
      'unavailable',
      (response) => begin(response).write(bytes.subarray(0, 2 ** 20), () => response.destroy()),
    ],
    [
      'falls silent',
      'unavailable',
      (response) => begin(response).write(bytes.subarray(0, 2 ** 20)),
    ],
  ])('fails when the source %s: %s', async (_, kind, behave) => {
    source = (__, response) => {
      behave(response);
    };
    await expect(pull()).rejects.toMatchObject({ kind });
    expect(await disk.store.describe(id)).toBeUndefined();
  });

  it('ends, and leaves nothing, when the one who wanted it leaves', async () => {
    const leaving = new AbortController();
    let closed: Promise<unknown> | undefined;
    source = (_, response) => {
      closed = new Promise((resolve) => response.once('close', resolve));
      begin(response).write(bytes.subarray(0, 2 ** 20), () => leaving.abort());
    };
    await expect(pull(leaving.signal)).rejects.toMatchObject({ kind: 'cancelled' });
    await closed;
    await expect.poll(disk.staged).toEqual([]);
    expect(await disk.store.describe(id)).toBeUndefined();
  });

  it('gives way to the drop of its blob', async () => {
    let arrived: () => void = () => undefined;
    const isUnderWay = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    source = (_, response) => {
      begin(response).write(bytes.subarray(0, 2 ** 20), arrived);
    };
    const pulled = pull();
    await isUnderWay;
    const [outcome] = await Promise.allSettled([
      pulled,
      disk.store.delete(id, { expiresAtMs: Date.now() + 30_000 }),
    ]);
    expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'cancelled' } });
    expect(await disk.store.describe(id)).toBeUndefined();
  });

  it('goes on when one of two who wanted it leaves', async () => {
    const leaving = new AbortController();
    let asked = 0;
    source = (_, response) => {
      asked += 1;
      begin(response).write(bytes.subarray(0, 2 ** 20), () => {
        leaving.abort();
        response.end(bytes.subarray(2 ** 20));
      });
    };
    const both = await Promise.allSettled([pull(leaving.signal), pull()]);
    expect(both).toMatchObject([
      { status: 'rejected', reason: { kind: 'cancelled' } },
      { status: 'fulfilled', value: facts },
    ]);
    expect(asked).toBe(1);
  });
});

describe('a fetch of a part', () => {
  const fetchPart = (range = { start: 10, end: 1_000 }) =>
    fetcher.fetchRange(
      { blobId: id, source: { nodeId, url }, ...facts },
      range,
      new AbortController().signal,
    );
  const part = (response: ServerResponse, headers: Record<string, string | number> = {}) =>
    response.writeHead(206, {
      'content-length': 990,
      'content-range': `bytes 10-999/${bytes.byteLength}`,
      etag: `"${facts.md5}"`,
      ...headers,
    });

  it('gives exactly the bytes asked for, by a signed link', async () => {
    let asked: IncomingMessage | undefined;
    source = (request, response) => {
      asked = request;
      part(response).end(bytes.subarray(10, 1_000));
    };
    expect(await bytesOf(await fetchPart())).toEqual(Buffer.from(bytes.subarray(10, 1_000)));
    expect(asked?.headers.range).toBe('bytes=10-999');
    expect(asked?.headers).not.toHaveProperty('authorization');
    const query = new URLSearchParams((asked?.url ?? '').split('?')[1]);
    expect(verifyBlobQuery(keyring.blobUrlKeys(), id, query, Date.now())).toMatchObject({ nodeId });
  });

  it('waits for no slow reader, nor does a pull', async () => {
    source = (request, response) => {
      if (request.headers.range === undefined) begin(response).end(bytes);
      else part(response).write(bytes.subarray(10, 20));
    };
    // More than there are connections for pulls.
    const slow = await Promise.all(Array.from({ length: 80 }, () => fetchPart()));
    expect(await pull()).toEqual(facts);
    for (const stream of slow) stream.destroy();
  });

  it.each<[string, string, (response: ServerResponse) => unknown]>([
    ['other bytes', 'corrupt', (response) => part(response, { etag: '"f"' }).end()],
    [
      'a blob of another size',
      'corrupt',
      (response) => part(response, { 'content-range': 'bytes 10-999/1001' }).end(),
    ],
    [
      'another part',
      'corrupt',
      (response) => part(response, { 'content-range': `bytes 0-989/${bytes.byteLength}` }).end(),
    ],
    ['the whole instead', 'unavailable', (response) => response.end(bytes)],
    [
      'a redirect to elsewhere',
      'unavailable',
      (response) => response.writeHead(307, { location: `${url}/elsewhere` }).end(),
    ],
  ])('refuses %s', async (_, kind, answer) => {
    source = (_request, response) => answer(response);
    await expect(fetchPart()).rejects.toMatchObject({ kind });
  });
});
