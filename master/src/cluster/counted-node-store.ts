import { finished } from 'node:stream';
import type {
  BlobBody,
  BlobId,
  BlobReceipt,
  DeleteOptions,
  InventoryPage,
  NodeStatus,
  OpenedBlob,
  OpenOptions,
  PullRequest,
  PutOptions,
  ScrubbingNode,
  StoredBlob,
} from '@dfs/shared';
import type { HttpBlobStore, HttpCache, JournalKeeper } from '@dfs/shared/cluster';
import type { NodeStore } from './node-directory.ts';

/** A node's store that knows how many transfers of this master it is busy with; an open read counts until its stream ends. */
export class CountedNodeStore implements NodeStore {
  readonly #store: HttpBlobStore;
  inFlight = 0;

  constructor(store: HttpBlobStore) {
    this.#store = store;
  }

  /** The node as one that reads its blobs again when asked: that is no transfer. */
  get scrubbing(): ScrubbingNode {
    return this.#store;
  }

  get journal(): JournalKeeper {
    return this.#store.journal;
  }

  get cache(): HttpCache {
    return this.#store.cache;
  }

  put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    return this.#during(this.#store.put(id, body, options));
  }

  async open(id: BlobId, options?: OpenOptions): Promise<OpenedBlob> {
    this.inFlight += 1;
    try {
      const opened = await this.#store.open(id, options);
      finished(opened.bytes, () => {
        this.inFlight -= 1;
      });
      return opened;
    } catch (error) {
      this.inFlight -= 1;
      throw error;
    }
  }

  describe(id: BlobId): Promise<StoredBlob | undefined> {
    return this.#store.describe(id);
  }

  delete(id: BlobId, options: DeleteOptions): Promise<void> {
    return this.#store.delete(id, options);
  }

  pull(request: PullRequest, signal?: AbortSignal): Promise<BlobReceipt> {
    return this.#during(this.#store.pull(request, signal));
  }

  inventory(after: string | undefined, limit: number): Promise<InventoryPage> {
    return this.#store.inventory(after, limit);
  }

  status(signal?: AbortSignal): Promise<NodeStatus> {
    return this.#store.status(signal);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #during<T>(work: Promise<T>): Promise<T> {
    this.inFlight += 1;
    try {
      return await work;
    } finally {
      this.inFlight -= 1;
    }
  }
}
