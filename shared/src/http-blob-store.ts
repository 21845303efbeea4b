import { Readable } from 'node:stream';
import type { Pool } from 'undici';
import type {
  BlobBody,
  BlobPeer,
  BlobReceipt,
  BlobStore,
  DeleteOptions,
  InventoryPage,
  OpenedBlob,
  OpenOptions,
  PullRequest,
  PutOptions,
  StoredBlob,
} from './blob-store.ts';
import { type ByteRange, lengthOf } from './byte-range.ts';
import { errorOfAnswer, isStoreErrorKind, parseErrorBody, StoreError } from './errors.ts';
import type { BlobId, NodeId } from './ids.ts';
import { NetworkError, networkCodeOf } from './network-failure.ts';
import {
  exchange,
  makePool,
  type NodeAnswer,
  type NodeRequest,
  openAnswer,
} from './node-connection.ts';
import {
  blobPathOf,
  decodeHeaderJson,
  encodeHeaderJson,
  type NodeStatus,
  nodeHeaders,
  nodeLimits,
} from './node-protocol.ts';
import { putStream } from './streamed-put.ts';
import { makeUploadAgent } from './upload-agent.ts';

export { NetworkError, networkCodeOf } from './network-failure.ts';

/** How a request to a node went: not ok when no answer came or a broken one, which is what makes a node suspect. */
export type NodeOutcome =
  | { readonly ok: true }
  | { readonly ok: false; readonly code: string; readonly error: StoreError };

export interface HttpBlobStoreOptions {
  /** The node that every request is meant for; another one answers `wrong-node`. */
  readonly nodeId: NodeId;
  /** The node's address of the moment, without a trailing slash; asked before each request. */
  readonly url: () => string;
  readonly clusterKey?: string | undefined;
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
/** A pull is given this time and, beyond it, a second for each MiB. */
const pullLimitMs = (sizeBytes: number) => 60_000 + Math.ceil(sizeBytes / 2 ** 20) * 1_000;

/** A storage node seen from afar. Speaks `node-protocol.ts`; failures on the way become `unavailable` with the network's error as cause. */
export class HttpBlobStore implements BlobStore, BlobPeer {
  readonly nodeId: NodeId;
  readonly #options: HttpBlobStoreOptions;
  readonly #limits: Required<NodeLimits>;
  /** Names and values by turns. */
  readonly #baseHeaders: readonly string[];
  readonly #agent = makeUploadAgent();
  #address: NodeAddress | undefined;
  #isClosed = false;

  constructor(options: HttpBlobStoreOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
    this.#limits = { durableMs, ...nodeLimits, ...options.limits };
    const key = options.clusterKey;
    this.#baseHeaders = [
      nodeHeaders.node,
      options.nodeId,
      ...(key === undefined ? [] : ['authorization', `Bearer ${key}`]),
    ];
  }

  async put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    const headers = this.#changingHeaders();
    headers.push(nodeHeaders.description, encodeHeaderJson(options.description));
    if (options.expectedMd5 !== undefined) headers.push(nodeHeaders.md5, options.expectedMd5);
    const answer =
      body instanceof Uint8Array && !options.whole
        ? await this.#putBytes(id, body, headers, options)
        : await this.#putStream(id, body, headers, options);
    return this.#json(this.#expect(answer, 201));
  }

  async open(id: BlobId, { range, signal }: OpenOptions = {}): Promise<OpenedBlob> {
    if (range && range.end <= range.start) throw unsatisfiable(range);
    const headers = [...this.#baseHeaders];
    if (range) headers.push('range', `bytes=${range.start}-${range.end - 1}`);
    const { pool, prefix } = this.#connect();
    const request: NodeRequest = {
      method: 'GET',
      path: prefix + blobPathOf(id),
      headers,
      headersMs: this.#limits.headersMs,
      idleMs: this.#limits.idleMs,
      signal,
    };
    const failed = (error: Error) => this.#failure(error);
    const answer = await openAnswer(pool, request, failed).catch((error) => {
      throw failed(error);
    });
    this.#options.onOutcome?.({ ok: true });
    if (!('bytes' in answer)) throw this.#refusalOf(answer);
    if (range && answer.sizeBytes !== lengthOf(range)) {
      answer.bytes.destroy();
      // Servers cut a range that reaches past the end; here it is refused.
      if (answer.status === 206) throw unsatisfiable(range);
      throw this.#failure(new NetworkError('UND_ERR_SOCKET', 'the range was not heeded'));
    }
    return { bytes: answer.bytes, sizeBytes: answer.sizeBytes };
  }

  async describe(id: BlobId): Promise<StoredBlob | undefined> {
    const headers = [...this.#baseHeaders, nodeHeaders.wantDescription, '1'];
    const answer = await this.#ask('HEAD', blobPathOf(id), headers, {});
    if (answer.headers[nodeHeaders.error] === 'not-found') return undefined;
    const text = this.#expect(answer, 200).headers[nodeHeaders.description];
    return this.#understood(() => decodeHeaderJson(String(text)) as StoredBlob);
  }

  async delete(id: BlobId, { expiresAtMs }: DeleteOptions): Promise<void> {
    const headers = this.#changingHeaders();
    headers.push(nodeHeaders.expires, String(expiresAtMs));
    this.#expect(await this.#ask('DELETE', blobPathOf(id), headers, {}), 204);
  }

  async pull(pull: PullRequest, signal?: AbortSignal): Promise<BlobReceipt> {
    const headers = this.#changingHeaders();
    headers.push('content-type', 'application/json');
    const body = JSON.stringify(pull);
    const headersMs = pullLimitMs(pull.sizeBytes);
    return this.#json(
      this.#expect(await this.#ask('POST', '/pull', headers, { body, headersMs, signal }), 200),
    );
  }

  async inventory(after: string | undefined, limit: number): Promise<InventoryPage> {
    const query = new URLSearchParams({
      ...(after === undefined ? {} : { after }),
      limit: String(limit),
    });
    return this.#get<InventoryPage>(`/inventory?${query}`);
  }

  async status(signal?: AbortSignal): Promise<NodeStatus> {
    return this.#get<NodeStatus>('/status', signal);
  }

  /** Ends its connections and what runs on them. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#agent.destroy();
    await this.#address?.pool.destroy();
  }

  #putBytes(
    id: BlobId,
    body: Uint8Array,
    headers: string[],
    options: PutOptions,
  ): Promise<NodeAnswer> {
    const { sizeBytes, signal } = options;
    if (sizeBytes !== undefined && sizeBytes !== body.byteLength) {
      const message = `The body has ${body.byteLength} bytes instead of the ${sizeBytes} that were announced.`;
      throw new StoreError('incomplete-body', message);
    }
    // The answer comes when the bytes are durable, and a busy disk is no silent node.
    return this.#ask('PUT', blobPathOf(id), headers, {
      body,
      headersMs: this.#limits.idleMs,
      signal,
    });
  }

  async #putStream(
    id: BlobId,
    body: BlobBody,
    headers: string[],
    options: PutOptions,
  ): Promise<NodeAnswer> {
    const { sizeBytes, signal, whole } = options;
    const source = body instanceof Uint8Array ? Readable.from([body], { objectMode: false }) : body;
    const fields: Record<string, string> = {};
    for (let i = 0; i + 1 < headers.length; i += 2)
      fields[headers[i] as string] = headers[i + 1] as string;
    let refusal: { readonly error: unknown } | undefined;
    const trailers = (receipt: BlobReceipt) => {
      try {
        const facts = whole?.(receipt);
        return { [nodeHeaders.whole]: facts ? encodeHeaderJson(facts) : '-' };
      } catch (error) {
        refusal = { error };
        throw error;
      }
    };
    if (whole) Object.assign(fields, { [nodeHeaders.part]: '1', trailer: nodeHeaders.whole });
    // Trailers exist only behind a chunked body.
    if (whole || sizeBytes === undefined) fields['transfer-encoding'] = 'chunked';
    if (sizeBytes !== undefined)
      fields[whole ? nodeHeaders.size : 'content-length'] = String(sizeBytes);
    try {
      const { host, port, prefix } = this.#connect();
      const answer = await putStream({
        agent: this.#agent,
        host,
        port,
        path: prefix + blobPathOf(id),
        headers: fields,
        body: source,
        sizeBytes,
        trailers: whole ? trailers : undefined,
        limits: this.#limits,
        signal,
      });
      this.#options.onOutcome?.({ ok: true });
      return answer;
    } catch (error) {
      if (refusal) throw refusal.error;
      throw this.#failure(error);
    } finally {
      source.destroy();
    }
  }

  async #get<Body>(path: string, signal?: AbortSignal): Promise<Body> {
    return this.#json<Body>(
      this.#expect(await this.#ask('GET', path, [...this.#baseHeaders], { signal }), 200),
    );
  }

  #changingHeaders(): string[] {
    return [...this.#baseHeaders, nodeHeaders.epoch, String(this.#options.epoch())];
  }

  async #ask(
    method: NodeRequest['method'],
    path: string,
    headers: string[],
    rest: Partial<Pick<NodeRequest, 'body' | 'headersMs' | 'signal'>>,
  ): Promise<NodeAnswer> {
    const { pool, prefix } = this.#connect();
    const { headersMs, idleMs } = this.#limits;
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
      throw this.#failure(error);
    }
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
    const { origin, hostname, port, pathname } = new URL(url);
    this.#address = {
      url,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || 80,
      prefix: pathname.replace(/\/+$/, ''),
      pool: makePool(origin, this.#limits.connectMs),
    };
    return this.#address;
  }

  #expect(answer: NodeAnswer, status: number): NodeAnswer {
    if (answer.status === status) return answer;
    throw this.#refusalOf(answer);
  }

  /**
   * What a node says in our words, in a body or, where there is none, in a header. Anything else comes from another program, whose 404 must not
   * let a blob count as lost.
   */
  #refusalOf({ status, headers, body }: NodeAnswer): StoreError {
    const kind = headers[nodeHeaders.error];
    const text = body.toString();
    const retryAfter = textOf(headers['retry-after']);
    if (parseErrorBody(text)) return errorOfAnswer(status, text, retryAfter);
    if (isStoreErrorKind(kind)) {
      const message = `The node ${this.nodeId} answered ${status} (${kind}).`;
      return errorOfAnswer(status, JSON.stringify({ error: { code: kind, message } }), retryAfter);
    }
    return this.#failure(
      new NetworkError('UND_ERR_SOCKET', `status ${status} that is not of a node`),
    );
  }

  #json<Body>(answer: NodeAnswer): Body {
    return this.#understood(() => JSON.parse(answer.body.toString()) as Body);
  }

  #understood<Meaning>(read: () => Meaning): Meaning {
    try {
      return read();
    } catch {
      throw this.#failure(new NetworkError('UND_ERR_SOCKET', 'an answer that makes no sense'));
    }
  }

  /** What a caller is told of a failure on the way; our own errors (a cancelled request, a broken body) say nothing of the node. */
  #failure(cause: unknown): StoreError {
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
}

interface NodeAddress {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  /** Path before those of the protocol. */
  readonly prefix: string;
  readonly pool: Pool;
}

const unsatisfiable = (range: ByteRange) =>
  new StoreError(
    'range-not-satisfiable',
    `Bytes ${range.start} to ${range.end} are not all inside the blob.`,
  );

const textOf = (value: string | string[] | undefined) => (Array.isArray(value) ? value[0] : value);
