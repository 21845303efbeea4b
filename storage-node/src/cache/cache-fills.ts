import type { BlobId, BlobToCache } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { ReadCache } from './read-cache.ts';

/** Blobs that wait to be fetched, at most. */
const waitingMax = 1_000;
/** Fetched at a time. */
const runningMax = 2;

export interface CacheFillsDependencies {
  readonly cache: ReadCache;
  /** Whether the node has a stored copy, which needs no cached one. */
  readonly isStored: (blobId: BlobId) => Promise<boolean>;
  readonly logger: Logger;
}

/** What becomes of a blob that is to be cached; a text says why it is not. */
export type FillOutcome = 'accepted' | 'present' | { readonly refused: string };

interface Fill {
  readonly blob: BlobToCache;
  readonly priority: number;
  readonly stopping: AbortController;
}

/** Fetches blobs into the cache before anybody reads them, one after the other. */
export class CacheFills {
  readonly #deps: CacheFillsDependencies;
  /** Waiting and running ones. */
  readonly #fills = new Map<BlobId, Fill>();
  readonly #waiting: Fill[] = [];
  readonly #running = new Set<Promise<void>>();
  #isClosed = false;

  constructor(dependencies: CacheFillsDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Will fetch the blob soon, with this priority; where it is here already, the priority counts from
   * now on.
   */
  async add(blob: BlobToCache, priority: number): Promise<FillOutcome> {
    const { cache, isStored } = this.#deps;
    const { blobId, sizeBytes } = blob;
    if (sizeBytes === 0 || (await isStored(blobId))) return 'present';
    await cache.blobs.loaded;
    cache.blobs.setPriority(blobId, priority);
    if (cache.blobs.isComplete(blobId)) return 'present';
    if (sizeBytes > cache.blobs.limitBytes) {
      return { refused: `It has ${sizeBytes} bytes, the cache ${cache.blobs.limitBytes}.` };
    }
    if (this.#fills.has(blobId)) return 'accepted';
    if (this.#waiting.length >= waitingMax || this.#isClosed) {
      return { refused: `${this.#waiting.length} blobs are waiting already.` };
    }
    const fill = { blob, priority, stopping: new AbortController() };
    this.#fills.set(blobId, fill);
    this.#waiting.push(fill);
    this.#runNext();
    return 'accepted';
  }

  /** It is no longer wanted. */
  cancel(blobId: BlobId): void {
    this.#fills.get(blobId)?.stopping.abort();
    this.#fills.delete(blobId);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#waiting.length = 0;
    for (const { stopping } of this.#fills.values()) stopping.abort();
    await Promise.all(this.#running);
  }

  #runNext(): void {
    if (this.#running.size >= runningMax) return;
    const fill = this.#waiting.shift();
    if (!fill) return;
    const run = this.#fill(fill).finally(() => {
      this.#running.delete(run);
      const { blobId } = fill.blob;
      if (this.#fills.get(blobId) === fill) this.#fills.delete(blobId);
      this.#runNext();
    });
    this.#running.add(run);
    this.#runNext();
  }

  /** Never rejects. */
  async #fill({ blob, priority, stopping: { signal } }: Fill): Promise<void> {
    if (signal.aborted) return;
    const { cache, logger } = this.#deps;
    const range = { start: 0, end: blob.sizeBytes };
    try {
      const bytes = await cache.open({ blob, range, sources: blob.sources, priority, signal });
      bytes.resume();
      await new Promise((resolve, reject) => bytes.once('close', resolve).once('error', reject));
    } catch (error) {
      if (!signal.aborted) logger.info('a blob was not cached', { blobId: blob.blobId, error });
    }
  }
}
