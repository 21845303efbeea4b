import type { Readable } from 'node:stream';
import type { SecureContext } from 'node:tls';
import {
  type ByteRange,
  blobPathOf,
  type Clock,
  type ClusterId,
  contentRangeOf,
  decodeHeaderJson,
  errorOfAnswer,
  lengthOf,
  nodeHeaders,
  nodeLimits,
  type PullRequest,
  type StoredBlob,
  StoreError,
  signBlobPath,
  trusting,
} from '@dfs/shared';
import type { ClusterKeyring } from '@dfs/shared/cluster';
import { Agent, type Dispatcher, request as httpRequest } from 'undici';
import type { FetchBlob } from './disk-blob-store.ts';

/**
 * The content type in a signature between nodes. Only with it a signed request is told a blob's
 * description, which names the file's path: a link that a user was given opens the bytes alone.
 */
export const peerContentType = 'application/vnd.dfs.blob';

const linkLifeSeconds = 120;
const connectionsMax = 64;
const headersMaxBytes = 64 * 1024;
const refusalMaxBytes = 64 * 1024;

export interface BlobFetcherOptions {
  /** Signs requests to other nodes, so that the cluster key stays here. */
  readonly keyring: ClusterKeyring;
  /** Checks the certificates of other nodes; absent: what Node.js trusts anyway. */
  readonly trust?: SecureContext | undefined;
  /** The cluster of this disk. */
  readonly clusterId: () => ClusterId | undefined;
  readonly clock: Clock;
  readonly limits?: {
    readonly connectMs: number;
    readonly headersMs: number;
    readonly idleMs: number;
  };
}

/** Fetches a part of a blob from another node; the caller reads the bytes or destroys them. */
export type FetchRange = (
  pull: PullRequest,
  range: ByteRange,
  signal: AbortSignal,
) => Promise<Readable>;

/** Fetches blobs from other nodes by signed, short-lived URLs. */
export class BlobFetcher {
  readonly #options: BlobFetcherOptions;
  /** Of pulls. Readers have their own, or slow ones would hold copies up. */
  readonly #agent: Agent;
  readonly #readersAgent: Agent;

  constructor(options: BlobFetcherOptions) {
    const { connectMs, headersMs, idleMs } = options.limits ?? nodeLimits;
    this.#options = options;
    const settings = {
      connect: { timeout: connectMs, ...trusting(options.trust) },
      headersTimeout: headersMs,
      bodyTimeout: idleMs,
      maxHeaderSize: headersMaxBytes,
    };
    this.#agent = new Agent({ ...settings, connections: connectionsMax });
    // A reader has a connection to this node, too: these are no more than those.
    this.#readersAgent = new Agent({ ...settings, connections: null });
  }

  /**
   * Rejects: `not-found` (the source has none), `corrupt` (its copy is bad or another),
   * `wrong-cluster`, `unavailable`, `cancelled`.
   */
  readonly fetch: FetchBlob = async (pull, signal) => {
    const asked = { [nodeHeaders.wantDescription]: '1' };
    const { statusCode, headers, body } = await this.#ask(pull, signal, this.#agent, asked);
    body.on('error', ignore);
    if (statusCode !== 200) throw refusalOf(pull, statusCode, await textOf(body));
    try {
      const description = descriptionOf(headers[nodeHeaders.description], pull);
      const own = this.#options.clusterId();
      if (own !== undefined && description.clusterId !== own) {
        throw new StoreError(
          'wrong-cluster',
          `The blob ${pull.blobId} at ${pull.source.url} belongs to cluster ${description.clusterId}, this node to ${own}.`,
        );
      }
      return { description, bytes: body };
    } catch (error) {
      body.destroy();
      throw error;
    }
  };

  /**
   * Fetches a part of a blob, from a node's stored copy or its cache: bytes that end after exactly
   * `range` or fail. Rejects as `fetch`.
   */
  readonly fetchRange: FetchRange = async (pull, range, signal) => {
    const asked = { range: `bytes=${range.start}-${range.end - 1}` };
    const { statusCode, headers, body } = await this.#ask(pull, signal, this.#readersAgent, asked);
    body.on('error', ignore);
    if (statusCode !== 206) throw refusalOf(pull, statusCode, await textOf(body));
    // What it is for is told by the name; whether it is the same content by size and MD5.
    if (
      headers['content-range'] === contentRangeOf(range, pull.sizeBytes) &&
      headers['content-length'] === String(lengthOf(range)) &&
      headers['etag'] === `"${pull.md5}"`
    ) {
      return body;
    }
    body.destroy();
    throw otherBytes(pull, String(headers['content-range']), String(headers['etag']));
  };

  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#readersAgent.destroy()]);
  }

  async #ask(
    pull: PullRequest,
    signal: AbortSignal,
    dispatcher: Agent,
    headers: Record<string, string>,
  ): Promise<Dispatcher.ResponseData> {
    const { nodeId, url } = pull.source;
    try {
      return await httpRequest(url + this.#pathOf(pull), {
        dispatcher,
        signal,
        headers: {
          ...headers,
          ...(this.#options.keyring.current() !== undefined ? {} : { [nodeHeaders.node]: nodeId }),
        },
      });
    } catch (cause) {
      if (signal.aborted) {
        throw signal.reason instanceof StoreError
          ? signal.reason
          : new StoreError('cancelled', 'The pull was cancelled.', { cause });
      }
      const reason = (cause as Error).message || String(cause);
      throw new StoreError(
        'unavailable',
        `The source ${nodeId} at ${url} gave no answer: ${reason}`,
        {
          cause,
        },
      );
    }
  }

  #pathOf({ blobId, source }: PullRequest): string {
    const { keyring, clock } = this.#options;
    const [urlKey] = keyring.blobUrlKeys();
    if (!urlKey) return blobPathOf(blobId);
    const expiresAtSeconds = Math.floor(clock.now() / 1000) + linkLifeSeconds;
    return signBlobPath(urlKey, {
      blobId,
      nodeId: source.nodeId,
      expiresAtSeconds,
      contentType: peerContentType,
    });
  }
}

const ignore = () => undefined;

function descriptionOf(header: string | string[] | undefined, pull: PullRequest): StoredBlob {
  const description = parsed(String(header));
  if (description === undefined) {
    throw new StoreError(
      'unavailable',
      `The source ${pull.source.nodeId} does not speak our protocol.`,
    );
  }
  const { blobId, sizeBytes, md5 } = description;
  if (blobId === pull.blobId && sizeBytes === pull.sizeBytes && md5 === pull.md5)
    return description;
  throw otherBytes(pull, `${sizeBytes} bytes`, `MD5 ${md5}`);
}

const otherBytes = ({ blobId, source }: PullRequest, size: string, md5: string) =>
  new StoreError(
    'corrupt',
    `The source ${source.nodeId} holds other bytes for the blob ${blobId} (${size}, ${md5}).`,
  );

function parsed(text: string): StoredBlob | undefined {
  try {
    return decodeHeaderJson(text) as StoredBlob;
  } catch {
    return undefined;
  }
}

/**
 * What the source's refusal means for the pull: its words on the blob count, all else is its own
 * trouble.
 */
function refusalOf({ blobId, source }: PullRequest, status: number, text: string): StoreError {
  const cause = errorOfAnswer(status, text);
  const place = `The source ${source.nodeId} at ${source.url}`;
  switch (cause.kind) {
    case 'not-found':
      return new StoreError('not-found', `${place} has no blob ${blobId}.`, { cause });
    case 'corrupt':
      return new StoreError('corrupt', `${place} has a damaged copy of the blob ${blobId}.`, {
        cause,
      });
    default:
      return new StoreError('unavailable', `${place} refused: ${cause.message}`, { cause });
  }
}

/** The text of a refusal, cut where it exceeds any of ours. */
async function textOf(body: Readable): Promise<string> {
  let text = '';
  try {
    for await (const chunk of body) {
      text += (chunk as Buffer).toString();
      if (text.length > refusalMaxBytes) break;
    }
  } catch {
    // The status alone speaks.
  }
  return text;
}
