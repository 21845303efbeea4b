import type { Readable } from 'node:stream';
import {
  type BlobId,
  type BlobSource,
  type ByteRange,
  type NodeId,
  type PullRequest,
  StoreError,
} from '@dfs/shared';
import type { FetchRange } from '../blob-fetcher.ts';
import { cancelled } from '../write-turns.ts';

/** What the cache must know of a blob to tell its bytes from others. */
export interface BlobFacts {
  readonly blobId: BlobId;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
}

export interface SourceBytesOptions {
  readonly blob: BlobFacts;
  /** Not empty, and inside the blob. */
  readonly range: ByteRange;
  /** Nodes that have the blob, best first. */
  readonly sources: readonly BlobSource[];
  /** Asked once the sources failed, and again after bytes came from those that it gave. */
  readonly refresh?: (() => Promise<readonly BlobSource[]>) | undefined;
  readonly fetchRange: FetchRange;
  readonly signal: AbortSignal;
  /** Bytes are about to come from this node. */
  readonly onSource?: (nodeId: NodeId) => void;
}

/**
 * The bytes of `range` from the first source that gives them; when one fails midway, the next goes
 * on at the same byte. Rejects with `unavailable` when no source is left, with `cancelled` when
 * `signal` aborts, which also ends the transfer at the source.
 */
export async function* sourceBytes(options: SourceBytesOptions): AsyncGenerator<Buffer, void> {
  const { blob, range, refresh, fetchRange, signal, onSource } = options;
  let position = range.start;
  let candidates = [...options.sources];
  let mayRefresh = refresh !== undefined;
  let failure: unknown;
  while (position < range.end) {
    if (signal.aborted) throw cancelled(signal.reason);
    const source = candidates.shift();
    if (!source) {
      if (!refresh || !mayRefresh) throw noSource(blob.blobId, failure);
      mayRefresh = false;
      candidates = [...(await refresh())];
      continue;
    }
    const before = position;
    try {
      onSource?.(source.nodeId);
      const bytes = await open(
        fetchRange,
        { ...blob, source },
        { ...range, start: position },
        signal,
      );
      for await (const chunk of bytes as AsyncIterable<Buffer>) {
        position += chunk.byteLength;
        yield chunk;
      }
      if (position < range.end) throw brokenOff(source, blob.blobId);
    } catch (error) {
      if (signal.aborted) throw cancelled(signal.reason);
      failure = error;
      if (position === before) continue;
      // It gave some: it may only have been slow readers that it did not wait for.
      candidates.push(source);
      mayRefresh = refresh !== undefined;
    }
  }
}

async function open(
  fetchRange: FetchRange,
  pull: PullRequest,
  range: ByteRange,
  signal: AbortSignal,
): Promise<Readable> {
  const bytes = await fetchRange(pull, range, signal);
  // One that was cancelled between its headers and its first byte has nobody else to hear it.
  bytes.on('error', () => undefined);
  return bytes;
}

const brokenOff = ({ nodeId }: BlobSource, blobId: BlobId) =>
  new StoreError('unavailable', `The source ${nodeId} broke off while it sent the blob ${blobId}.`);

/** Users see it: what names the addresses of nodes stays in the cause. */
const noSource = (blobId: BlobId, cause: unknown) =>
  new StoreError(
    'unavailable',
    cause instanceof Error
      ? `The blob ${blobId} can be had from no node at the moment.`
      : `No node is known that has the blob ${blobId}.`,
    { cause, retryAfterSeconds: 5, hint: 'Try again once one of its nodes is back.' },
  );
