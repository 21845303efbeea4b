import type { Server } from 'node:http';
import {
  type AccessRole,
  type BlobId,
  type CacheOutcome,
  type Clock,
  type ClusterId,
  type FilePath,
  type FsckLine,
  type NodeId,
  newNodeId,
  StoreError,
  systemClock,
} from '@dfs/shared';
import { ClusterKeyring, LogRing, listen } from '@dfs/shared/cluster';
import type { CrossOrigin, TrustedProxies } from '@dfs/shared/serving';
import { recordingLogger } from '@dfs/shared/testing';
import { AccessControl } from '../../access/access-control.ts';
import { AccessKeys } from '../../access/access-keys.ts';
import { FailureThrottle } from '../../access/failure-throttle.ts';
import { LinkKeys } from '../../access/links.ts';
import { Openings } from '../../access/openings.ts';
import { MemoryAccessKeyRows } from '../../access/testing/memory-access-key-rows.ts';
import type { HotFile } from '../../caching/hot-files.ts';
import { findNode } from '../../cluster/node-admin.ts';
import type { NodeDirectory, NodeSnapshot } from '../../cluster/node-directory.ts';
import type { FileService } from '../../files/file-types.ts';
import type { LogEntry, StoreCounts } from '../../metadata/metadata-repository.ts';
import { createMetrics } from '../../metrics.ts';
import {
  createPublicServer,
  type PublicServer,
  type PublicServerDependencies,
} from '../../server.ts';
import type { Care } from '../api-v1/care-routes.ts';
import type { FrontConfig, FrontMetadata, Safekeeping } from '../http/front.ts';
import { MemoryFileService } from './memory-file-service.ts';
import { MemoryRights } from './memory-rights.ts';
import { type RawAnswer, sendRaw } from './raw-http.ts';

export const testKey = 'a key for tests';

export interface TestPublicServerOptions {
  /** Trusting loopback, a test can be a client of any address. */
  readonly proxies?: TrustedProxies;
  readonly safekeeping?: Safekeeping;
  readonly clusterKey?: string | undefined;
  /** Accepted beside the other one. */
  readonly clusterKeyAlso?: string;
  readonly clock?: Clock;
  readonly crossOrigin?: CrossOrigin;
  readonly config?: Partial<FrontConfig>;
  readonly store?: {
    readonly files: FileService;
    readonly metadata: FrontMetadata;
    readonly nodes: NodeDirectory;
  };
}

/** The public port over a file service in memory, on a free port of loopback. */
export class TestPublicServer {
  /** What it serves unless it was given another store. */
  readonly files = new MemoryFileService();
  /** Likewise. */
  readonly rights = new MemoryRights();
  readonly #recording = recordingLogger();
  readonly lines = this.#recording.lines;
  readonly log: LogEntry[] = [];
  readonly ownLog = new LogRing();
  readonly nodes: NodeSnapshot[] = [];
  recovery: string | undefined;
  awaited = new Map<NodeId, number | undefined>();
  copiedPerSecond = { copies: 0, bytes: 0 };
  lastCopies = 0;
  isDatabaseOpen = true;
  counts: StoreCounts = {
    files: 0,
    directories: 0,
    logicalBytes: 0,
    trash: { files: 0, bytes: 0 },
    replicas: { wanted: 0, stored: 0, corrupt: 0, dropping: 0 },
    blobsShort: 0,
    blobsWithoutCopy: 0,
    missingBytes: 0,
  };
  port = 0;
  /** What each question of fsck gives, and which were asked. */
  fsckLines: FsckLine[] = [];
  fsckFailure: unknown;
  readonly asked: string[] = [];
  cacheOutcomes: CacheOutcome[] = [];
  readonly cachedBlobs = new Map<NodeId, readonly BlobId[]>();
  hotFiles: HotFile[] = [];
  readonly care: Care = {
    startScrub: async (node = 'all') => {
      this.asked.push(`scrub ${node}`);
      return [];
    },
    scrubStatus: async () => [],
    fsck: (options) => this.#fsck(options.isRepair),
  };
  readonly accessKeys: AccessKeys;
  readonly front: PublicServerDependencies;
  readonly publicServer: PublicServer;
  readonly #server: Server;

  constructor(options: TestPublicServerOptions = {}) {
    const clusterKey = 'clusterKey' in options ? options.clusterKey : testKey;
    const keyring = ClusterKeyring.of(clusterKey, options.clusterKeyAlso);
    this.accessKeys = new AccessKeys({
      metadata: new MemoryAccessKeyRows(),
      ...{ keyring, clock: systemClock, logger: this.#recording.logger },
      recovery: () => this.recovery,
      isConfirmed: () => true,
    });
    const {
      files = this.files,
      metadata = this.#metadata(),
      nodes = this.#directory(),
    } = options.store ?? {};
    const { clock = systemClock } = options;
    const metrics = createMetrics({ metadata, nodes, sizesLagMs: () => 0 });
    this.front = {
      files,
      access: new AccessControl({
        ...{ keyring, accessKeys: this.accessKeys },
        logger: this.#recording.logger,
        throttle: new FailureThrottle(clock),
        onFailure: metrics.authenticationFailed,
      }),
      accessKeys: this.accessKeys,
      linkKeys: new LinkKeys(keyring),
      openings: new Openings({ metadata, clock }),
      ...(options.proxies ? { proxies: options.proxies } : {}),
      metadata,
      nodes,
      care: this.care,
      nodeAdmin: {
        drain: async (reference, { cancel }) => {
          this.asked.push(`${cancel ? 'stop draining' : 'drain'} ${reference}`);
          return findNode(this.nodes, reference);
        },
        remove: async (reference, { force }) => {
          this.asked.push(`remove ${reference}${force ? ' by force' : ''}`);
          return findNode(this.nodes, reference);
        },
      },
      repair: {
        awaited: () => this.awaited,
        wake: () => undefined,
        rate: { perSecond: () => this.copiedPerSecond },
        rebalance: {
          start: () => this.asked.push('rebalance'),
          stop: () => this.asked.push('stop rebalancing'),
          progress: () => ({ isRunning: false, movedCopies: 0, movedBytes: 0, spread: 0.25 }),
        },
      },
      caching: {
        control: {
          cacheOn: async (path, { nodes, priority }) => {
            this.asked.push(`cache ${path} on ${nodes}, priority ${priority ?? 'usual'}`);
            return this.cacheOutcomes;
          },
          dropCaches: async (path) => {
            this.asked.push(`drop caches of ${path}`);
            return this.cacheOutcomes;
          },
        },
        hot: { limitPerMinute: 60, list: async () => this.hotFiles },
        directory: { blobsOf: (nodeId) => this.cachedBlobs.get(nodeId) ?? [] },
      },
      metrics,
      logger: this.#recording.logger,
      clock,
      config: {
        instanceName: 'test',
        copies: 3,
        uploadIdleMs: 10_000,
        downloadIdleMs: 10_000,
        ...options.config,
      },
      version: '1.2.3',
      log: this.ownLog,
      managementUrl: (host) => `http://${host}:7041`,
      ...(options.crossOrigin ? { crossOrigin: options.crossOrigin } : {}),
      ...(options.safekeeping ? { safekeeping: options.safekeeping } : {}),
    };
    this.publicServer = createPublicServer(this.front);
    this.#server = this.publicServer.server;
    this.nodes.push(snapshotOf({ id: this.files.node.id, name: this.files.node.name }));
  }

  async *#fsck(isRepair: boolean): AsyncGenerator<FsckLine> {
    this.asked.push(isRepair ? 'repair' : 'check');
    yield* this.fsckLines;
    if (this.fsckFailure) throw this.fsckFailure;
  }

  /** Makes an access key; resolves with it as it is sent. */
  async keyFor(role: AccessRole, prefix: string): Promise<string> {
    const key = { name: '', role, prefix: prefix as FilePath };
    return (await this.accessKeys.add(key)).text;
  }

  async start(): Promise<this> {
    this.port = await listen(this.#server, { host: '127.0.0.1', port: 0 });
    return this;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has('authorization')) headers.set('authorization', `Bearer ${testKey}`);
    return fetch(`${this.url}${path}`, { redirect: 'manual', ...init, headers });
  }

  /** Sends a request line and headers as they stand, host and key added. */
  raw(
    requestLine: string,
    options: { headers?: readonly string[]; key?: string | null; body?: string | Buffer } = {},
  ): Promise<RawAnswer> {
    const { headers = [], key = testKey, body = '' } = options;
    const head = [
      `${requestLine} HTTP/1.1`,
      'Host: 127.0.0.1',
      ...(key === null ? [] : [`SHARD-KEY: ${key}`]),
      ...headers,
      ...(body.length > 0 ? [`Content-Length: ${Buffer.byteLength(body)}`] : []),
      '',
      '',
    ].join('\r\n');
    const text = Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
    return sendRaw(this.port, text, { isHead: requestLine.startsWith('HEAD') });
  }

  get limits() {
    const { requestTimeout, headersTimeout } = this.#server;
    return { requestTimeout, headersTimeout };
  }

  #metadata(): FrontMetadata {
    return {
      findEntry: async (path) => this.files.findEntry(path),
      findNamed: async (path) => this.files.findNamed(path),
      findFile: (path) => this.files.find({ path }),
      findFileById: (id) => this.files.find({ id }),
      addGrant: (grant) => this.rights.addGrant(grant),
      removeGrants: (query) => this.rights.removeGrants(query),
      grantsOf: (fileId, nowMs) => this.rights.grantsOf(fileId, nowMs),
      listGrants: (page) => this.rights.listGrants(page),
      addRevocation: (revocation) => this.rights.addRevocation(revocation),
      revocationsOf: (subjects) => this.rights.revocationsOf(subjects),
      counts: async () => this.counts,
      copiesOn: async () => 12,
      lastCopiesOn: async () => ({ blobs: this.lastCopies, bytes: 0 }),
      copiesToMove: async () => ({ copies: 10, bytes: 700 }),
      identity: () => ({
        clusterId: '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11' as ClusterId,
        epoch: 1,
      }),
      isEmpty: async () => {
        if (this.isDatabaseOpen) return false;
        throw new Error('The database is closed.');
      },
      listLog: async ({ path, limit = Number.POSITIVE_INFINITY, afterId = 0 }) =>
        this.log
          .filter((entry) => entry.id > afterId && (path === undefined || entry.path === path))
          .slice(-limit),
    };
  }

  #directory(): NodeDirectory {
    return {
      snapshots: () => this.nodes,
      find: (id) => this.nodes.find((node) => node.id === id),
      recovery: () => this.recovery,
      isConfirmed: () => true,
      removed: () => [],
      storeOf: () => {
        throw new StoreError('unavailable', 'There are no nodes here.');
      },
      reserve: () => () => undefined,
      onChange: () => () => undefined,
      close: async () => undefined,
    };
  }
}

export const snapshotOf = (more: Partial<NodeSnapshot> = {}): NodeSnapshot => ({
  id: newNodeId(),
  name: 'one',
  url: 'http://127.0.0.1:7050',
  state: 'up',
  dataDir: '/data',
  capacityBytes: 1_000,
  usedBytes: 100,
  freeBytes: 900,
  inFlight: 0,
  silentForMs: 1_200,
  ...more,
});
