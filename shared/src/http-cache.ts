import type { CacheAnswer, CacheDrop, CachePage, CacheRequest } from './cache-messages.ts';
import type { BlobId } from './ids.ts';
import type { NodeClient } from './node-client.ts';
import type { NodeAnswer } from './node-connection.ts';

/** The cache of a storage node seen from afar. All reject with `unavailable` where the node gives no answer. */
export class HttpCache {
  readonly #node: NodeClient;

  constructor(node: NodeClient) {
    this.#node = node;
  }

  /**
   * Has the node fetch blobs in the background, at most `blobsInCacheRequestMax`; resolves with what it will do, before it does. Rejects with
   * `no-room` when the node caches nothing.
   */
  async fetch(request: CacheRequest, signal?: AbortSignal): Promise<CacheAnswer> {
    const answer = await this.#send('POST', request, signal);
    return this.#node.json(this.#node.expect(answer, 202));
  }

  /** Has the node let go of cached blobs, at most `blobsInCacheRequestMax`, also of those that it lacks. */
  async drop(request: CacheDrop, signal?: AbortSignal): Promise<void> {
    this.#node.expect(await this.#send('DELETE', request, signal), 204);
  }

  /** A page of what is cached, in the order of ids: at most 1 000 behind the blob `after`. */
  async list(after?: BlobId, limit = 1_000): Promise<CachePage> {
    const query = new URLSearchParams({
      ...(after === undefined ? {} : { after }),
      limit: String(limit),
    });
    return this.#node.get<CachePage>(`/cache?${query}`);
  }

  #send(
    method: 'POST' | 'DELETE',
    body: CacheRequest | CacheDrop,
    signal: AbortSignal | undefined,
  ): Promise<NodeAnswer> {
    const headers = [...this.#node.changingHeaders(), 'content-type', 'application/json'];
    return this.#node.ask(method, '/cache', headers, { body: JSON.stringify(body), signal });
  }
}
