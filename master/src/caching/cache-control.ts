import { type CacheOutcome, type FilePath, type NodeId, StoreError } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import type { FileBlob, MetadataRepository, NamedFile } from '../metadata/metadata-repository.ts';
import type { CacheDirectory } from './cache-directory.ts';
import type { CacheOrders, Whereabouts } from './cache-orders.ts';
import { chooseCaches } from './choose-caches.ts';
import type { HotFiles } from './hot-files.ts';

export interface CacheTargets {
  /** Every node, so many nodes in all, or one of them. */
  readonly nodes: 'all' | number | NodeId;
  /** From `cachePriorityMin` to `cachePriorityMax`; the higher, the longer it is kept when room runs short. By default `askedPriority`. */
  readonly priority?: number;
}

/** Puts files into caches by hand. */
export interface CacheControl {
  /** Has nodes cache a file; what they have already is left alone. Rejects: `not-found` (file or node), `is-a-directory`. */
  cacheOn(path: FilePath, targets: CacheTargets): Promise<readonly CacheOutcome[]>;
  /** Has every node that is there let go of a file's blobs. Rejects: `not-found`, `is-a-directory`. */
  dropCaches(path: FilePath): Promise<readonly CacheOutcome[]>;
}

export interface ClusterCacheControlDependencies {
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'find'>;
  readonly metadata: Pick<MetadataRepository, 'findFile'>;
  readonly directory: CacheDirectory;
  readonly orders: CacheOrders;
  readonly hot: Pick<HotFiles, 'keep' | 'forget'>;
  readonly logger: Logger;
}

export const cachePriorityMin = -20;
export const cachePriorityMax = 20;
/** What somebody asked for is kept longer than what is hot. */
export const askedPriority = 10;

/** Puts files into the caches of nodes by hand, and takes them out. */
export class ClusterCacheControl implements CacheControl {
  readonly #deps: ClusterCacheControlDependencies;

  constructor(dependencies: ClusterCacheControlDependencies) {
    this.#deps = dependencies;
  }

  async cacheOn(
    path: FilePath,
    { nodes, priority = askedPriority }: CacheTargets,
  ): Promise<readonly CacheOutcome[]> {
    const { orders, hot } = this.#deps;
    const { file } = await this.#get(path);
    const where = await orders.whereaboutsOf(file.blobs);
    const chosen = this.#choose(nodes, where);
    hot.keep(
      file.id,
      chosen.map(({ id }) => id),
    );
    return Promise.all(chosen.map((node) => this.#cacheOn(node, where, priority)));
  }

  async dropCaches(path: FilePath): Promise<readonly CacheOutcome[]> {
    const { file } = await this.#get(path);
    this.#deps.hot.forget(file.id);
    return this.#drop(file.blobs);
  }

  /** The same for content whose name went; what fails is left to the nodes, which evict it when they need the room. Never rejects. */
  async dropGone(blobs: readonly FileBlob[]): Promise<void> {
    const { logger } = this.#deps;
    try {
      for (const { node, message } of await this.#drop(blobs)) {
        if (message !== undefined) logger.debug('a cached file was not dropped', { node, message });
      }
    } catch (error) {
      logger.error('cached files could not be dropped', { error });
    }
  }

  async #drop(blobs: readonly FileBlob[]): Promise<CacheOutcome[]> {
    const { nodes, orders, directory } = this.#deps;
    const blobIds = blobs.map(({ blobId }) => blobId);
    // What a node is about to fetch, or has in part, no heartbeat names: all that cache are asked.
    const caching = nodes.snapshots().filter(({ id }) => directory.usageOf(id) !== undefined);
    return Promise.all(
      caching.map((node) =>
        outcomeOf(node, async () => {
          if (node.state === 'down') throw notThere(node);
          await orders.drop(node.id, blobIds);
          return 'dropped';
        }),
      ),
    );
  }

  #choose(nodes: CacheTargets['nodes'], where: Whereabouts): readonly NodeSnapshot[] {
    const { orders, directory } = this.#deps;
    const all = this.#deps.nodes.snapshots();
    if (nodes === 'all') return all;
    if (typeof nodes === 'number') {
      const having = all.filter(({ id }) => orders.has(id, where) === 'cached');
      const others = all.filter(
        (node) => orders.mayCache(node) && orders.has(node.id, where) === 'not-all',
      );
      const usage = (id: NodeId) => directory.usageOf(id)?.bytes ?? 0;
      const further = new Set(chooseCaches(others, nodes - having.length, usage));
      return [...having, ...others.filter(({ id }) => further.has(id))];
    }
    const node = this.#deps.nodes.find(nodes);
    if (node) return [node];
    throw new StoreError('not-found', `There is no node with the id ${nodes}.`, {
      hint: 'Look at "dfs nodes".',
    });
  }

  #cacheOn(node: NodeSnapshot, where: Whereabouts, priority: number): Promise<CacheOutcome> {
    const { orders, directory } = this.#deps;
    return outcomeOf(node, async () => {
      const has = orders.has(node.id, where);
      if (has === 'stored') return has;
      if (node.state === 'down') throw notThere(node);
      if (directory.usageOf(node.id) === undefined) {
        throw new StoreError('no-room', 'It caches nothing (DFS_CACHE_BYTES).');
      }
      // Also when it has it: with this priority it is kept.
      await orders.cache(node.id, where, priority);
      return has === 'cached' ? 'cached' : 'ordered';
    });
  }

  async #get(path: FilePath): Promise<NamedFile> {
    const named = await this.#deps.metadata.findFile(path);
    if (named) return named;
    throw new StoreError('not-found', `There is no file at ${path}.`, {
      hint: 'List the directory above it to see which names there are.',
    });
  }
}

async function outcomeOf(
  { id, name }: NodeSnapshot,
  work: () => Promise<CacheOutcome['outcome']>,
): Promise<CacheOutcome> {
  const node = { id, name };
  try {
    return { node, outcome: await work() };
  } catch (error) {
    if (error instanceof StoreError) return { node, outcome: 'failed', message: error.message };
    throw error;
  }
}

const notThere = ({ silentForMs }: NodeSnapshot) =>
  new StoreError('unavailable', `It is down (silent for ${Math.round(silentForMs / 1_000)} s).`);
