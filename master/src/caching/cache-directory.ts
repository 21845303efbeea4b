import { type BlobId, type CacheReport, cacheReportLimits, type NodeId } from '@dfs/shared';

/** What a node caches by its own last word; sizes in bytes. */
export interface CacheUsage {
  readonly bytes: number;
  readonly count: number;
}

interface NodeCache extends CacheUsage {
  readonly blobs: ReadonlySet<BlobId>;
}

/**
 * Which node caches which blob whole, as the last heartbeats told. In memory alone: caches belong to nodes, are never counted as copies, and may be gone before
 * the next heartbeat says so. Bounded by what a heartbeat may hold.
 */
export class CacheDirectory {
  readonly #caches = new Map<NodeId, NodeCache>();
  readonly #holders = new Map<BlobId, Set<NodeId>>();

  /** Takes a node's word in place of its last one; without a report it caches nothing. */
  heard(nodeId: NodeId, report: CacheReport | undefined): void {
    if (!report) {
      this.forget(nodeId);
      return;
    }
    const blobs = new Set(report.blobs.slice(0, cacheReportLimits.blobs));
    for (const blobId of this.#caches.get(nodeId)?.blobs ?? []) {
      if (!blobs.has(blobId)) this.#removeHolder(blobId, nodeId);
    }
    for (const blobId of blobs) {
      const holders = this.#holders.get(blobId);
      if (holders) holders.add(nodeId);
      else this.#holders.set(blobId, new Set([nodeId]));
    }
    const { bytes, count } = report;
    this.#caches.set(nodeId, { bytes, count, blobs });
  }

  /** Nodes that have the blob whole in their caches, whatever their state. */
  holdersOf(blobId: BlobId): readonly NodeId[] {
    const holders = this.#holders.get(blobId);
    return holders ? [...holders] : [];
  }

  holds(nodeId: NodeId, blobId: BlobId): boolean {
    return this.#holders.get(blobId)?.has(nodeId) ?? false;
  }

  /** A read, or a drop that was confirmed, told that the node has it no more; its next heartbeat has the last word. */
  lost(nodeId: NodeId, blobId: BlobId): void {
    this.#removeHolder(blobId, nodeId);
  }

  /** What a node caches, of blobs in part too; undefined: nothing, and it takes none. */
  usageOf(nodeId: NodeId): CacheUsage | undefined {
    const cache = this.#caches.get(nodeId);
    return cache && { bytes: cache.bytes, count: cache.count };
  }

  /** What a node caches whole, the most read first, as far as its heartbeat names it. */
  blobsOf(nodeId: NodeId): readonly BlobId[] {
    const blobs = this.#caches.get(nodeId)?.blobs ?? [];
    return [...blobs].filter((blobId) => this.holds(nodeId, blobId));
  }

  /** Every blob that some node caches whole. */
  blobs(): readonly BlobId[] {
    return [...this.#holders.keys()];
  }

  /** The node left for good, or caches nothing any more. */
  forget(nodeId: NodeId): void {
    for (const blobId of this.#caches.get(nodeId)?.blobs ?? []) this.#removeHolder(blobId, nodeId);
    this.#caches.delete(nodeId);
  }

  #removeHolder(blobId: BlobId, nodeId: NodeId): void {
    const holders = this.#holders.get(blobId);
    if (holders?.delete(nodeId) && holders.size === 0) this.#holders.delete(blobId);
  }
}
