import {
  type BlobToCache,
  blobsInCacheRequestMax,
  type CacheAnswer,
  type CacheDrop,
  type CacheRequest,
  parseBlobId,
  parseNodeId,
  type SignedBlobSource,
  StoreError,
} from '@dfs/shared';
import { sendJson } from '../answers.ts';
import { epochOf } from '../blob-headers.ts';
import type { NodeIdentity } from '../node-identity.ts';
import { smallBodyOf } from '../request-body.ts';
import type { Exchange } from '../server.ts';
import type { CacheFills } from './cache-fills.ts';
import type { ReadCache } from './read-cache.ts';

/** A thousand blobs with several sources each. */
const bodyMaxBytes = 4 * 2 ** 20;
const sourcesMax = 100;
const pageMax = 1_000;
const priorityMax = 20;

export interface CacheRoutesDependencies {
  readonly cache: ReadCache;
  readonly fills: CacheFills;
  readonly identity: NodeIdentity;
  /** How long a sender may be silent, ms. */
  readonly uploadIdleMs: number;
}

/** `/cache`: what this node keeps because it was read. The caller was let in already. */
export class CacheRoutes {
  readonly #deps: CacheRoutesDependencies;

  constructor(dependencies: CacheRoutesDependencies) {
    this.#deps = dependencies;
  }

  async handle(exchange: Exchange): Promise<void> {
    switch (exchange.request.method) {
      case 'GET':
        return this.#list(exchange);
      case 'POST':
        return this.#fetch(exchange);
      case 'DELETE':
        return this.#drop(exchange);
      default:
        throw new StoreError('method-not-allowed', 'A cache knows GET, POST and DELETE.');
    }
  }

  async #list({ response, query }: Exchange): Promise<void> {
    const parameters = new URLSearchParams(query);
    const after = parameters.get('after');
    const limit = Number(parameters.get('limit') ?? pageMax);
    if (!Number.isInteger(limit) || limit < 1) {
      throw new StoreError('invalid-request', `A page has 1 to ${pageMax} blobs.`);
    }
    const { cache } = this.#deps;
    await cache.blobs.loaded;
    const from = after === null ? undefined : parseBlobId(after);
    sendJson(response, 200, cache.blobs.list(from, Math.min(limit, pageMax)));
  }

  async #fetch(exchange: Exchange): Promise<void> {
    const { cache, fills } = this.#deps;
    const { blobs, priority } = requestOf(await this.#body(exchange));
    if (cache.blobs.limitBytes === 0) {
      throw new StoreError('no-room', 'This node caches nothing.', {
        hint: 'Set DFS_CACHE_BYTES above 0, or choose another node.',
      });
    }
    const answer: { [Kind in keyof CacheAnswer]: CacheAnswer[Kind][number][] } = {
      accepted: [],
      present: [],
      refused: [],
    };
    for (const blob of blobs) {
      const outcome = await fills.add(blob, priority);
      if (typeof outcome === 'string') answer[outcome].push(blob.blobId);
      else answer.refused.push({ blobId: blob.blobId, reason: outcome.refused });
    }
    sendJson(exchange.response, 202, answer);
  }

  async #drop(exchange: Exchange): Promise<void> {
    const { cache, fills } = this.#deps;
    for (const blobId of dropOf(await this.#body(exchange)).blobIds) {
      fills.cancel(blobId);
      await cache.blobs.drop(blobId);
    }
    exchange.response.writeHead(204).end();
  }

  async #body({ request, askForBody }: Exchange): Promise<unknown> {
    const epoch = epochOf(request);
    const sizeBytes = Number(request.headers['content-length'] ?? Number.NaN);
    if (!(sizeBytes <= bodyMaxBytes)) throw badBody();
    askForBody();
    const { identity, uploadIdleMs: idleMs } = this.#deps;
    const body = await smallBodyOf(request, { sizeBytes, idleMs });
    await identity.obey(epoch);
    try {
      return JSON.parse(Buffer.from(body).toString());
    } catch {
      throw badBody();
    }
  }
}

function requestOf(body: unknown): CacheRequest {
  const { blobs, priority = 0 } = (body ?? {}) as Partial<CacheRequest>;
  const isPriority = Number.isInteger(priority) && Math.abs(priority) <= priorityMax;
  if (!isPriority || !isShort(blobs)) throw badBody();
  return { blobs: blobs.map(blobOf), priority };
}

function dropOf(body: unknown): CacheDrop {
  const { blobIds } = (body ?? {}) as Partial<CacheDrop>;
  if (!isShort(blobIds)) throw badBody();
  return { blobIds: blobIds.map((id) => parseBlobId(id)) };
}

function blobOf(blob: BlobToCache): BlobToCache {
  const { blobId, sizeBytes, md5, sources } = (blob ?? {}) as Partial<BlobToCache>;
  const isWellFormed =
    Number.isSafeInteger(sizeBytes) &&
    Number(sizeBytes) >= 0 &&
    typeof md5 === 'string' &&
    /^[0-9a-f]{32}$/.test(md5) &&
    Array.isArray(sources) &&
    sources.length <= sourcesMax;
  if (!isWellFormed) throw badBody();
  return {
    blobId: parseBlobId(String(blobId)),
    sizeBytes: Number(sizeBytes),
    md5,
    sources: sources.map(sourceOf),
  };
}

function sourceOf(source: SignedBlobSource): SignedBlobSource {
  const { nodeId, url, query = '' } = (source ?? {}) as Partial<SignedBlobSource>;
  const isWellFormed =
    typeof url === 'string' &&
    /^https?:\/\//.test(url) &&
    URL.canParse(url) &&
    typeof query === 'string';
  if (!isWellFormed) throw badBody();
  return { nodeId: parseNodeId(String(nodeId)), url: url.replace(/\/+$/, ''), query };
}

const isShort = <T>(list: readonly T[] | undefined): list is readonly T[] =>
  Array.isArray(list) && list.length <= blobsInCacheRequestMax;

const badBody = () =>
  new StoreError(
    'invalid-request',
    'The body is no order to a cache: { blobs: [{ blobId, sizeBytes, md5, sources: [{ nodeId, url }] }], priority }, or { blobIds } to let go; a thousand at most.',
    { hint: 'Run the same version of dfs everywhere.' },
  );
