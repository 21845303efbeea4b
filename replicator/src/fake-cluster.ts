import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import {
  type BlobId,
  errorBodyOf,
  httpStatusOf,
  keyOfHeaders,
  type LeaseRequest,
  type NodeId,
  newBlobId,
  newClusterId,
  newNodeId,
  nodeHeaders,
  type PullRequest,
  type ReplicationAttempt,
  type ReplicationJob,
  type ReplicationReport,
  StoreError,
} from '@dfs/shared';
import { MemoryBlobStore, makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { FakeLeases } from './fake-leases.ts';

export const clusterKey = 'key-of-the-test-cluster';

/** A storage node as the replicator sees it: `POST /pull` over a map. */
export class FakeNode {
  readonly id: NodeId = newNodeId();
  readonly store: MemoryBlobStore;
  readonly server: Server;
  /** The node ids that pulls were meant for. */
  readonly askedFor: string[] = [];

  constructor(peerOf: (id: NodeId) => MemoryBlobStore | undefined) {
    this.store = new MemoryBlobStore({ peerOf });
    this.server = serve(async (request, body) => {
      mustHaveKey(request);
      this.askedFor.push(String(request.headers[nodeHeaders.node]));
      if (request.headers[nodeHeaders.node] !== this.id) {
        throw new StoreError('wrong-node', 'This is another node.');
      }
      return this.store.pull(body as PullRequest);
    });
  }
}

/** A master's management port and its nodes, on loopback. */
export class FakeCluster {
  readonly nodes: FakeNode[] = [];
  readonly leases = new FakeLeases();
  readonly attempts: ReplicationAttempt[] = [];
  /** Paths of requests to the master. */
  readonly asked: string[] = [];
  /** Addresses as the master tells them; by default where the nodes are. */
  readonly urls = new Map<NodeId, string>();
  #master: Server;
  #port = 0;

  constructor() {
    this.#master = this.#makeMaster();
  }

  get masterUrl(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(nodes: number): Promise<this> {
    await this.startMaster();
    for (let i = 0; i < nodes; i += 1) {
      const node = new FakeNode((id) => this.nodes.find((each) => each.id === id)?.store);
      await listenOn(node.server, 0);
      this.nodes.push(node);
      this.urls.set(node.id, urlOf(node.server));
    }
    return this;
  }

  /** On the same port as before. */
  async startMaster(): Promise<void> {
    this.#master = this.#makeMaster();
    await listenOn(this.#master, this.#port);
    this.#port = (this.#master.address() as AddressInfo).port;
  }

  async stopMaster(): Promise<void> {
    await end(this.#master);
  }

  async stop(): Promise<void> {
    await Promise.all([this.#master, ...this.nodes.map((node) => node.server)].map(end));
  }

  /** Stores a new blob on these nodes and gives the job that copies it to `target`. */
  async makeBlob(target: FakeNode, holders: readonly FakeNode[]): Promise<ReplicationJob> {
    const blobId: BlobId = newBlobId();
    const bytes = patternBytes(2_000, this.asked.length + 1);
    for (const holder of holders) {
      await holder.store.put(blobId, bytes, { description: makeDescription({ blobId }) });
    }
    const sources = holders.map((holder) => holder.id);
    return {
      blobId,
      target: target.id,
      sizeBytes: bytes.byteLength,
      md5: md5Of(bytes),
      path: '/file.bin',
      sources,
    };
  }

  #makeMaster(): Server {
    const clusterId = newClusterId();
    return serve(async (request, body) => {
      mustHaveKey(request);
      this.asked.push(String(request.url));
      switch (request.url) {
        case '/cluster/nodes':
          return {
            clusterId,
            epoch: 1,
            nodes: this.nodes.map(({ id }) => {
              return { id, name: id.slice(-4), url: this.urls.get(id) ?? '', state: 'up' };
            }),
          };
        case '/cluster/leases': {
          const gone = new AbortController();
          const leave = () => gone.abort();
          request.socket.once('close', leave);
          return this.leases.lease(body as LeaseRequest, gone.signal).finally(() => {
            request.socket.off('close', leave);
          });
        }
        case '/cluster/replications':
          this.attempts.push(...(body as ReplicationReport).attempts);
          return undefined;
        default:
          throw new StoreError('not-found', `The management port has no ${request.url}.`);
      }
    });
  }
}

function serve(answer: (request: IncomingMessage, body: unknown) => Promise<unknown>): Server {
  const handle = async (request: IncomingMessage, response: ServerResponse) => {
    try {
      const bytes = await buffer(request);
      const body: unknown = bytes.byteLength === 0 ? undefined : JSON.parse(bytes.toString());
      const value = await answer(request, body);
      if (value === undefined) response.writeHead(204).end();
      else response.writeHead(200).end(JSON.stringify(value));
    } catch (error) {
      const status = error instanceof StoreError ? httpStatusOf[error.kind] : 500;
      response.writeHead(status).end(JSON.stringify(errorBodyOf(error)));
    }
  };
  return createServer((request, response) => void handle(request, response));
}

function mustHaveKey(request: IncomingMessage): void {
  if (keyOfHeaders(request.headers) === clusterKey) return;
  throw new StoreError('unauthorized', 'The cluster key is wrong.');
}

export const urlOf = (server: Server) =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

async function listenOn(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

async function end(server: Server): Promise<void> {
  server.closeAllConnections();
  if (server.listening) await new Promise((resolve) => server.close(resolve));
}
