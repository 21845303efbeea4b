import { once } from 'node:events';
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import { pipeline } from 'node:stream/promises';
import type { SecureContext } from 'node:tls';
import { forwardedHeaders, type NodeId, StoreError, senderPauses } from '@dfs/shared';
import { type ClusterKeyring, makeTlsUploadAgent, makeUploadAgent } from '@dfs/shared/cluster';
import { type Client, discardBody, type HttpExchange, refusedBody } from '@dfs/shared/serving';
import { RequestBody } from '../request-body.ts';
import { silentMaster } from './silent-master.ts';

/** How long the connection to the master may take. What it does then takes its own time. */
const connectMs = 2_000;
const connectionsKept = 64;
/** A reader that takes nothing for so long is cut off. */
const readerIdleMs = 600_000;

/** Of the connection, not of the message (RFC 9110 section 7.6.1); what the client says of its proxies was judged here. */
const hopHeaders: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'upgrade',
]);
/** What says where a message ends and whom it is for goes on, whatever a client calls it. */
const lastingHeaders: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'transfer-encoding',
]);
const replacedHeaders: ReadonlySet<string> = new Set([
  ...Object.values(forwardedHeaders),
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
]);

export interface ForwarderOptions {
  /** The master's management port. */
  readonly masterUrl: string;
  readonly nodeId: NodeId;
  readonly keyring: ClusterKeyring;
  /** Checks the master's certificate; absent: what Node.js trusts anyway. */
  readonly trust: SecureContext | undefined;
  /** How long a sender may be silent, ms. */
  readonly senderIdleMs?: number;
}

/** Passes requests on to the master for clients of this node, and its answers back as they are; bodies stream both ways. */
export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #agent: Agent;
  readonly #url: URL;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#url = new URL(options.masterUrl);
    this.#agent = this.#isTls
      ? makeTlsUploadAgent(options.trust, connectionsKept)
      : makeUploadAgent(connectionsKept);
  }

  /**
   * Resolves once the client has the whole answer. Rejects with `unavailable` when the master gives none, with `cancelled` when the client goes away; a connection is cut
   * where an answer breaks off in the middle.
   */
  async forward(exchange: HttpExchange, client: Client): Promise<void> {
    const { request, response, signal } = exchange;
    const upstream = this.#begin(exchange, client);
    const stop = () => upstream.destroy();
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    // It may fail while nobody waits for it.
    upstream.on('error', () => undefined);
    try {
      const sent = this.#send(exchange, upstream);
      const answer = await this.#answerOf(upstream, signal);
      const isBodyLeft = !request.complete;
      const headers = endToEnd(answer, ['transfer-encoding']);
      if (isBodyLeft) headers.push('Connection', 'close');
      response.setTimeout(readerIdleMs);
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers);
      await pipeline(answer, response, { end: !isBodyLeft });
      if (!isBodyLeft) return;
      // The answer is out before the connection closes, and what is still coming is taken in: else the client might see a reset instead of it.
      upstream.destroy();
      await sent;
      await discardBody(request, refusedBody);
      response.end(() => request.destroy());
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  get #isTls(): boolean {
    return this.#url.protocol === 'https:';
  }

  #begin(exchange: HttpExchange, client: Client): ClientRequest {
    const { hostname, port, pathname } = this.#url;
    const { request } = exchange;
    const upstream = (this.#isTls ? httpsRequest : httpRequest)({
      agent: this.#agent,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (this.#isTls ? 443 : 80),
      method: request.method ?? 'GET',
      path: prefixed(pathname, request.url ?? '/'),
      headers: [...endToEnd(request, replacedHeaders), ...this.#added(exchange, client)],
      setHost: false,
    });
    const timer = setTimeout(() => upstream.destroy(new Error('no connection')), connectMs);
    const connected = () => clearTimeout(timer);
    upstream.once('close', connected).once('socket', (socket) => {
      if (socket.connecting) socket.once(this.#isTls ? 'secureConnect' : 'connect', connected);
      else connected();
    });
    return upstream;
  }

  #added({ id }: HttpExchange, { address, baseUrl }: Client): string[] {
    const { keyring, nodeId } = this.#options;
    const key = keyring.current();
    const added = [forwardedHeaders.clientAddress, address, forwardedHeaders.nodeId, nodeId];
    added.push('X-Request-Id', id);
    if (key !== undefined) added.push(forwardedHeaders.key, key);
    if (baseUrl !== undefined) added.push(forwardedHeaders.clientUrl, baseUrl);
    return added;
  }

  /** Sends the body, with its trailers. Never rejects: what the master makes of it is in its answer. */
  async #send(exchange: HttpExchange, upstream: ClientRequest): Promise<void> {
    const { request } = exchange;
    const { senderIdleMs: idleMs = senderPauses.forwarderMs } = this.#options;
    const { 'content-length': length = '0', 'transfer-encoding': encoding } = request.headers;
    if (encoding === undefined && length === '0') {
      upstream.end();
      return;
    }
    if (exchange.awaitsContinue) {
      upstream.flushHeaders();
      upstream.once('continue', () => exchange.inviteBody());
    }
    const body = new RequestBody({ request, idleMs, onFirstRead: () => undefined });
    try {
      await pipeline(body, upstream, { end: false });
      if (Object.keys(request.trailers).length > 0)
        upstream.addTrailers(request.trailers as Record<string, string>);
      upstream.end();
    } catch (error) {
      // What did not come whole must not look whole.
      if (error instanceof StoreError) upstream.destroy();
    }
  }

  async #answerOf(upstream: ClientRequest, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      const [answer] = (await once(upstream, 'response')) as [IncomingMessage];
      return answer;
    } catch (cause) {
      if (signal.aborted) throw new StoreError('cancelled', 'The client went away.', { cause });
      throw silentMaster(cause);
    }
  }
}

/** Headers that go on to the next hop, names and values by turns. `others` do not. */
function endToEnd({ rawHeaders, headers }: IncomingMessage, others: Iterable<string>): string[] {
  const named = String(headers.connection ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => !lastingHeaders.has(name));
  const dropped = new Set([...hopHeaders, ...named, ...others]);
  const kept: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (!dropped.has(name.toLowerCase())) kept.push(name, rawHeaders[i + 1] as string);
  }
  return kept;
}

/** The target as it came, below the path of the master's own address where that has one. */
function prefixed(pathname: string, target: string): string {
  const prefix = pathname.replace(/\/+$/, '');
  return prefix === '' || !target.startsWith('/') ? target : prefix + target;
}
