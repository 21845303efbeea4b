import type { IncomingMessage, ServerResponse } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import type { NodeId } from '@dfs/shared';
import { HttpBlobStore, type NodeLimits } from '@dfs/shared/cluster';
import { bytesOf, MemoryNode, md5Of, patternBytes } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pathOf, TestCluster } from './test-cluster.ts';
import { TestNodes } from './test-nodes.ts';

type Intercept = (request: IncomingMessage, response: ServerResponse) => boolean;

/** So long that no busy machine makes a healthy node look dead. */
const patient = { connectMs: 20_000, headersMs: 20_000, idleMs: 20_000 };
/** So short that a node that hangs is given up soon. */
const brief = { connectMs: 20_000, headersMs: 1_500, idleMs: 1_500, durableMs: 20_000 };

/** Nodes across real sockets: what breaks here breaks as it does between processes. */
class HttpNodes extends TestNodes {
  readonly servers = new Map<NodeId, MemoryNode>();
  readonly stores = new Map<NodeId, HttpBlobStore>();
  /** Set before the first request. */
  limits: NodeLimits = patient;

  async addServer(): Promise<MemoryNode> {
    const { id: nodeId, store } = this.add();
    const server = await MemoryNode.start({ nodeId, store });
    this.servers.set(nodeId, server);
    return server;
  }

  override storeOf(nodeId: NodeId): never {
    const { limits } = this;
    const url = () => this.servers.get(nodeId)?.url ?? '';
    const store =
      this.stores.get(nodeId) ?? new HttpBlobStore({ nodeId, url, epoch: () => 1, limits });
    this.stores.set(nodeId, store);
    return store as never;
  }

  override async close(): Promise<void> {
    for (const store of this.stores.values()) await store.close();
    for (const server of this.servers.values()) await server.close();
  }
}

let cluster: TestCluster;
let nodes: HttpNodes;
let servers: MemoryNode[];
/** Longer than is held, and than sockets hold. */
const longBytes = patternBytes(12 * 2 ** 20, 5);
const shortBytes = patternBytes(4_096, 6);
const { signal } = new AbortController();

beforeEach(async () => {
  cluster = await TestCluster.open({
    nodes: 0,
    makeNodes: (clock) => {
      nodes = new HttpNodes(clock);
      return nodes;
    },
  });
  servers = [await nodes.addServer(), await nodes.addServer(), await nodes.addServer()];
});
afterEach(async () => {
  await nodes.close();
  expect([...cluster.inUse.uploadingNow(), ...cluster.inUse.readingNow()]).toEqual([]);
  await cluster.close();
});

const isPut = (request: IncomingMessage) => request.method === 'PUT';
const isGet = (request: IncomingMessage) => request.method === 'GET';
/** The first `count` matching requests, at whichever nodes, meet this fate. */
const intercept = (
  matches: (request: IncomingMessage) => boolean,
  count: number,
  fate: Intercept,
) => {
  let rest = count;
  for (const server of servers) {
    server.intercept = (request, response) => {
      if (!matches(request) || rest <= 0) return false;
      rest -= 1;
      return fate(request, response);
    };
  }
};
const answer = (status: number) => (request: IncomingMessage, response: ServerResponse) => {
  request.resume();
  response.writeHead(status, { 'retry-after': '0' }).end();
  return true;
};
const hang = () => true;
const drop = (request: IncomingMessage) => {
  request.socket.destroy();
  return true;
};
const dropAfter = (bytes: number) => (request: IncomingMessage) => {
  let seen = 0;
  request.on('data', (chunk: Buffer) => {
    seen += chunk.byteLength;
    if (seen >= bytes) request.socket.destroy();
  });
  request.on('error', () => {});
  return true;
};
const dropAtEnd = (request: IncomingMessage) => {
  request.resume().once('end', () => request.socket.destroy());
  request.on('error', () => {});
  return true;
};

const early: readonly (readonly [string, Intercept])[] = [
  ['answers 500', answer(500)],
  ['answers 503', answer(503)],
  ['answers 507', answer(507)],
  ['answers 429', answer(429)],
  ['answers 421', answer(421)],
  ['hangs', hang],
  ['drops the connection before the body', drop],
];
const late: readonly (readonly [string, Intercept])[] = [
  ['drops the connection in the body', dropAfter(1)],
  ['drops the connection after the body', dropAtEnd],
];

describe('a node across a socket', () => {
  it.each([...early, ...late])('that %s is unseen by a short upload', async (_, fate) => {
    if (fate === hang) nodes.limits = brief;
    intercept(isPut, 2, fate);
    const { info } = await cluster.put('/a', shortBytes);
    expect(info.file.md5).toBe(md5Of(shortBytes));
    expect(await cluster.get('/a')).toEqual(shortBytes);
  });

  it.each(early)('that %s is unseen by a long upload', async (_, fate) => {
    if (fate === hang) nodes.limits = brief;
    let rest = 2;
    for (const server of servers) {
      server.onContinue = (request, response) => {
        rest -= 1;
        if (rest === 0) for (const each of servers) each.onContinue = undefined;
        fate(request, response);
      };
    }
    const body = Readable.from(chunksOf(longBytes), { objectMode: false });
    await cluster.putStream('/a', body, { sizeBytes: longBytes.byteLength });
    expect((await cluster.get('/a')).equals(longBytes)).toBe(true);
  });

  it.each([
    ['drops the connection', dropAfter(6 * 2 ** 20)],
    ['drops the connection after the body', dropAtEnd],
    [
      'answers and takes no more',
      (request: IncomingMessage, response: ServerResponse) => {
        request.once('data', () => answer(507)(request, response));
        return true;
      },
    ],
  ] as const)('that %s late in a long body gives one clear error', async (_, fate) => {
    intercept(isPut, 1, fate);
    const body = new PassThrough();
    const put = cluster.putStream('/a', body, { sizeBytes: longBytes.byteLength });
    const rejected = expect(put).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: expect.any(Number),
    });
    const sending = (async () => {
      for (const chunk of chunksOf(longBytes)) {
        if (!body.write(chunk)) await drained(body);
      }
      body.end();
    })();
    await rejected;
    expect(body.errored).toBeNull();
    body.resume();
    await sending;
    expect(await cluster.files.find({ path: pathOf('/a') })).toBeUndefined();
    for (const { store } of servers) expect(store.ids).toEqual([]);
  });

  it.each([...early.filter(([name]) => !name.includes('body')), ['is gone', drop] as const])(
    'that %s is unseen by readers',
    async (_, fate) => {
      if (fate === hang) nodes.limits = brief;
      for (const [path, bytes] of [
        ['/short', shortBytes],
        ['/long', longBytes],
      ] as const) {
        await cluster.put(path, bytes, { minCopies: 3 });
        intercept(isGet, 2, fate);
        expect((await cluster.get(path)).equals(bytes)).toBe(true);
      }
    },
  );

  it('that dies in the middle of a download is unseen by its reader', async () => {
    const { info } = await cluster.put('/long', longBytes, { minCopies: 3 });
    const { bytes, nodeId } = await cluster.files.open(info.file, { signal });
    const chunks: Buffer[] = [];
    for await (const chunk of bytes) {
      chunks.push(chunk as Buffer);
      if (chunks.length === 4) await nodes.servers.get(nodeId)?.close();
    }
    expect(Buffer.concat(chunks).equals(longBytes)).toBe(true);
  });

  it('is not to blame for a sender that pauses longer than nodes may', async () => {
    nodes.limits = brief;
    const body = new PassThrough();
    const put = cluster.putStream('/a', body, { sizeBytes: longBytes.byteLength });
    for (const [i, chunk] of chunksOf(longBytes).entries()) {
      if (!body.write(chunk)) await drained(body);
      if (i === 3) await new Promise((resolve) => setTimeout(resolve, 2 * brief.idleMs));
    }
    body.end();
    await put;
    expect((await cluster.get('/a')).equals(longBytes)).toBe(true);
  });

  it('is not to blame for a reader that pauses longer than nodes may', async () => {
    nodes.limits = brief;
    const { info } = await cluster.put('/long', longBytes);
    const { bytes } = await cluster.files.open(info.file, { signal });
    const chunks: Buffer[] = [];
    for await (const chunk of bytes) {
      chunks.push(chunk as Buffer);
      if (chunks.length === 3) {
        await new Promise((resolve) => setTimeout(resolve, 2 * brief.idleMs));
      }
    }
    expect(Buffer.concat(chunks).equals(longBytes)).toBe(true);
  });

  it('keeps nothing of an upload whose sender goes away', async () => {
    const gone = new AbortController();
    const body = new PassThrough();
    const put = cluster.putStream('/a', body, { signal: gone.signal });
    const rejected = expect(put).rejects.toMatchObject({ kind: 'cancelled' });
    body.write(longBytes.subarray(0, 3 * 2 ** 20));
    await new Promise(setImmediate);
    gone.abort();
    body.destroy(new Error('aborted'));
    await rejected;
    for (const { store } of servers) expect(store.ids).toEqual([]);
  });

  it('gives several blobs back as one', async () => {
    const several = await TestCluster.open({
      nodes: 0,
      config: { segmentBytes: 5 * 2 ** 20, heldBodyBytes: 64 * 1024 },
      makeNodes: () => nodes,
    });
    const body = Readable.from(chunksOf(longBytes), { objectMode: false });
    const { info } = await several.putStream('/a', body);
    expect(info.file).toMatchObject({ md5: md5Of(longBytes), sizeBytes: longBytes.byteLength });
    expect(info.file.blobs).toHaveLength(3);
    const { bytes } = await several.files.open(info.file, { signal });
    expect((await bytesOf(bytes)).equals(longBytes)).toBe(true);
    await several.close();
  });
});

const drained = (stream: PassThrough) =>
  new Promise<void>((resolve) => {
    stream.once('drain', resolve);
  });

function chunksOf(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += 65_536)
    chunks.push(bytes.subarray(at, at + 65_536));
  return chunks;
}
