import {
  type BlobId,
  type CacheAnswer,
  type CacheDrop,
  type CacheRequest,
  deriveBlobUrlKey,
  type NodeId,
  StoreError,
} from '@dfs/shared';
import { bytesOf, makeDescription, recordingLogger } from '@dfs/shared/testing';
import type { FileService } from '../files/file-types.ts';
import { TestCluster } from '../files/test-cluster.ts';
import type { TestNode } from '../files/test-nodes.ts';
import type { NodeCache } from './cache-orders.ts';
import { Caching } from './caching.ts';

export const testUrlKey = deriveBlobUrlKey('a key for tests');

/** What a node caches in a test: it takes orders, and has fetched them when `fetch` is called. */
class TestCache implements NodeCache {
  readonly orders: CacheRequest[] = [];
  readonly drops: (readonly BlobId[])[] = [];
  readonly cached = new Set<BlobId>();
  fault: StoreError | undefined;
  /** Why it takes no blob. */
  refusal: string | undefined;

  async fetch(request: CacheRequest): Promise<CacheAnswer> {
    if (this.fault) throw this.fault;
    this.orders.push(request);
    const ids = request.blobs.map(({ blobId }) => blobId);
    if (this.refusal !== undefined) {
      const reason = this.refusal;
      return { accepted: [], present: [], refused: ids.map((blobId) => ({ blobId, reason })) };
    }
    return { accepted: ids, present: [], refused: [] };
  }

  async drop({ blobIds }: CacheDrop): Promise<void> {
    if (this.fault) throw this.fault;
    this.drops.push(blobIds);
    for (const blobId of blobIds) this.cached.delete(blobId);
  }
}

/** A cluster of memory nodes that cache, and what the master does about it; loops are stepped by hand. */
export class TestCaches {
  readonly cluster: TestCluster;
  readonly caching: Caching;
  /** Reads and removes with knowledge of the caches. */
  readonly files: FileService;
  readonly #caches = new Map<NodeId, TestCache>();
  readonly lines;

  private constructor(cluster: TestCluster, hotReadsPerMinute: number) {
    const { logger, lines } = recordingLogger();
    const { nodes, metadata, clock } = cluster;
    this.lines = lines;
    this.cluster = cluster;
    this.caching = new Caching({
      nodes,
      metadata,
      clock,
      logger,
      cacheOf: (id) => this.cacheOf(id),
      urlKeyNow: () => testUrlKey,
      hotReadsPerMinute,
    });
    this.files = cluster.restarted(
      { minCopies: 1 },
      { caching: this.caching, blobUrlKeyNow: () => testUrlKey },
    );
    this.hear();
  }

  /** `nodes` nodes, and one stored copy of each file. */
  static async open({ nodes = 4, hotReadsPerMinute = 60, copies = 1 } = {}): Promise<TestCaches> {
    const cluster = await TestCluster.open({ nodes, config: { copies } });
    return new TestCaches(cluster, hotReadsPerMinute);
  }

  cacheOf(id: NodeId): TestCache {
    const cache = this.#caches.get(id) ?? new TestCache();
    this.#caches.set(id, cache);
    return cache;
  }

  /** A heartbeat of every node, or of one. */
  hear(...nodes: readonly TestNode[]): void {
    for (const { id } of nodes.length > 0 ? nodes : this.cluster.nodes.all) {
      const { cached } = this.cacheOf(id);
      this.caching.heard(id, { bytes: 0, count: cached.size, blobs: [...cached], reads: [] });
    }
  }

  /** Nodes fetch what they were told to cache, and say so. */
  async fetchAll(): Promise<void> {
    for (const node of this.cluster.nodes.all) {
      for (const { blobs } of this.cacheOf(node.id).orders)
        for (const { blobId } of blobs) await this.#fetch(node, blobId);
    }
    this.hear();
  }

  /** The node has the blob in its cache from now on, and said so. */
  async cacheAt(node: TestNode, blobId: BlobId): Promise<void> {
    await this.#fetch(node, blobId);
    this.hear(node);
  }

  /** A heartbeat that tells of reads at the node's own listener. */
  async read(id: Awaited<ReturnType<FileService['stat']>>['file']['id'], count: number) {
    const [node] = this.cluster.nodes.all;
    if (!node) throw new Error('There is no node.');
    const blobs = [...this.cacheOf(node.id).cached];
    const reads = [{ fileId: id, count }];
    this.caching.heard(node.id, { bytes: 0, count: blobs.length, blobs, reads });
  }

  async #fetch(node: TestNode, blobId: BlobId): Promise<void> {
    const { cached } = this.cacheOf(node.id);
    if (cached.has(blobId)) return;
    for (const { store } of this.cluster.nodes.all) {
      if ((await store.describe(blobId)) === undefined) continue;
      const bytes = await bytesOf((await store.open(blobId)).bytes);
      await node.store.put(blobId, bytes, { description: makeDescription({ blobId }) });
      cached.add(blobId);
      return;
    }
    throw new StoreError('not-found', 'No node has it.');
  }
}
