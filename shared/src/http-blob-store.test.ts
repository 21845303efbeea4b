import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { ClusterKeyring } from './cluster-keyring.ts';
import { errorBodyOf, httpStatusOf, StoreError, type StoreErrorKind } from './errors.ts';
import { HttpBlobStore, type HttpBlobStoreOptions, type NodeOutcome } from './http-blob-store.ts';
import { type BlobId, newBlobId, newNodeId } from './ids.ts';
import { listen } from './listen.ts';
import { nodeHeaders } from './node-protocol.ts';
import { bytesOf, makeDescription, md5Of, patternBytes } from './testing/blobs.ts';
import { describeBlobStore } from './testing/describe-blob-store.ts';
import { MemoryBlobStore } from './testing/memory-blob-store.ts';
import { MemoryNode } from './testing/memory-node.ts';

const clusterKey = 'a key for tests';

describeBlobStore('HttpBlobStore over a memory node', async () => {
  const other = await MemoryNode.start({ clusterKey });
  const node = await MemoryNode.start({
    clusterKey,
    store: new MemoryBlobStore({
      peerOf: (nodeId) => (nodeId === other.nodeId ? other.store : undefined),
    }),
  });
  const store = new HttpBlobStore({
    nodeId: node.nodeId,
    url: () => node.url,
    keyring: ClusterKeyring.of(clusterKey),
    epoch: () => 1,
  });
  return {
    store,
    corrupt: (id, offset) => node.store.corrupt(id, offset),
    peer: {
      store: other.store,
      source: { nodeId: other.nodeId, url: other.url },
      corrupt: (id, offset) => other.store.corrupt(id, offset),
    },
    close: async () => {
      await store.close();
      await node.close();
      await other.close();
    },
  };
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function startNode(): Promise<MemoryNode> {
  const node = await MemoryNode.start();
  cleanups.push(() => node.close());
  return node;
}

function storeOf(
  node: { nodeId: MemoryNode['nodeId']; url: string },
  options: Partial<HttpBlobStoreOptions> = {},
) {
  const outcomes: NodeOutcome[] = [];
  const store = new HttpBlobStore({
    nodeId: node.nodeId,
    url: () => node.url,
    epoch: () => 1,
    limits: { connectMs: 200, headersMs: 200, idleMs: 200, durableMs: 400 },
    onOutcome: (outcome) => outcomes.push(outcome),
    ...options,
  });
  cleanups.push(() => store.close());
  /** `ok`, or the code of what went wrong, of each request so far. */
  const seen = () => outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.code));
  return { store, seen };
}

const big = patternBytes(8 * 2 ** 20, 7);
const describing = (blobId: BlobId) => ({ description: makeDescription({ blobId }) });
const endlessStream = (pieceBytes = 65_536) =>
  new Readable({
    read() {
      this.push(big.subarray(0, pieceBytes));
    },
  });
const stuckStream = () => new Readable({ read: () => undefined });

/** Every operation, each on a fresh id. */
const operations: readonly (readonly [string, (store: HttpBlobStore) => Promise<unknown>])[] = [
  ['put of held bytes', (store) => putOf(store, Buffer.from('abc'))],
  ['put of a short stream', (store) => putOf(store, Readable.from([Buffer.from('abc')]))],
  ['put of a long stream', (store) => putOf(store, Readable.from([big], { objectMode: false }))],
  ['open', (store) => store.open(newBlobId())],
  ['describe', (store) => store.describe(newBlobId())],
  ['delete', (store) => store.delete(newBlobId(), { expiresAtMs: Date.now() + 30_000 })],
  ['inventory', (store) => store.inventory(undefined, 10)],
  ['status', (store) => store.status()],
];
const putOf = (store: HttpBlobStore, body: Uint8Array | Readable) => {
  const id = newBlobId();
  return store.put(id, body, describing(id));
};

const kindOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'success',
    (error: unknown) => (error instanceof StoreError ? error.kind : String(error)),
  );

describe('a node that refuses', () => {
  const kinds: readonly StoreErrorKind[] = [
    'no-room',
    'wrong-node',
    'stale-epoch',
    'unavailable',
    'in-recovery',
    'internal',
    'corrupt',
    'unauthorized',
    'too-many-requests',
  ];
  it.each(operations)('has its words reach the caller of %s', async (_, operate) => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    for (const kind of kinds) {
      node.intercept = (request, response) => {
        request.resume();
        answerError(response, kind);
        return true;
      };
      expect(await kindOf(operate(store))).toBe(kind);
    }
    expect(new Set(seen())).toEqual(new Set(['ok']));
  });

  it('is heard though it closes at once, while a long body is still being sent', async () => {
    const node = await rudeNode();
    const { store, seen } = storeOf(node);
    for (let round = 0; round < 30; round += 1) {
      const body = endlessStream(1024);
      expect(await kindOf(putOf(store, body))).toBe('no-room');
      expect(body.destroyed).toBe(true);
    }
    expect(new Set(seen())).toEqual(new Set(['ok']));
  });

  it('is heard while the source of the body is silent', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (request, response) => {
      request.once('data', () => answerError(response, 'no-room'));
      return true;
    };
    const body = new Readable({ read: () => undefined });
    body.push('a first byte');
    expect(await kindOf(putOf(store, body))).toBe('no-room');
    expect(body.destroyed).toBe(true);
  });

  it('takes no byte of a stream when it refuses before the body', async () => {
    const node = await startNode();
    const { store } = storeOf({ nodeId: newNodeId(), url: node.url });
    let isRead = false;
    const body = new Readable({
      highWaterMark: 0,
      read() {
        isRead = true;
        this.push(null);
      },
    });
    refuseBeforeBody(node, 'wrong-node');
    expect(await kindOf(putOf(store, body))).toBe('wrong-node');
    expect(isRead).toBe(false);
  });

  it('tells when a retry makes sense', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (_, response) => {
      response.setHeader('retry-after', '7');
      answerError(response, 'unavailable');
      return true;
    };
    await expect(store.open(newBlobId())).rejects.toMatchObject({ retryAfterSeconds: 7 });
  });
});

describe('a node that does not answer', () => {
  it.each(operations)('fails %s within the limits when it hangs', async (_, operate) => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    node.intercept = () => true;
    expect(await kindOf(operate(store))).toBe('unavailable');
    expect(seen()).toEqual([expect.stringMatching(/^UND_ERR_(HEADERS|BODY)_TIMEOUT$/)]);
  });

  it.each(operations)('fails %s at once when nothing listens', async (_, operate) => {
    const node = await startNode();
    const { store, seen } = storeOf({ nodeId: node.nodeId, url: node.url });
    await node.close();
    expect(await kindOf(operate(store))).toBe('unavailable');
    expect(seen()).toEqual(['ECONNREFUSED']);
  });

  it.each(operations)('fails %s when it drops the connection', async (_, operate) => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    node.intercept = (request) => {
      request.socket.destroy();
      return true;
    };
    expect(await kindOf(operate(store))).toBe('unavailable');
    expect(seen()).toEqual([expect.stringMatching(/^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/)]);
  });

  it.each(operations)('fails %s when its answer is no HTTP', async (_, operate) => {
    const { store, seen } = storeOf(
      await rawServer((socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n\r\n')),
    );
    expect(await kindOf(operate(store))).toBe('unavailable');
    expect(seen()).toHaveLength(1);
    expect(seen()[0]).not.toBe('ok');
  });

  it('fails a put whose answer never comes after the last byte', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    node.intercept = (request) => {
      request.resume();
      return true;
    };
    expect(await kindOf(putOf(store, Readable.from([big], { objectMode: false })))).toBe(
      'unavailable',
    );
    expect(seen()).toEqual(['UND_ERR_HEADERS_TIMEOUT']);
  });

  it('fails a put when it takes no more bytes, though it took some', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    node.intercept = (request) => {
      request.once('data', () => request.pause());
      return true;
    };
    const body = endlessStream();
    expect(await kindOf(putOf(store, body))).toBe('unavailable');
    expect(seen()).toEqual(['UND_ERR_BODY_TIMEOUT']);
    expect(body.destroyed).toBe(true);
  });

  it('is not blamed for a source that is slower than every limit', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node, {
      limits: { connectMs: 200, headersMs: 60, idleMs: 30 },
    });
    const body = new Readable({ read: () => undefined });
    body.push('first');
    const putting = putOf(store, body);
    // Longer than any limit: the wait itself is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 150));
    body.push('second');
    body.push(null);
    expect(await putting).toMatchObject({ sizeBytes: 11 });
    expect(seen()).toEqual(['ok']);
  });

  it('fails on an answer that another program gave', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (request, response) => {
      request.resume();
      response.writeHead(404, { 'content-type': 'text/html' }).end('<h1>Not found</h1>');
      return true;
    };
    // A blob must not be taken for lost because some web server does not know it.
    expect(await kindOf(store.open(newBlobId()))).toBe('unavailable');
    expect(await kindOf(store.describe(newBlobId()))).toBe('unavailable');
    expect(await kindOf(store.status())).toBe('unavailable');
  });

  it.each(operations)('fails %s on a success that makes no sense', async (_, operate) => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (request, response) => {
      request.resume();
      request.once('end', () => response.writeHead(202).end('{'));
      return true;
    };
    expect(await kindOf(operate(store))).toBe('unavailable');
  });
});

describe('an answer that breaks off', () => {
  it.each([0, 1, 65_536, 4 * 2 ** 20])(
    'fails the reader after %i bytes, and is no short success',
    async (given) => {
      const node = await startNode();
      const { store, seen } = storeOf(node);
      node.intercept = (_, response) => {
        response.writeHead(200, { 'content-length': big.length });
        response.write(big.subarray(0, given), () => response.destroy());
        response.flushHeaders();
        return true;
      };
      const reading = store.open(newBlobId()).then(({ bytes }) => bytesOf(bytes));
      expect(await kindOf(reading)).toBe('unavailable');
      expect(seen().at(-1)).toMatch(/^(UND_ERR_SOCKET|ECONNRESET)$/);
    },
  );

  it('fails the reader when the node falls silent', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    node.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': big.length });
      response.write(big.subarray(0, 70_000));
      return true;
    };
    const { bytes } = await store.open(newBlobId());
    expect(await kindOf(bytesOf(bytes))).toBe('unavailable');
    expect(seen()).toEqual(['ok', 'UND_ERR_BODY_TIMEOUT']);
  });

  it('is not blamed on the node while the reader rests', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node, {
      limits: { connectMs: 200, headersMs: 200, idleMs: 30 },
    });
    const id = newBlobId();
    await node.store.put(id, big, describing(id));
    const { bytes } = await store.open(id);
    // Longer than the limit: the wait itself is what is tested.
    await new Promise((resolve) => setTimeout(resolve, 1_600));
    expect(md5Of(await bytesOf(bytes))).toBe(md5Of(big));
    expect(seen()).toEqual(['ok']);
  });

  it('fails on a body without a length, which could end anywhere', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (_, response) => {
      response.writeHead(200);
      response.end('some bytes');
      return true;
    };
    expect(await kindOf(store.open(newBlobId()))).toBe('unavailable');
  });

  it('fails on a range that was not heeded', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (_, response) => {
      response.writeHead(200, { 'content-length': 10 });
      response.end('0123456789');
      return true;
    };
    expect(await kindOf(store.open(newBlobId(), { range: { start: 2, end: 4 } }))).toBe(
      'unavailable',
    );
  });

  it('fails a put that is answered with success before its end', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    node.intercept = (request, response) => {
      request.once('data', () => response.writeHead(201).end('{"sizeBytes":1,"md5":"x"}'));
      return true;
    };
    expect(await kindOf(putOf(store, endlessStream()))).toBe('unavailable');
  });
});

describe('a connection that had been idle', () => {
  it('is replaced unseen when the node closed it meanwhile', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    const sockets = new Set<Socket>();
    node.intercept = (request) => {
      sockets.add(request.socket);
      return false;
    };
    const stream = () => Readable.from([big.subarray(0, 100_000)], { objectMode: false });
    await putOf(store, stream());
    // The next request on this connection finds it closed.
    for (const socket of sockets) {
      socket.removeAllListeners('data');
      socket.once('data', () => socket.resetAndDestroy());
    }
    await putOf(store, stream());
    expect(sockets.size).toBe(2);
    expect(seen()).toEqual(['ok', 'ok']);
  });
});

describe('a caller that leaves', () => {
  it.each([
    [
      'put of held bytes',
      (store: HttpBlobStore, signal: AbortSignal) =>
        store.put(newBlobId(), big.subarray(0, 9), { ...describing(newBlobId()), signal }),
    ],
    [
      'put of a stream',
      (store: HttpBlobStore, signal: AbortSignal) =>
        store.put(newBlobId(), endlessStream(), { ...describing(newBlobId()), signal }),
    ],
    ['open', (store: HttpBlobStore, signal: AbortSignal) => store.open(newBlobId(), { signal })],
    [
      'pull',
      (store: HttpBlobStore, signal: AbortSignal) =>
        store.pull(
          { blobId: newBlobId(), source: { nodeId: newNodeId(), url: '' }, sizeBytes: 1, md5: '' },
          signal,
        ),
    ],
    ['status', (store: HttpBlobStore, signal: AbortSignal) => store.status(signal)],
  ])(
    'ends a %s that waits for its answer, and says nothing against the node',
    async (_, operate) => {
      const node = await startNode();
      const { store, seen } = storeOf(node);
      const leaving = new AbortController();
      const dropped = new Promise<void>((resolve) => {
        node.intercept = (request) => {
          request.socket.once('close', () => resolve());
          leaving.abort();
          return true;
        };
      });
      expect(await kindOf(operate(store, leaving.signal))).toBe('cancelled');
      await dropped;
      expect(seen()).toEqual([]);
    },
  );

  it('fails the bytes that it was reading with `cancelled`', async () => {
    const node = await startNode();
    const { store, seen } = storeOf(node);
    const id = newBlobId();
    await node.store.put(id, big, describing(id));
    const leaving = new AbortController();
    const { bytes } = await store.open(id, { signal: leaving.signal });
    const reading = (async () => {
      for await (const _ of bytes) leaving.abort();
    })();
    expect(await kindOf(reading)).toBe('cancelled');
    expect(seen()).toEqual(['ok']);
  });

  it('is forgotten: no listener stays on a signal that serves many requests', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    const id = newBlobId();
    await node.store.put(id, big.subarray(0, 100_000), describing(id));
    let listeners = 0;
    const { signal } = new AbortController();
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners += 1;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...args);
    };
    await bytesOf((await store.open(id, { signal })).bytes);
    const left = await store.open(id, { signal });
    left.bytes.destroy();
    await store.put(newBlobId(), Buffer.from('x'), { ...describing(newBlobId()), signal });
    await store.put(newBlobId(), Readable.from([Buffer.from('x')]), {
      ...describing(newBlobId()),
      signal,
    });
    await kindOf(store.open(newBlobId(), { signal }));
    await nextTurn();
    expect(listeners).toBe(0);
  });
});

describe('requests', () => {
  it('name the node, the key and the epoch', async () => {
    const node = await startNode();
    const { store } = storeOf(node, { keyring: ClusterKeyring.of('secret'), epoch: () => 42 });
    const seen: IncomingMessage['headers'][] = [];
    node.intercept = (request) => {
      seen.push(request.headers);
      return false;
    };
    await putOf(store, Buffer.from('x'));
    await putOf(store, Readable.from([Buffer.from('x')]));
    await store.delete(newBlobId(), { expiresAtMs: Date.now() + 30_000 });
    for (const headers of seen) {
      expect(headers).toMatchObject({
        [nodeHeaders.node]: node.nodeId,
        [nodeHeaders.epoch]: '42',
        authorization: 'Bearer secret',
      });
    }
    expect(seen).toHaveLength(3);
    expect(seen[0]?.['content-length']).toBe('1');
    expect(seen[1]?.['transfer-encoding']).toBe('chunked');
  });

  it('follow the node to another address', async () => {
    const before = await startNode();
    const after = await startNode();
    let url = before.url;
    const { store } = storeOf(before, { url: () => url });
    await putOf(store, Buffer.from('x'));
    url = after.url;
    expect(await kindOf(putOf(store, Buffer.from('x')))).toBe('wrong-node');
    expect(await kindOf(putOf(store, Readable.from([Buffer.from('x')])))).toBe('wrong-node');
    url = before.url;
    await putOf(store, Buffer.from('x'));
    expect(before.store.ids).toHaveLength(2);
    expect(after.store.ids).toHaveLength(0);
  });

  it('finish at the old address when the node moves meanwhile', async () => {
    const before = await startNode();
    let url = before.url;
    const { store } = storeOf(before, { url: () => url });
    const id = newBlobId();
    await before.store.put(id, big, describing(id));
    const { bytes } = await store.open(id);
    url = (await startNode()).url;
    expect(await kindOf(store.open(id))).toBe('wrong-node');
    expect(md5Of(await bytesOf(bytes))).toBe(md5Of(big));
  });

  it.each(['', 'nonsense'])('fail as unavailable at the address %j', async (url) => {
    const { store } = storeOf({ nodeId: newNodeId(), url });
    const body = stuckStream();
    expect(await kindOf(putOf(store, body))).toBe('unavailable');
    expect(body.destroyed).toBe(true);
    expect(await kindOf(store.status())).toBe('unavailable');
  });

  it('use few connections: those of ended requests are used again', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    const sockets = new Set<Socket>();
    node.intercept = (request) => {
      sockets.add(request.socket);
      return false;
    };
    for (let i = 0; i < 10; i += 1) {
      await putOf(store, Buffer.from('x'));
      await putOf(store, Readable.from([big.subarray(0, 200_000)], { objectMode: false }));
      const id = node.store.ids[0] as BlobId;
      await bytesOf((await store.open(id)).bytes);
    }
    expect(sockets.size).toBeLessThanOrEqual(3);
  });

  it('tell the status of the node', async () => {
    const node = await startNode();
    const { store } = storeOf(node);
    await putOf(store, Buffer.from('xyz'));
    expect(await store.status()).toMatchObject({ nodeId: node.nodeId, usedBytes: 3, blobCount: 1 });
  });
});

function answerError(response: ServerResponse, kind: StoreErrorKind): void {
  response.setHeader(nodeHeaders.error, kind);
  response.writeHead(httpStatusOf[kind], { 'content-type': 'application/json' });
  response.end(JSON.stringify(errorBodyOf(new StoreError(kind, `Refused: ${kind}.`))));
}

/** Answers instead of asking for the body. */
function refuseBeforeBody(node: MemoryNode, kind: StoreErrorKind): void {
  node.onContinue = (_, response) => answerError(response, kind);
}

/**
 * A node that answers in the middle of a body and closes with the rest unread. In a thread of its own: in ours, it could never close
 * while we write.
 */
async function rudeNode() {
  const answer = JSON.stringify(errorBodyOf(new StoreError('no-room', 'The disk is full.')));
  const thread = new Worker(
    `const { createServer } = require('node:http');
     const { parentPort, workerData } = require('node:worker_threads');
     const server = createServer((request, response) => {
       let pieces = 0;
       request.on('error', () => {}).on('data', () => {
         pieces += 1;
         if (pieces !== 5) return;
         response.once('finish', () => request.socket.destroy());
         response.writeHead(507, { 'content-length': workerData.length }).end(workerData);
       });
     });
     server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
    { eval: true, workerData: answer },
  );
  cleanups.push(() => thread.terminate());
  const [port] = (await once(thread, 'message')) as [number];
  return { nodeId: newNodeId(), url: `http://127.0.0.1:${port}` };
}

async function rawServer(onConnection: (socket: Socket) => void) {
  const sockets: Socket[] = [];
  const server: Server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { nodeId: newNodeId(), url: `http://127.0.0.1:${port}` };
}
