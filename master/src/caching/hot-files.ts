import type { Clock, FileId, FilePath, NodeId } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository, NamedFile } from '../metadata/metadata-repository.ts';
import type { CacheOrders, Whereabouts } from './cache-orders.ts';
import { chooseCaches, furtherNodes } from './choose-caches.ts';
import type { ReadCounts } from './read-counts.ts';

export interface HotFilesDependencies {
  readonly counts: ReadCounts;
  readonly orders: CacheOrders;
  readonly nodes: Pick<NodeDirectory, 'snapshots' | 'find' | 'recovery'>;
  readonly metadata: Pick<MetadataRepository, 'findFileById'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A file that is read more often is cached on further nodes; 0: none is. */
  readonly hotReadsPerMinute: number;
}

/** A file that is or was hot, as told to whoever asks. */
export interface HotFile {
  readonly fileId: FileId;
  readonly path: FilePath;
  readonly sizeBytes: number;
  readonly readsPerMinute: number;
  /** Nodes that have all of it, the one or the other way. */
  readonly storedOn: readonly NodeId[];
  readonly cachedOn: readonly NodeId[];
}

/** Nodes that were told to cache a file, until it has cooled. */
interface Spread {
  where: Whereabouts;
  readonly orders: Map<NodeId, Order>;
  /** Since when it has been read less than half as often as a hot file is, by the monotonic clock. */
  coolSinceMs: number | undefined;
}

interface Order {
  readonly atMs: number;
  readonly isRefused: boolean;
}

/** So many hot files are looked after at once, the most read ones. */
const hotFilesMax = 200;
/** Of what hot files take part in a cache. What readers had fetched goes first, what somebody asked for stays longer. */
export const hotPriority = 1;
/** Of so many files it is remembered that somebody asked for them on a node. */
const keptMax = 1_000;
const coolAfterMs = 120_000;
/** A node that refused or could not be asked is left alone for so long. */
const refusedForMs = 60_000;
/** After so long, and a second for each MiB, a node that does not report the file as cached is taken not to come to it. */
const fetchedWithinMs = 60_000;

/** Has files that are read often cached on further nodes, and lets them go when they have cooled. In memory: after a restart it begins anew, and nodes evict by themselves. */
export class HotFiles {
  readonly #deps: HotFilesDependencies;
  readonly #spreads = new Map<FileId, Spread>();
  /** Where somebody asked for a file, newest last: there it stays when it cools. */
  readonly #kept = new Map<FileId, Set<NodeId>>();

  constructor(dependencies: HotFilesDependencies) {
    this.#deps = dependencies;
  }

  get limitPerMinute(): number {
    return this.#deps.hotReadsPerMinute;
  }

  isHot(fileId: FileId): boolean {
    const { hotReadsPerMinute, counts } = this.#deps;
    return hotReadsPerMinute > 0 && counts.perMinute(fileId) > hotReadsPerMinute;
  }

  /** One look at what is hot and what has cooled. */
  async step(): Promise<void> {
    const { hotReadsPerMinute, counts, nodes } = this.#deps;
    if (hotReadsPerMinute === 0 || nodes.recovery() !== undefined) return;
    for (const { fileId, readsPerMinute } of counts.above(hotReadsPerMinute, hotFilesMax))
      await this.#spread(fileId, readsPerMinute);
    for (const [fileId, spread] of this.#spreads) await this.#coolDown(fileId, spread);
  }

  /** Somebody asked for the file on these nodes: it stays there when it cools. */
  keep(fileId: FileId, nodeIds: readonly NodeId[]): void {
    const kept = new Set([...(this.#kept.get(fileId) ?? []), ...nodeIds]);
    this.#kept.delete(fileId);
    this.#kept.set(fileId, kept);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > keptMax && oldest !== undefined) this.#kept.delete(oldest);
  }

  /** Some node was told to cache it. */
  wasOrdered(fileId: FileId): boolean {
    return this.#spreads.has(fileId) || this.#kept.has(fileId);
  }

  /** Somebody had it dropped from all nodes. */
  forget(fileId: FileId): void {
    this.#kept.delete(fileId);
    this.#spreads.delete(fileId);
  }

  /** What is hot, and what was and is still cached for that, the most read first. */
  async list(): Promise<readonly HotFile[]> {
    const { counts, hotReadsPerMinute, metadata } = this.#deps;
    const isOn = hotReadsPerMinute > 0;
    const hot = isOn ? counts.above(hotReadsPerMinute, hotFilesMax) : [];
    const ids = new Set([...hot.map(({ fileId }) => fileId), ...this.#spreads.keys()]);
    const files: HotFile[] = [];
    for (const fileId of ids) {
      const named = await metadata.findFileById(fileId);
      if (named) files.push(await this.#describe(named));
    }
    return files.sort((a, b) => b.readsPerMinute - a.readsPerMinute);
  }

  async #describe({ path, file }: NamedFile): Promise<HotFile> {
    const { counts, nodes, orders } = this.#deps;
    const where = await orders.whereaboutsOf(file.blobs);
    const having = (what: 'stored' | 'cached') =>
      nodes.snapshots().flatMap(({ id }) => (orders.has(id, where) === what ? [id] : []));
    return {
      fileId: file.id,
      path,
      sizeBytes: file.sizeBytes,
      readsPerMinute: counts.perMinute(file.id),
      storedOn: having('stored'),
      cachedOn: having('cached'),
    };
  }

  async #spread(fileId: FileId, readsPerMinute: number): Promise<void> {
    const { metadata, nodes, orders, hotReadsPerMinute } = this.#deps;
    const named = await metadata.findFileById(fileId);
    if (!named) return;
    const where = await orders.whereaboutsOf(named.file.blobs);
    const known = this.#spreads.get(fileId);
    if (known) this.#forgetOldOrders(known, where, named.file.sizeBytes);
    const helping = nodes
      .snapshots()
      .filter(({ id, state }) => state === 'up' && this.#helps(id, where, known));
    const missing = furtherNodes(readsPerMinute, hotReadsPerMinute) - helping.length;
    const candidates = nodes
      .snapshots()
      .filter(
        (node) =>
          orders.mayCache(node) &&
          orders.has(node.id, where) === 'not-all' &&
          !known?.orders.has(node.id),
      );
    const chosen = chooseCaches(candidates, missing, (id) => this.#hotFilesOn(id));
    if (chosen.length === 0) return;
    const spread = known ?? { where, orders: new Map<NodeId, Order>(), coolSinceMs: undefined };
    spread.where = where;
    this.#spreads.set(fileId, spread);
    await Promise.all(chosen.map((id) => this.#order(id, spread, named.path)));
  }

  #helps(nodeId: NodeId, where: Whereabouts, spread: Spread | undefined): boolean {
    const { orders } = this.#deps;
    if (orders.has(nodeId, where) === 'cached') return true;
    return spread?.orders.get(nodeId)?.isRefused === false;
  }

  /** Nodes that took too long, or refused long ago, may be asked again. */
  #forgetOldOrders(spread: Spread, where: Whereabouts, sizeBytes: number): void {
    const { clock, orders } = this.#deps;
    const fetchMs = fetchedWithinMs + (sizeBytes / 2 ** 20) * 1_000;
    for (const [nodeId, { atMs, isRefused }] of spread.orders) {
      const isOld = clock.monotonic() - atMs > (isRefused ? refusedForMs : fetchMs);
      if (isOld && orders.has(nodeId, where) === 'not-all') spread.orders.delete(nodeId);
    }
  }

  #hotFilesOn(nodeId: NodeId): number {
    let count = 0;
    for (const { orders } of this.#spreads.values()) if (orders.has(nodeId)) count += 1;
    return count;
  }

  async #order(nodeId: NodeId, spread: Spread, path: FilePath): Promise<void> {
    const { orders, clock, logger, nodes } = this.#deps;
    const node = nodes.find(nodeId)?.name ?? nodeId;
    const atMs = clock.monotonic();
    // Before the answer: a drop that comes meanwhile must reach this node, too.
    spread.orders.set(nodeId, { atMs, isRefused: false });
    try {
      await orders.cache(nodeId, spread.where, hotPriority);
      logger.info('a hot file is cached on a further node', { path, node });
    } catch (error) {
      spread.orders.set(nodeId, { atMs, isRefused: true });
      logger.warn('a node does not cache a hot file', { path, node, error });
    }
  }

  async #coolDown(fileId: FileId, spread: Spread): Promise<void> {
    const { counts, clock, hotReadsPerMinute, metadata, logger } = this.#deps;
    const isCool = counts.perMinute(fileId) < hotReadsPerMinute / 2;
    const now = clock.monotonic();
    spread.coolSinceMs = isCool ? (spread.coolSinceMs ?? now) : undefined;
    const hasCooled = spread.coolSinceMs !== undefined && now - spread.coolSinceMs >= coolAfterMs;
    const named = await metadata.findFileById(fileId);
    if (named && !hasCooled) return;
    this.#spreads.delete(fileId);
    if (named) logger.info('a file is no longer hot', { path: named.path });
    if (!named) this.#kept.delete(fileId);
    await this.#letGo(spread, this.#kept.get(fileId));
  }

  async #letGo({ orders: told, where }: Spread, kept?: ReadonlySet<NodeId>): Promise<void> {
    const { orders, logger } = this.#deps;
    const blobIds = where.blobs.map(({ blobId }) => blobId);
    const asked = [...told].filter(([nodeId, { isRefused }]) => !isRefused && !kept?.has(nodeId));
    await Promise.all(
      asked.map(async ([nodeId]) => {
        // A node that cannot be told evicts by itself when it needs the room.
        await orders.drop(nodeId, blobIds).catch((error: unknown) => {
          logger.debug('a node was not told to let go of a file', { nodeId, error });
        });
      }),
    );
  }
}
