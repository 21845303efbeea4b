import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import {
  httpStatusOf,
  type NodeStatus,
  type PullRequest,
  parseBlobId,
  parseNodeId,
  StoreError,
} from '@dfs/shared';
import type { Logger, ServerTls } from '@dfs/shared/cluster';
import { sendError, sendJson } from './answers.ts';
import { epochOf } from './blob-headers.ts';
import { BlobRoutes, type BlobRoutesDependencies } from './blob-routes.ts';
import type { CacheFills } from './cache/cache-fills.ts';
import { CacheRoutes } from './cache/cache-routes.ts';
import type { ReadCache } from './cache/read-cache.ts';
import type { DiskJournal } from './journal/disk-journal.ts';
import { JournalRoutes } from './journal-routes.ts';
import { smallBodyOf } from './request-body.ts';
import type { Scrubber } from './scrubber.ts';

export interface NodeServerDependencies extends BlobRoutesDependencies {
  readonly tls: ServerTls;
  readonly journal: DiskJournal;
  readonly cache: ReadCache;
  readonly fills: CacheFills;
  readonly status: () => NodeStatus;
  /** Text of `/metrics` and its content type. */
  readonly scrubber: Pick<Scrubber, 'scrubNow' | 'status'>;
  readonly metrics: () => Promise<{ contentType: string; text: string }>;
  readonly logger: Logger;
}

/** A description may carry a path of 4 096 bytes, each of them escaped. */
const headersMaxBytes = 64 * 1024;
const pullBodyMaxBytes = 64 * 1024;
const pageMax = 1_000;

/** One request with its URL taken apart. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly path: string;
  readonly query: string;
  /** Sends "100 Continue" where the sender waits for it. */
  readonly askForBody: () => void;
}

/** A storage node over HTTP: `node-protocol.ts` in `shared` says what it speaks. */
export function createNodeServer(dependencies: NodeServerDependencies): Server {
  const routes = new NodeRoutes(dependencies);
  const server = dependencies.tls.createServer(
    {
      maxHeaderSize: headersMaxBytes,
      // Uploads may take hours; silence is watched per request.
      requestTimeout: 0,
      headersTimeout: 15_000,
      // Longer than those of all clients, so that none meets a connection that is being closed.
      keepAliveTimeout: 65_000,
    },
    (request, response) => routes.handle(request, response, false),
  );
  // None is dropped for being one too many; their length is limited.
  server.maxHeadersCount = 0;
  server.on('checkContinue', (request, response) => routes.handle(request, response, true));
  return server;
}

class NodeRoutes {
  readonly #deps: NodeServerDependencies;
  readonly #blobs: BlobRoutes;
  readonly #journal: JournalRoutes;
  readonly #cache: CacheRoutes;

  constructor(dependencies: NodeServerDependencies) {
    this.#deps = dependencies;
    this.#blobs = new BlobRoutes(dependencies);
    this.#journal = new JournalRoutes(dependencies);
    this.#cache = new CacheRoutes(dependencies);
  }

  handle(request: IncomingMessage, response: ServerResponse, waitsForContinue: boolean): void {
    let isBodyWanted = !waitsForContinue;
    const askForBody = () => {
      if (isBodyWanted) return;
      isBodyWanted = true;
      response.writeContinue();
    };
    const url = request.url ?? '/';
    const queryAt = url.indexOf('?');
    const path = queryAt < 0 ? url : url.slice(0, queryAt);
    const query = queryAt < 0 ? '' : url.slice(queryAt + 1);
    response.on('error', ignore);
    const { counters } = this.#deps;
    counters.requestsNow += 1;
    response.once('close', () => {
      counters.requestsNow -= 1;
    });
    this.#route({ request, response, path, query, askForBody }).catch((error) => {
      this.#note(error, request, path);
      sendError(request, response, error, { isBodyWanted });
    });
  }

  async #route(exchange: Exchange): Promise<void> {
    const { request, response, path, query, askForBody } = exchange;
    if (path.startsWith('/blobs/')) {
      const idText = path.slice('/blobs/'.length);
      return this.#blobs.handle(request, response, { idText, query, askForBody });
    }
    if (path === '/healthz') return sendText(response, 'text/plain', 'ok\n');
    this.#deps.access.mustBeCluster(request);
    if (path === '/metrics') {
      const { contentType, text } = await this.#deps.metrics();
      return sendText(response, contentType, text);
    }
    this.#deps.access.mustBeMeantForUs(request);
    if (path === '/journal' || path.startsWith('/journal/')) return this.#journal.handle(exchange);
    if (path === '/cache') return this.#cache.handle(exchange);
    switch (`${request.method} ${path}`) {
      case 'GET /status':
        return sendJson(response, 200, this.#deps.status());
      case 'GET /inventory':
        return this.#inventory(exchange);
      case 'GET /scrub':
        return sendJson(response, 200, this.#deps.scrubber.status());
      case 'POST /scrub':
        return this.#scrub(exchange);
      case 'POST /pull':
        return this.#pull(exchange);
      default:
        throw new StoreError('not-found', `A storage node has no ${request.method} ${path}.`, {
          hint: 'Users and the dfs command speak to the master.',
        });
    }
  }

  async #inventory({ response, query }: Exchange): Promise<void> {
    const parameters = new URLSearchParams(query);
    const after = parameters.get('after') ?? undefined;
    const limit = Number(parameters.get('limit') ?? pageMax);
    if (!Number.isInteger(limit) || limit < 1) {
      throw new StoreError('invalid-request', `A page has 1 to ${pageMax} blobs.`);
    }
    sendJson(response, 200, await this.#deps.store.inventory(after, Math.min(limit, pageMax)));
  }

  async #scrub({ request, response }: Exchange): Promise<void> {
    const { identity, scrubber } = this.#deps;
    await identity.obey(epochOf(request));
    sendJson(response, 202, scrubber.scrubNow());
  }

  async #pull({ request, response, askForBody }: Exchange): Promise<void> {
    const { store, identity, counters, uploadIdleMs: idleMs } = this.#deps;
    const epoch = epochOf(request);
    const sizeBytes = Number(request.headers['content-length'] ?? Number.NaN);
    if (!(sizeBytes <= pullBodyMaxBytes)) {
      throw new StoreError('invalid-request', 'A pull is a short JSON body of known length.');
    }
    askForBody();
    const pull = pullOf(await smallBodyOf(request, { sizeBytes, idleMs }));
    await identity.obey(epoch);
    const controller = new AbortController();
    const left = () => controller.abort();
    response.once('close', left);
    const receipt = await store.pull(pull, controller.signal);
    response.off('close', left);
    counters.pullCount += 1;
    counters.pullBytes += receipt.sizeBytes;
    sendJson(response, 200, receipt);
  }

  /**
   * Refusals are for the caller to tell; what is our own failure goes to the log here, where it
   * stops.
   */
  #note(error: unknown, { method }: IncomingMessage, path: string): void {
    const { counters, logger } = this.#deps;
    const kind = error instanceof StoreError ? error.kind : 'internal';
    counters.errors.set(kind, (counters.errors.get(kind) ?? 0) + 1);
    // A damaged copy has its line where it was found.
    if (httpStatusOf[kind] >= 500 && kind !== 'corrupt')
      logger.warn('request failed', { method, path, kind, error });
    else logger.debug('request refused', { method, path, kind, error });
  }
}

const ignore = () => undefined;

function sendText(response: ServerResponse, contentType: string, text: string): void {
  response.writeHead(200, [
    'content-type',
    contentType,
    'content-length',
    String(Buffer.byteLength(text)),
  ]);
  response.end(text);
}

function pullOf(body: Uint8Array): PullRequest {
  const { blobId, source, sizeBytes, md5 } = jsonOf(body);
  const isWellFormed =
    typeof source?.url === 'string' &&
    /^https?:\/\//.test(source.url) &&
    URL.canParse(source.url) &&
    Number.isSafeInteger(sizeBytes) &&
    Number(sizeBytes) >= 0 &&
    typeof md5 === 'string' &&
    /^[0-9a-f]{32}$/.test(md5);
  if (!isWellFormed) throw badPull();
  return {
    blobId: parseBlobId(String(blobId)),
    source: { nodeId: parseNodeId(String(source.nodeId)), url: source.url.replace(/\/+$/, '') },
    sizeBytes: Number(sizeBytes),
    md5,
  };
}

function jsonOf(body: Uint8Array): Partial<PullRequest> {
  try {
    const value: unknown = JSON.parse(Buffer.from(body).toString());
    if (typeof value === 'object' && value !== null) return value as Partial<PullRequest>;
  } catch {
    // Said below.
  }
  throw badPull();
}

const badPull = () =>
  new StoreError(
    'invalid-request',
    'The body is no pull: { blobId, source: { nodeId, url }, sizeBytes, md5 }.',
    {
      hint: 'Run the same version of dfs everywhere.',
    },
  );
