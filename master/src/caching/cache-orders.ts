import {
  type BlobId,
  type BlobToCache,
  blobsInCacheRequestMax,
  type Clock,
  type NodeId,
  StoreError,
} from '@dfs/shared';
import type { HttpCache } from '@dfs/shared/cluster';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import type { FileBlob, MetadataRepository, Replica } from '../metadata/metadata-repository.ts';
import type { CacheDirectory } from './cache-directory.ts';
import { signedSourcesOf } from './signed-sources.ts';

export interface CacheOrdersDependencies {
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'find'>;
  readonly metadata: Pick<MetadataRepository, 'replicasOf'>;
  readonly directory: CacheDirectory;
  /** Rejects with `unavailable` for an unknown id. */
  readonly cacheOf: (id: NodeId) => NodeCache;
  /** Signs what nodes fetch from each other; undefined in a cluster without a key. */
  readonly urlKeyNow: () => Buffer | undefined;
  readonly clock: Clock;
}

/** The cache of a node. */
export type NodeCache = Pick<HttpCache, 'fetch' | 'drop'>;

/** How long a node may take to begin with an order: others may wait before it. */
const orderLifeSeconds = 3_600;

/** How the blobs of one file lie on nodes at the moment. */
export interface Whereabouts {
  readonly blobs: readonly FileBlob[];
  readonly replicas: ReadonlyMap<BlobId, readonly Replica[]>;
}

/** Tells nodes what to cache and what to let go, and knows what each has of a file. */
export class CacheOrders {
  readonly #deps: CacheOrdersDependencies;

  constructor(dependencies: CacheOrdersDependencies) {
    this.#deps = dependencies;
  }

  async whereaboutsOf(blobs: readonly FileBlob[]): Promise<Whereabouts> {
    const ids = blobs.map(({ blobId }) => blobId);
    return { blobs, replicas: await this.#deps.metadata.replicasOf(ids) };
  }

  /** What a node has of a file: all of it stored, all of it with the help of its cache, or not all. */
  has(nodeId: NodeId, { blobs, replicas }: Whereabouts): 'stored' | 'cached' | 'not-all' {
    const rest = blobs.filter(({ blobId }) => !isStored(nodeId, replicas.get(blobId)));
    if (rest.length === 0) return 'stored';
    const { directory } = this.#deps;
    return rest.every(({ blobId }) => directory.holds(nodeId, blobId)) ? 'cached' : 'not-all';
  }

  /** Has a node fetch what it lacks of a file, and keep what it caches of it with this priority. Resolves when it took the order. Rejects: `no-room` when it does not take it, `unavailable` when it does not answer or nobody can give the bytes. */
  async cache(nodeId: NodeId, where: Whereabouts, priority: number): Promise<void> {
    const { directory, cacheOf, clock, urlKeyNow } = this.#deps;
    const nodes = new Map(
      this.#deps.nodes.snapshots().flatMap((node): [NodeId, NodeSnapshot][] => {
        return node.id !== nodeId && isWell(node) ? [[node.id, node]] : [];
      }),
    );
    const notStored = where.blobs.filter(
      ({ blobId }) => !isStored(nodeId, where.replicas.get(blobId)),
    );
    const blobs = notStored.map(({ blobId, sizeBytes, md5 }) => {
      const sources = signedSourcesOf({
        blobId,
        replicas: where.replicas.get(blobId) ?? [],
        nodes,
        order: { caches: directory.holdersOf(blobId), isHot: true },
        urlKey: urlKeyNow(),
        expiresAtSeconds: Math.floor(clock.now() / 1000) + orderLifeSeconds,
      });
      return { blobId, sizeBytes, md5, sources };
    });
    const isLacking = ({ blobId, sources }: BlobToCache) =>
      sources.length === 0 && !directory.holds(nodeId, blobId);
    if (blobs.some(isLacking)) {
      throw new StoreError('unavailable', 'No node that holds the content answers.', {
        hint: 'Look at "dfs replicas" and "dfs nodes".',
        retryAfterSeconds: 5,
      });
    }
    for (let start = 0; start < blobs.length; start += blobsInCacheRequestMax) {
      const part = blobs.slice(start, start + blobsInCacheRequestMax);
      const { refused } = await cacheOf(nodeId).fetch({ blobs: part, priority });
      const [first] = refused;
      if (first) throw new StoreError('no-room', `It does not take it: ${first.reason}`);
    }
  }

  /** Has a node let go of blobs, also of such that it is about to fetch. Rejects with `unavailable`. */
  async drop(nodeId: NodeId, blobIds: readonly BlobId[]): Promise<void> {
    const { cacheOf, directory } = this.#deps;
    for (let start = 0; start < blobIds.length; start += blobsInCacheRequestMax)
      await cacheOf(nodeId).drop({ blobIds: blobIds.slice(start, start + blobsInCacheRequestMax) });
    for (const blobId of blobIds) directory.lost(nodeId, blobId);
  }

  /** Nodes that may be told to cache something: they are up and said that they cache. */
  mayCache(node: NodeSnapshot): boolean {
    return node.state === 'up' && this.#deps.directory.usageOf(node.id) !== undefined;
  }
}

const isWell = ({ state }: NodeSnapshot) => state === 'up' || state === 'draining';

const isStored = (nodeId: NodeId, replicas: readonly Replica[] | undefined) =>
  replicas?.some((replica) => replica.nodeId === nodeId && replica.state === 'stored') ?? false;
