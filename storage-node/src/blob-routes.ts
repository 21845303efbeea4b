import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type BlobDescription,
  type BlobId,
  type BlobReceipt,
  type ByteRange,
  nodeHeaders,
  type PutOptions,
  parseBlobId,
  type StoredBlob,
  StoreError,
} from '@dfs/shared';
import { sendJson } from './answers.ts';
import { answerFor, type BlobAnswer } from './blob-answer.ts';
import { epochOf, integerHeader, putOptionsOf } from './blob-headers.ts';
import type { ReadCache } from './cache/read-cache.ts';
import type { BlobFacts } from './cache/source-bytes.ts';
import type { NodeCounters } from './counters.ts';
import type { DiskBlobStore } from './disk-blob-store.ts';
import type { NodeAccess } from './node-access.ts';
import type { NodeIdentity } from './node-identity.ts';
import { RequestBody, smallBodyOf } from './request-body.ts';
import { sendPieces } from './send-pieces.ts';
import type { VerifiedReader } from './verified-reader.ts';

/** A body up to this length is taken whole before it is stored; longer ones stream. */
const smallMaxBytes = 64 * 1024;
/** Uploads at a time: each holds some memory. */
const uploadsMax = 256;
/** A reader that takes nothing for so long is cut off. */
const readerStallMs = 60_000;

export interface BlobRoutesDependencies {
  readonly store: DiskBlobStore;
  readonly cache: Pick<ReadCache, 'read'>;
  readonly identity: NodeIdentity;
  readonly access: NodeAccess;
  readonly counters: NodeCounters;
  /** How long a sender may be silent, ms. */
  readonly uploadIdleMs: number;
}

/** `/blobs/<id>`: the hot part of a node, in plain `node:http`. */
export class BlobRoutes {
  readonly #deps: BlobRoutesDependencies;
  #uploads = 0;

  constructor(dependencies: BlobRoutesDependencies) {
    this.#deps = dependencies;
  }

  /**
   * `query` is the text behind the question mark. `askForBody` sends "100 Continue" where it is
   * waited for.
   */
  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    { idText, query, askForBody }: { idText: string; query: string; askForBody: () => void },
  ): Promise<void> {
    const { access } = this.#deps;
    const id = parseBlobId(idText);
    const { method } = request;
    if (method === 'GET' || method === 'HEAD') {
      return this.#get(request, response, id, query);
    }
    access.mustBeCluster(request);
    access.mustBeMeantForUs(request);
    if (method === 'PUT') return this.#put(request, response, id, askForBody);
    if (method === 'DELETE') return this.#delete(request, response, id);
    throw new StoreError(
      'method-not-allowed',
      `A blob knows GET, HEAD, PUT and DELETE, not ${method}.`,
    );
  }

  async #put(
    request: IncomingMessage,
    response: ServerResponse,
    id: BlobId,
    askForBody: () => void,
  ): Promise<void> {
    const { identity, counters } = this.#deps;
    const options = putOptionsOf(request, id);
    await identity.obey(epochOf(request));
    mustBeOfCluster(options.description, identity);
    if (this.#uploads >= uploadsMax) {
      throw new StoreError(
        'too-many-requests',
        `This node takes ${uploadsMax} uploads at a time.`,
        {
          retryAfterSeconds: 1,
        },
      );
    }
    this.#uploads += 1;
    try {
      const receipt = await this.#receive(request, id, options, askForBody);
      counters.putCount += 1;
      counters.putBytes += receipt.sizeBytes;
      sendJson(response, 201, receipt);
    } finally {
      this.#uploads -= 1;
    }
  }

  async #receive(
    request: IncomingMessage,
    id: BlobId,
    options: PutOptions,
    askForBody: () => void,
  ): Promise<BlobReceipt> {
    const { store, uploadIdleMs: idleMs } = this.#deps;
    const { sizeBytes, whole } = options;
    const { 'content-length': length, expect } = request.headers;
    const isSmall = length !== undefined && sizeBytes !== undefined && sizeBytes <= smallMaxBytes;
    if (isSmall && !whole && expect === undefined) {
      return store.put(id, await smallBodyOf(request, { sizeBytes, idleMs }), options);
    }
    const body = new RequestBody({ request, idleMs, onFirstRead: askForBody });
    return store.put(id, body, options);
  }

  async #get(
    request: IncomingMessage,
    response: ServerResponse,
    id: BlobId,
    query: string,
  ): Promise<void> {
    const { access, counters } = this.#deps;
    const onSent = (bytes: number) => {
      counters.getBytes += bytes;
    };
    const caller = access.readerOf(request, id, query);
    const question = { method: request.method ?? 'GET', headers: request.headers, caller };
    let answer: BlobAnswer | undefined;
    const { reader } = await this.#read(request, id, (blob, isCached) => {
      answer = answerFor(blob, question);
      if (isCached) answer.headers.push(nodeHeaders.cached, '1');
      return answer.range;
    });
    try {
      response.writeHead(answer?.status ?? 200, answer?.headers);
      counters.getCount += 1;
      if (!reader) response.end();
      else await sendPieces(reader, response, { stallMs: readerStallMs, onSent });
    } finally {
      reader?.close();
    }
  }

  /**
   * From the stored copy, or else from the cache, which says nothing of what the node stores: whoever
   * asks for the description wants to know that.
   */
  async #read(
    request: IncomingMessage,
    id: BlobId,
    choose: (blob: StoredBlob | BlobFacts, isCached: boolean) => ByteRange | undefined,
  ): Promise<{ readonly reader?: VerifiedReader }> {
    const { store, cache } = this.#deps;
    try {
      return await store.read(id, (description) => choose(description, false));
    } catch (error) {
      const isMissing = error instanceof StoreError && error.kind === 'not-found';
      if (!isMissing || request.headers[nodeHeaders.wantDescription] !== undefined) throw error;
      const cached = await cache.read(id, (blob) => choose(blob, true)).catch(notDamaged);
      if (cached) return cached;
      throw error;
    }
  }

  async #delete(request: IncomingMessage, response: ServerResponse, id: BlobId): Promise<void> {
    const { store, identity, counters } = this.#deps;
    await identity.obey(epochOf(request));
    await store.delete(id, { expiresAtMs: integerHeader(request, nodeHeaders.expires) });
    counters.deleteCount += 1;
    response.writeHead(204).end();
  }
}

/** A cached copy that is damaged is none; it must not be taken for a stored one that is. */
function notDamaged(error: unknown): undefined {
  if (!(error instanceof StoreError && error.kind === 'corrupt')) throw error;
}

function mustBeOfCluster({ clusterId }: BlobDescription, identity: NodeIdentity): void {
  const own = identity.clusterId;
  if (own === clusterId) return;
  if (own === undefined) {
    throw new StoreError('unavailable', 'No master has accepted this node yet.', {
      hint: 'It is accepted with its first heartbeat.',
      retryAfterSeconds: 3,
    });
  }
  throw new StoreError(
    'wrong-cluster',
    `The blob belongs to cluster ${clusterId}, this node to cluster ${own}.`,
    { hint: 'The request came from a program of another cluster.' },
  );
}
