import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { json } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import type { BlobDescription, PullRequest, WholeFile } from '../blob-store.ts';
import { contentRangeOf, parseRangeHeader, resolveRange } from '../byte-range.ts';
import { ClusterKeyring } from '../cluster-keyring.ts';
import { errorBodyOf, httpStatusOf, StoreError } from '../errors.ts';
import { type BlobId, type NodeId, newNodeId, parseBlobId } from '../ids.ts';
import { listen } from '../listen.ts';
import {
  decodeHeaderJson,
  encodeHeaderJson,
  keyOfHeaders,
  type NodeStatus,
  nodeHeaders,
} from '../node-protocol.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';

export interface MemoryNodeOptions {
  readonly nodeId?: NodeId;
  readonly store?: MemoryBlobStore;
  readonly clusterKey?: string;
}

/**
 * A storage node for tests: `node-protocol.ts` on 127.0.0.1 over a `MemoryBlobStore`. `intercept` sees each request first and
 * may answer it itself, badly or never; it returns true then.
 */
export class MemoryNode {
  readonly nodeId: NodeId;
  readonly store: MemoryBlobStore;
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  /** Answers requests that wait for a go-ahead before their body; absent: they get it. */
  onContinue: ((request: IncomingMessage, response: ServerResponse) => void) | undefined;
  url = '';
  readonly #keyring: ClusterKeyring;
  readonly #server: Server = createServer({ maxHeaderSize: 64 * 1024 }, (request, response) => {
    void this.#answer(request, response);
  });

  constructor(options: MemoryNodeOptions = {}) {
    this.nodeId = options.nodeId ?? newNodeId();
    this.store = options.store ?? new MemoryBlobStore();
    this.#keyring = ClusterKeyring.of(options.clusterKey);
    this.#server.on('checkContinue', (request, response) => {
      if (this.onContinue) {
        this.onContinue(request, response);
        return;
      }
      response.writeContinue();
      this.#server.emit('request', request, response);
    });
  }

  /** Starts a node on a port of its own. */
  static async start(options: MemoryNodeOptions = {}): Promise<MemoryNode> {
    const node = new MemoryNode(options);
    await node.listen();
    return node;
  }

  /** Opens its port, a new one or `port`. */
  async listen(port = 0): Promise<void> {
    this.url = `http://127.0.0.1:${await listen(this.#server, { host: '127.0.0.1', port })}`;
  }

  /** Ends the node and all its connections, as a crash does. */
  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    if (this.#server.listening) await once(this.#server, 'close');
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.intercept?.(request, response)) return;
    const url = new URL(request.url ?? '/', 'http://node');
    try {
      this.#admit(request);
      await this.#route(request, response, url);
    } catch (error) {
      refuse(request, response, error);
    }
  }

  #admit({ headers }: IncomingMessage): void {
    const isKeyed = this.#keyring.current() !== undefined;
    if (isKeyed && !this.#keyring.isOne(keyOfHeaders(headers) ?? '')) {
      throw new StoreError('unauthorized', 'The cluster key is wrong.');
    }
    if (headers[nodeHeaders.node] !== this.nodeId) {
      throw new StoreError('wrong-node', `This is the node ${this.nodeId}.`);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, folder, name = ''] = url.pathname.split('/');
    if (folder === 'pull') {
      const pull = (await json(request)) as PullRequest;
      return sendJson(response, 200, await this.store.pull(pull));
    }
    if (folder === 'inventory') {
      const after = url.searchParams.get('after') ?? undefined;
      const limit = Number(url.searchParams.get('limit'));
      return sendJson(response, 200, await this.store.inventory(after, limit));
    }
    if (folder === 'status') return sendJson(response, 200, this.#status());
    if (folder !== 'blobs') throw new StoreError('not-found', 'No such place.');
    const id = parseBlobId(name);
    switch (request.method) {
      case 'PUT':
        return this.#put(request, response, id);
      case 'DELETE':
        await this.store.delete(id, { expiresAtMs: Number(request.headers[nodeHeaders.expires]) });
        response.writeHead(204).end();
        return;
      default:
        return this.#get(request, response, id);
    }
  }

  async #put(request: IncomingMessage, response: ServerResponse, id: BlobId): Promise<void> {
    const { headers } = request;
    const size = headers['content-length'] ?? headers[nodeHeaders.size];
    const md5 = headers[nodeHeaders.md5];
    const description = decodeHeaderJson(
      String(headers[nodeHeaders.description]),
    ) as BlobDescription;
    const whole = () => {
      const text = request.trailers[nodeHeaders.whole];
      if (text === undefined) throw new StoreError('incomplete-body', 'The trailer is missing.');
      return text === '-' ? undefined : (decodeHeaderJson(text) as WholeFile);
    };
    // The store destroys its source, and a destroyed request could not be answered.
    const body = Readable.from(request.iterator({ destroyOnReturn: false }), { objectMode: false });
    const receipt = await this.store.put(id, body, {
      description,
      ...(size === undefined ? {} : { sizeBytes: Number(size) }),
      ...(md5 === undefined ? {} : { expectedMd5: String(md5) }),
      ...(headers[nodeHeaders.part] === '1' ? { whole } : {}),
    });
    sendJson(response, 201, receipt);
  }

  async #get(request: IncomingMessage, response: ServerResponse, id: BlobId): Promise<void> {
    const stored = await this.store.describe(id);
    if (!stored) throw new StoreError('not-found', `No blob ${id}.`);
    const [spec] = parseRangeHeader(request.headers.range) ?? [];
    const range = spec && resolveRange(spec, stored.sizeBytes);
    if (spec && !range) throw new StoreError('range-not-satisfiable', 'Outside the blob.');
    const isDescribing = request.headers[nodeHeaders.wantDescription] === '1';
    const headers = {
      ...(isDescribing ? { [nodeHeaders.description]: encodeHeaderJson(stored) } : {}),
      ...(range ? { 'content-range': contentRangeOf(range, stored.sizeBytes) } : {}),
    };
    const status = range ? 206 : 200;
    if (request.method === 'HEAD') {
      response.writeHead(status, { ...headers, 'content-length': stored.sizeBytes }).end();
      return;
    }
    const opened = await this.store.open(id, range ? { range } : {});
    response.writeHead(status, { ...headers, 'content-length': opened.sizeBytes });
    await pipeline(opened.bytes, response);
  }

  #status(): NodeStatus {
    const { ids, usedBytes } = this.store;
    const sizes = { capacityBytes: 2 ** 40, freeBytes: 2 ** 40 - usedBytes, usedBytes };
    const { nodeId } = this;
    return { nodeId, name: 'memory', version: '0', epoch: 1, ...sizes, blobCount: ids.length };
  }
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** Answers an error and lets the rest of the body run out, so that the sender reads the answer; in the middle of a body, breaks off. */
function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const kind = error instanceof StoreError ? error.kind : 'internal';
  request.resume();
  response.setHeader(nodeHeaders.error, kind);
  sendJson(response, httpStatusOf[kind], errorBodyOf(error));
}
