import { Readable } from 'node:stream';
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
import { StoreError } from './errors.ts';
import { HttpCache } from './http-cache.ts';
import { HttpJournal } from './http-journal.ts';
import type { BlobId, NodeId } from './ids.ts';
import { NetworkError } from './network-failure.ts';
import { NodeClient, type NodeClientOptions } from './node-client.ts';
import type { NodeAnswer } from './node-connection.ts';
import {
  blobPathOf,
  decodeHeaderJson,
  encodeHeaderJson,
  type NodeStatus,
  nodeHeaders,
} from './node-protocol.ts';
import type { ScrubbingNode, ScrubStatus } from './scrub-messages.ts';

export { NetworkError, networkCodeOf } from './network-failure.ts';
export type { NodeLimits, NodeOutcome } from './node-client.ts';

export type HttpBlobStoreOptions = NodeClientOptions;

/** A pull is given this time and, beyond it, a second for each MiB. */
const pullLimitMs = (sizeBytes: number) => 60_000 + Math.ceil(sizeBytes / 2 ** 20) * 1_000;

/** A storage node seen from afar. Speaks `node-protocol.ts`; failures on the way become `unavailable` with the network's error as cause. */
export class HttpBlobStore implements BlobStore, BlobPeer, ScrubbingNode {
  readonly nodeId: NodeId;
  /** What the node keeps of the journal, by the same connections. */
  readonly journal: HttpJournal;
  /** What the node keeps because it was read. */
  readonly cache: HttpCache;
  readonly #node: NodeClient;

  constructor(options: HttpBlobStoreOptions) {
    this.nodeId = options.nodeId;
    this.#node = new NodeClient(options);
    this.cache = new HttpCache(this.#node);
    this.journal = new HttpJournal(this.#node);
  }

  async put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    const headers = this.#node.changingHeaders();
    headers.push(nodeHeaders.description, encodeHeaderJson(options.description));
    if (options.expectedMd5 !== undefined) headers.push(nodeHeaders.md5, options.expectedMd5);
    const answer =
      body instanceof Uint8Array && !options.whole
        ? await this.#putBytes(id, body, headers, options)
        : await this.#putStream(id, body, headers, options);
    return this.#node.json(this.#node.expect(answer, 201));
  }

  async open(id: BlobId, { range, signal }: OpenOptions = {}): Promise<OpenedBlob> {
    if (range && range.end <= range.start) throw unsatisfiable(range);
    const headers = this.#node.readingHeaders();
    if (range) headers.push('range', `bytes=${range.start}-${range.end - 1}`);
    const answer = await this.#node.open(blobPathOf(id), headers, signal);
    if (range && answer.sizeBytes !== lengthOf(range)) {
      answer.bytes.destroy();
      // Servers cut a range that reaches past the end; here it is refused.
      if (answer.status === 206) throw unsatisfiable(range);
      throw this.#node.failure(new NetworkError('UND_ERR_SOCKET', 'the range was not heeded'));
    }
    const isCached = answer.headers[nodeHeaders.cached] === '1';
    return { bytes: answer.bytes, sizeBytes: answer.sizeBytes, ...(isCached ? { isCached } : {}) };
  }

  async describe(id: BlobId): Promise<StoredBlob | undefined> {
    const headers = [...this.#node.readingHeaders(), nodeHeaders.wantDescription, '1'];
    const answer = await this.#node.ask('HEAD', blobPathOf(id), headers, {});
    if (answer.headers[nodeHeaders.error] === 'not-found') return undefined;
    const text = this.#node.expect(answer, 200).headers[nodeHeaders.description];
    return this.#node.understood(() => decodeHeaderJson(String(text)) as StoredBlob);
  }

  async delete(id: BlobId, { expiresAtMs }: DeleteOptions): Promise<void> {
    const headers = this.#node.changingHeaders();
    headers.push(nodeHeaders.expires, String(expiresAtMs));
    this.#node.expect(await this.#node.ask('DELETE', blobPathOf(id), headers, {}), 204);
  }

  async pull(pull: PullRequest, signal?: AbortSignal): Promise<BlobReceipt> {
    const headers = this.#node.changingHeaders();
    headers.push('content-type', 'application/json');
    const body = JSON.stringify(pull);
    const headersMs = pullLimitMs(pull.sizeBytes);
    const answer = await this.#node.ask('POST', '/pull', headers, { body, headersMs, signal });
    return this.#node.json(this.#node.expect(answer, 200));
  }

  async inventory(after: string | undefined, limit: number): Promise<InventoryPage> {
    const query = new URLSearchParams({
      ...(after === undefined ? {} : { after }),
      limit: String(limit),
    });
    return this.#node.get<InventoryPage>(`/inventory?${query}`);
  }

  async scrubStatus(): Promise<ScrubStatus> {
    return this.#node.get<ScrubStatus>('/scrub');
  }

  async startScrub(): Promise<ScrubStatus> {
    const headers = this.#node.changingHeaders();
    const answer = await this.#node.ask('POST', '/scrub', headers, {});
    return this.#node.json(this.#node.expect(answer, 202));
  }

  async status(signal?: AbortSignal): Promise<NodeStatus> {
    return this.#node.get<NodeStatus>('/status', signal);
  }

  /** Ends its connections and what runs on them. */
  close(): Promise<void> {
    return this.#node.close();
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
    return this.#node.ask('PUT', blobPathOf(id), headers, {
      body,
      headersMs: this.#node.limits.idleMs,
      signal,
    });
  }

  #putStream(
    id: BlobId,
    body: BlobBody,
    headers: string[],
    options: PutOptions,
  ): Promise<NodeAnswer> {
    const { sizeBytes, signal, whole } = options;
    const source = body instanceof Uint8Array ? Readable.from([body], { objectMode: false }) : body;
    const trailers = (receipt: BlobReceipt) => {
      const facts = whole?.(receipt);
      return { [nodeHeaders.whole]: facts ? encodeHeaderJson(facts) : '-' };
    };
    if (whole) headers.push(nodeHeaders.part, '1', 'trailer', nodeHeaders.whole);
    return this.#node.put(blobPathOf(id), headers, source, {
      sizeBytes,
      trailers: whole ? trailers : undefined,
      signal,
    });
  }
}

const unsatisfiable = (range: ByteRange) =>
  new StoreError(
    'range-not-satisfiable',
    `Bytes ${range.start} to ${range.end} are not all inside the blob.`,
  );
