import {
  type BlobId,
  type CacheReport,
  cacheReportLimits,
  type FileId,
  type NodeId,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { FileRecord, MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import { ClusterCacheControl } from './cache-control.ts';
import { CacheDirectory } from './cache-directory.ts';
import { CacheOrders, type CacheOrdersDependencies } from './cache-orders.ts';
import { dropGoneBlobs } from './gone-blobs.ts';
import { HandedReads } from './handed-reads.ts';
import { HotFiles, type HotFilesDependencies } from './hot-files.ts';
import { ReadCounts } from './read-counts.ts';

type CachedFile = Pick<FileRecord, 'id' | 'blobs'>;

export interface CachingDependencies
  extends Omit<CacheOrdersDependencies, 'directory'>,
    Omit<HotFilesDependencies, 'counts' | 'orders' | 'nodes' | 'metadata'> {
  readonly nodes: Pick<
    NodeDirectory,
    'snapshots' | 'find' | 'recovery' | 'isConfirmed' | 'onChange'
  >;
  readonly metadata: Pick<MetadataRepository, 'replicasOf' | 'findFile' | 'findFileById'>;
  readonly logger: Logger;
}

const hotEveryMs = 2_000;
const goneEveryMs = 60_000;

/** What the master knows of caches and of how files are read, and what it does about it. */
export class Caching {
  readonly directory = new CacheDirectory();
  readonly control: ClusterCacheControl;
  readonly hot: HotFiles;
  readonly #counts: ReadCounts;
  readonly #handed: HandedReads;
  readonly #loops: readonly BackgroundLoop[];

  constructor(dependencies: CachingDependencies) {
    const { clock, nodes, logger } = dependencies;
    const { directory } = this;
    this.#counts = new ReadCounts({ clock });
    this.#handed = new HandedReads(clock);
    const orders = new CacheOrders({ ...dependencies, directory });
    this.hot = new HotFiles({ ...dependencies, counts: this.#counts, orders });
    this.control = new ClusterCacheControl({ ...dependencies, directory, orders, hot: this.hot });
    nodes.onChange(({ id, state }) => {
      if (state === 'removed') directory.forget(id);
    });
    this.#loops = [
      new BackgroundLoop({
        name: 'spreading of hot files',
        everyMs: hotEveryMs,
        step: async () => {
          await this.hot.step();
          return undefined;
        },
        logger,
      }),
      new BackgroundLoop({
        name: 'dropping of cached blobs that are gone',
        everyMs: goneEveryMs,
        step: async () => {
          await dropGoneBlobs({ ...dependencies, directory, orders });
          return undefined;
        },
        logger,
      }),
    ];
  }

  start(): void {
    for (const loop of this.#loops) loop.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.stop()));
  }

  /** Takes what a node told in a heartbeat that was accepted. */
  heard(nodeId: NodeId, report: CacheReport | undefined): void {
    this.directory.heard(nodeId, report);
    const reads = report?.reads.slice(0, cacheReportLimits.reads) ?? [];
    for (const { fileId, count } of reads) this.#counts.add(fileId, count);
  }

  holdersOf(blobId: BlobId): readonly NodeId[] {
    return this.directory.holdersOf(blobId);
  }

  lost(nodeId: NodeId, blobId: BlobId): void {
    this.directory.lost(nodeId, blobId);
  }

  wasRead(fileId: FileId): void {
    this.#counts.add(fileId);
  }

  isHot(fileId: FileId): boolean {
    return this.hot.isHot(fileId);
  }

  givenTo(nodeId: NodeId): void {
    this.#handed.add(nodeId);
  }

  readsLately(nodeId: NodeId): number {
    return this.#handed.of(nodeId);
  }

  isCached({ id, blobs }: CachedFile): boolean {
    if (this.hot.wasOrdered(id)) return true;
    return blobs.some(({ blobId }) => this.directory.holdersOf(blobId).length > 0);
  }

  nameWent({ id, blobs }: CachedFile): void {
    this.hot.forget(id);
    void this.control.dropGone(blobs);
  }
}
