import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import type { LoadTarget, PutSmallFilesJob } from './load-messages.ts';
import { parseReplicasWanted } from './replication-gauge.ts';
import { getSmallFiles, putSmallFiles } from './small-files.ts';
import { getStream, putStream } from './streams.ts';
import { TestContent } from './test-content.ts';

const content = new TestContent();
const bigBytes = 3 * 1024 * 1024 + 17;
const servers: Server[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }
});

/** What a server under test does with a request that has been read whole. */
type Behaviour = (request: IncomingMessage, body: Buffer, response: ServerResponse) => void;

async function serve(behaviour: Behaviour): Promise<LoadTarget> {
  const server = createServer((request, response) => {
    void buffer(request).then((body) => behaviour(request, body, response));
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { host: '127.0.0.1', port, authorization: 'Bearer key' };
}

/** A store in memory, as every server under test should behave. */
function memoryStore(files = new Map<string, Buffer>()): Behaviour {
  return (request, body, response) => {
    const [path = ''] = (request.url ?? '').split('?');
    if (request.method === 'PUT') {
      files.set(path, body);
      const md5 = createHash('md5').update(body).digest('hex');
      response.writeHead(201).end(JSON.stringify({ md5 }));
      return;
    }
    const bytes = files.get(path);
    response.writeHead(bytes ? 200 : 404, { 'Content-Length': bytes?.length ?? 0 }).end(bytes);
  };
}

function smallJob(target: LoadTarget) {
  return { target, prefix: '/fs/a', sizeBytes: 4096, connections: 4, firstContent: 1000 };
}

function putJob(target: LoadTarget, requests: number): PutSmallFilesJob {
  return {
    ...smallJob(target),
    kind: 'put-small-files',
    limit: { requests },
    untilReplicated: false,
  };
}

describe('small files', () => {
  it('stores files of distinct names and distinct bytes, and gets them back', async () => {
    const files = new Map<string, Buffer>();
    const target = await serve(memoryStore(files));
    const put = await putSmallFiles(putJob(target, 100), content);
    expect(put).toMatchObject({ requests: 100, errorCount: 0, bytes: 100 * 4096 });
    expect(files.size).toBe(100);
    const digests = new Set(Array.from(files.values(), (bytes) => bytes.toString('base64')));
    expect(digests.size).toBe(100);

    const get = await getSmallFiles(
      { ...smallJob(target), kind: 'get-small-files', durationMs: 50, fileCount: 100 },
      content,
    );
    expect(get.errorCount).toBe(0);
    expect(get.requests).toBeGreaterThan(0);
    expect(get.latency.max).toBeGreaterThan(0);
  });

  it('counts an answer with one wrong byte as an error', async () => {
    const files = new Map<string, Buffer>();
    const target = await serve(memoryStore(files));
    await putSmallFiles(putJob(target, 8), content);
    const spoilt = files.get('/fs/a/00000003');
    spoilt?.writeUInt8(spoilt.readUInt8(4095) ^ 1, 4095);
    const get = await getSmallFiles(
      { ...smallJob(target), kind: 'get-small-files', durationMs: 50, fileCount: 8 },
      content,
    );
    expect(get.errorCount).toBeGreaterThan(0);
    expect(get.errorSamples[0]).toMatch(/differ/);
  });

  it('finds a server out that acknowledges and does not store', async () => {
    const target = await serve((request, _body, response) => {
      response.writeHead(request.method === 'PUT' ? 201 : 404).end();
    });
    const put = await putSmallFiles(putJob(target, 10), content);
    expect(put.requests).toBe(10);
    expect(put.errorCount).toBeGreaterThan(0);
    expect(put.errorSamples[0]).toMatch(/reading back: status 404/);
  });

  it('counts dropped connections and goes on over new ones', async () => {
    const files = new Map<string, Buffer>();
    const store = memoryStore(files);
    let count = 0;
    const target = await serve((request, body, response) => {
      count += 1;
      if (request.method === 'PUT' && count % 5 === 0) response.destroy();
      else store(request, body, response);
    });
    const put = await putSmallFiles(putJob(target, 40), content);
    expect(put.requests).toBe(files.size);
    expect(put.requests).toBeGreaterThan(20);
    expect(put.errorCount).toBeGreaterThan(0);
  });

  it('ends when a server only fails', async () => {
    const target = await serve((_request, _body, response) => {
      response.writeHead(503).end();
    });
    const put = await putSmallFiles(putJob(target, 1_000_000), content);
    expect(put.requests).toBe(0);
    expect(put.errorSamples[0]).toBe('status 503 instead of 201');
  });

  it('lets the clock run until no copy is missing', async () => {
    const store = memoryStore();
    const wanted = [20, 5, 0];
    let asked = 0;
    const target = await serve((request, body, response) => {
      if (request.url !== '/metrics') return store(request, body, response);
      asked += 1;
      response.writeHead(200).end(`# TYPE x gauge\ndfs_replicas_wanted ${wanted.shift()}\n`);
    });
    const put = await putSmallFiles({ ...putJob(target, 10), untilReplicated: true }, content);
    expect(asked).toBe(3);
    expect(put.replicationLagMs).toBeGreaterThan(0);
    expect(put.elapsedMs).toBeGreaterThan(put.replicationLagMs ?? Number.POSITIVE_INFINITY);
  });
});

describe('streams', () => {
  const job = (target: LoadTarget) => ({ target, path: '/fs/b', sizeBytes: bigBytes, content: 7 });
  const get = { kind: 'get-stream', followRedirect: false, verifyMd5: true } as const;

  it('stores one long file and gets it back', async () => {
    const target = await serve(memoryStore());
    const put = await putStream({ ...job(target), kind: 'put-stream' }, content);
    expect(put).toMatchObject({ requests: 1, errorCount: 0, bytes: bigBytes });
    const got = await getStream({ ...job(target), ...get }, content);
    expect(got).toMatchObject({ requests: 1, errorCount: 0, bytes: bigBytes });
  });

  it('refuses a 201 with another MD5', async () => {
    const target = await serve((_request, _body, response) => {
      response.writeHead(201).end(JSON.stringify({ md5: '0'.repeat(32) }));
    });
    const put = await putStream({ ...job(target), kind: 'put-stream' }, content);
    expect(put).toMatchObject({ requests: 0, errorCount: 1 });
    expect(put.errorSamples[0]).toMatch(/MD5/);
  });

  it('takes the MD5 from the ETag where the answer has no JSON', async () => {
    const target = await serve((_request, body, response) => {
      const md5 = createHash('md5').update(body).digest('hex');
      response.writeHead(201, { ETag: `"${md5}"` }).end();
    });
    const put = await putStream({ ...job(target), kind: 'put-stream' }, content);
    expect(put).toMatchObject({ requests: 1, errorCount: 0 });
  });

  it('finds one wrong byte in a download that is verified', async () => {
    const files = new Map<string, Buffer>();
    const target = await serve(memoryStore(files));
    await putStream({ ...job(target), kind: 'put-stream' }, content);
    files.get('/fs/b')?.writeUInt8(0, bigBytes - 1);
    files.get('/fs/b')?.writeUInt8(1, bigBytes - 2);
    const got = await getStream({ ...job(target), ...get }, content);
    expect(got).toMatchObject({ requests: 0, errorCount: 1 });
  });

  it('follows one redirect, and keeps the key from the second server', async () => {
    const files = new Map<string, Buffer>();
    const store = memoryStore(files);
    const headers: (string | undefined)[] = [];
    const node = await serve((request, body, response) => {
      headers.push(request.headers.authorization);
      store(request, body, response);
    });
    await putStream({ ...job(node), kind: 'put-stream' }, content);
    headers.length = 0;
    const urls: (string | undefined)[] = [];
    const master = await serve((request, _body, response) => {
      urls.push(request.url);
      const location = `http://${node.host}:${node.port}/fs/b?signature=s`;
      response.writeHead(307, { Location: location }).end();
    });
    const got = await getStream({ ...job(master), ...get, followRedirect: true }, content);
    expect(got).toMatchObject({ requests: 1, errorCount: 0, bytes: bigBytes });
    expect(urls).toEqual(['/fs/b?redirect=1']);
    expect(headers).toEqual([undefined]);
  });

  it('counts an answer without the redirect as an error', async () => {
    const target = await serve(memoryStore(new Map([['/fs/b', Buffer.alloc(bigBytes)]])));
    const got = await getStream({ ...job(target), ...get, followRedirect: true }, content);
    expect(got.errorSamples[0]).toMatch(/instead of a 307/);
  });
});

describe('the gauge of missing copies', () => {
  it.each([
    ['dfs_replicas_wanted 0', 0],
    ['# HELP dfs_replicas_wanted x\ndfs_replicas_wanted 12\nother 5', 12],
    ['dfs_replicas_wanted{node="a"} 1\ndfs_replicas_wanted{node="b"} 2 1700000000', 3],
    ['dfs_replicas_wanted_total 7\ndfs_replicas_wanted 1e3', 1000],
  ])('reads %j', (metrics, expected) => {
    expect(parseReplicasWanted(metrics)).toBe(expected);
  });

  it('is not taken for zero where it is absent', () => {
    expect(() => parseReplicasWanted('dfs_replicas_stored 4\n')).toThrow(/dfs_replicas_wanted/);
  });
});
