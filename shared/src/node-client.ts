import type { Agent } from 'node:http';
import type { Readable } from 'node:stream';
import type { SecureContext } from 'node:tls';
import type { Pool } from 'undici';
import type { BlobReceipt } from './blob-store.ts';
import type { ClusterKeyring } from './cluster-keyring.ts';
import { errorOfAnswer, isStoreErrorKind, parseErrorBody, StoreError } from './errors.ts';
import type { NodeId } from './ids.ts';
import { NetworkError, networkCodeOf } from './network-failure.ts';
import {
  exchange,
  makePool,
  type NodeAnswer,
  type NodeRequest,
  type OpenAnswer,
  openAnswer,
} from './node-connection.ts';
import { nodeHeaders, nodeLimits } from './node-protocol.ts';
import { putStream } from './streamed-put.ts';
import { makeTlsUploadAgent, makeUploadAgent } from './upload-agent.ts';

/** How a request to a node went: not ok when no answer came or a broken one, which is what makes a node suspect. */
export type NodeOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly error: StoreError };

export interface NodeClientOptions {
  /** The node that every request is meant for; another one answers `wrong-node`. */
  readonly nodeId: NodeId;
  /** The node's address of the moment, without a trailing slash; asked before each request. */
  readonly url: () => string;
  /** Absent: a cluster without a key. */
  readonly keyring?: ClusterKeyring | undefined;
  /** Checks the certificates of nodes, from `tlsTrustOf`; absent: what Node.js trusts anyway. */
  readonly trust?: SecureContext | undefined;
  /** The database's epoch, for requests that change something. */
  readonly epoch: () => number;
  readonly limits?: NodeLimits;
  /** Called for every request but cancelled ones: at its answer, and again when a body that is being read breaks off. */
  readonly onOutcome?: (outcome: NodeOutcome) => void;
}

/** How long to wait for a node, ms. */
export interface NodeLimits {
  readonly connectMs: number;
  readonly headersMs: number;
  readonly idleMs: number;
  /** From the last byte of a put to its answer; 60 s by default, since a segment of 1 GiB is made durable then. */
  readonly durableMs?: number;
}

const durableMs = 60_000;

/**
 * Requests to one node in the words of `node-protocol.ts`, at the address that it has at the moment; failures on the way become `unavailable` with the network's error as cause.
 */
export class NodeClient {
  readonly nodeId: NodeId;
  readonly limits: Required<NodeLimits>;
  readonly #options: NodeClientOptions;
  readonly #agents: { plain?: Agent; tls?: Agent } = {};
  #address: NodeAddress | undefined;
  #isClosed = false;

  constructor(options: NodeClientOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
    this.limits = { durableMs, ...nodeLimits, ...options.limits };
  }

  /** Of a request that only reads, names and values by turns; the caller may add to them. */
  readingHeaders(): string[] {
    const key = this.#options.keyring?.current();
    const headers: string[] = [nodeHeaders.node, this.nodeId];
    if (key !== undefined) headers.push('authorization', `Bearer ${key}`);
    return headers;
  }

  changingHeaders(): string[] {
    const headers = this.readingHeaders();
    headers.push(nodeHeaders.epoch, String(this.#options.epoch()));
    return headers;
  }

  async ask(
    method: NodeRequest['method'],
    path: string,
    headers: string[],
    rest: Partial<Pick<NodeRequest, 'body' | 'headersMs' | 'signal'>>,
  ): Promise<NodeAnswer> {
    const { pool, prefix } = this.#connect();
    const { headersMs, idleMs } = this.limits;
    try {
      const answer = await exchange(pool, {
        method,
        path: prefix + path,
        headers,
        headersMs,
        idleMs,
        ...rest,
      });
      this.#options.onOutcome?.({ ok: true });
      return answer;
    } catch (error) {
      throw this.failure(error);
    }
  }

  async get<Body>(path: string, signal?: AbortSignal): Promise<Body> {
    return this.json<Body>(
      this.expect(await this.ask('GET', path, this.readingHeaders(), { signal }), 200),
    );
  }

  /** A body that is read as it comes. */
  async open(path: string, headers: string[], signal: AbortSignal | undefined) {
    const { pool, prefix } = this.#connect();
    const { headersMs, idleMs } = this.limits;
    const request: NodeRequest = {
      method: 'GET',
      path: prefix + path,
      headers,
      headersMs,
      idleMs,
      signal,
    };
    const failed = (error: Error) => this.failure(error);
    const answer: NodeAnswer | OpenAnswer = await openAnswer(pool, request, failed).catch(
      (error) => {
        throw failed(error);
      },
    );
    this.#options.onOutcome?.({ ok: true });
    if (!('bytes' in answer)) throw this.refusalOf(answer);
    return answer;
  }

  /** Sends a stream, which is destroyed in any case. `trailers`: see `putStream`; what it throws is thrown. */
  async put(
    path: string,
    headers: readonly string[],
    body: Readable,
    {
      sizeBytes,
      trailers,
      signal,
    }: {
      readonly sizeBytes?: number | undefined;
      readonly trailers?: ((receipt: BlobReceipt) => Record<string, string>) | undefined;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<NodeAnswer> {
    const fields: Record<string, string> = {};
    for (let i = 0; i + 1 < headers.length; i += 2)
      fields[headers[i] as string] = headers[i + 1] as string;
    // Trailers exist only behind a chunked body.
    if (trailers || sizeBytes === undefined) fields['transfer-encoding'] = 'chunked';
    if (sizeBytes !== undefined)
      fields[trailers ? nodeHeaders.size : 'content-length'] = String(sizeBytes);
    let refusal: { readonly error: unknown } | undefined;
    const guarded =
      trailers &&
      ((receipt: BlobReceipt) => {
        try {
          return trailers(receipt);
        } catch (error) {
          refusal = { error };
          throw error;
        }
      });
    try {
      const { isTls, host, port, prefix } = this.#connect();
      const answer = await putStream({
        agent: this.#agentFor(isTls),
        isTls,
        host,
        port,
        path: prefix + path,
        headers: fields,
        body,
        sizeBytes,
        trailers: guarded,
        limits: this.limits,
        signal,
      });
      this.#options.onOutcome?.({ ok: true });
      return answer;
    } catch (error) {
      if (refusal) throw refusal.error;
      throw this.failure(error);
    } finally {
      body.destroy();
    }
  }

  expect(answer: NodeAnswer, status: number): NodeAnswer {
    if (answer.status === status) return answer;
    throw this.refusalOf(answer);
  }

  /**
   * What a node says in our words, in a body or, where there is none, in a header. Anything else comes from another program, whose 404 must not
   * let a blob count as lost.
   */
  refusalOf({ status, headers, body }: NodeAnswer): StoreError {
    const kind = headers[nodeHeaders.error];
    const text = body.toString();
    const retryAfter = textOf(headers['retry-after']);
    if (parseErrorBody(text)) return errorOfAnswer(status, text, retryAfter);
    if (isStoreErrorKind(kind)) {
      const message = `The node ${this.nodeId} answered ${status} (${kind}).`;
      return errorOfAnswer(status, JSON.stringify({ error: { code: kind, message } }), retryAfter);
    }
    return this.failure(
      new NetworkError('UND_ERR_SOCKET', `status ${status} that is not of a node`),
    );
  }

  json<Body>(answer: NodeAnswer): Body {
    return this.understood(() => JSON.parse(answer.body.toString()) as Body);
  }

  understood<Meaning>(read: () => Meaning): Meaning {
    try {
      return read();
    } catch {
      throw this.failure(new NetworkError('UND_ERR_SOCKET', 'an answer that makes no sense'));
    }
  }

  /** What a caller is told of a failure on the way; our own errors (a cancelled request, a broken body) say nothing of the node. */
  failure(cause: unknown): StoreError {
    if (cause instanceof StoreError) return cause;
    const reason = cause instanceof Error ? cause.message || networkCodeOf(cause) : String(cause);
    const error = new StoreError(
      'unavailable',
      `The node ${this.nodeId} at ${this.#options.url()} gave no answer: ${reason}`,
      { cause },
    );
    if (!this.#isClosed)
      this.#options.onOutcome?.({ ok: false, code: networkCodeOf(error), error });
    return error;
  }

  /** Ends its connections and what runs on them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#agents.plain?.destroy();
    this.#agents.tls?.destroy();
    await this.#address?.pool.destroy();
  }

  #agentFor(isTls: boolean): Agent {
    if (!isTls) {
      this.#agents.plain ??= makeUploadAgent();
      return this.#agents.plain;
    }
    this.#agents.tls ??= makeTlsUploadAgent(this.#options.trust);
    return this.#agents.tls;
  }

  /** The connections to the address of the moment; requests under way to an earlier one end there. */
  #connect(): NodeAddress {
    const url = this.#options.url();
    if (this.#address?.url === url) return this.#address;
    this.#address?.pool.close().catch(() => undefined);
    this.#address = undefined;
    if (!URL.canParse(url)) {
      throw new StoreError(
        'unavailable',
        `The node ${this.nodeId} has no usable address (${JSON.stringify(url)}).`,
      );
    }
    const { origin, protocol, hostname, port, pathname } = new URL(url);
    const isTls = protocol === 'https:';
    this.#address = {
      url,
      host: hostname.replace(/^\[|\]$/g, ''),
      isTls,
      port: Number(port) || (isTls ? 443 : 80),
      prefix: pathname.replace(/\/+$/, ''),
      pool: makePool(origin, this.limits.connectMs, this.#options.trust),
    };
    return this.#address;
  }
}

interface NodeAddress {
  readonly url: string;
  readonly isTls: boolean;
  readonly host: string;
  readonly port: number;
  /** Path before those of the protocol. */
  readonly prefix: string;
  readonly pool: Pool;
}

const textOf = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value);
