import { Readable } from 'node:stream';
import type { BlobSource, ByteRange } from '@dfs/shared';
import { StoreError } from '@dfs/shared';
import type { FetchRange } from '../blob-fetcher.ts';
import { cancelled } from '../write-turns.ts';
import { type BlobFacts, sourceBytes } from './source-bytes.ts';

/** A part of a blob that somebody wants to read. */
export interface CacheReading {
  readonly blob: BlobFacts;
  readonly range: ByteRange;
  /** Nodes that have the blob, best first. Requests to them are signed here, so they do not expire. */
  readonly sources: readonly BlobSource[];
  /** Asked for newer sources when those failed. */
  readonly refresh?: () => Promise<readonly BlobSource[]>;
  /** -20 to 20: a point keeps the blob as long as twice the reads would. Absent: what it has, or 0. */
  readonly priority?: number;
  readonly signal?: AbortSignal;
}

export interface ReadCacheDependencies {
  readonly fetchRange: FetchRange;
}

/** Blobs of other nodes, for readers at this one. */
export class ReadCache {
  readonly #deps: ReadCacheDependencies;

  constructor(dependencies: ReadCacheDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Exactly the bytes of `range`, from the cache where they are there, else from a source; when a
   * source fails midway, the next one goes on at the same byte. Resolves once the first bytes are
   * here. To destroy the stream, or to abort `signal`, ends the transfer at the source at once when
   * nobody else reads there.
   * Rejects before the first byte: `unavailable` (no source gives it), `range-not-satisfiable`,
   * `cancelled`. Later the stream fails with the same.
   */
  async open({ blob, range, sources, refresh, signal }: CacheReading): Promise<Readable> {
    if (range.start < 0 || range.end > blob.sizeBytes || range.end < range.start) {
      throw new StoreError(
        'range-not-satisfiable',
        `Bytes ${range.start} to ${range.end} are not all inside the blob of ${blob.sizeBytes} bytes.`,
      );
    }
    if (signal?.aborted) throw cancelled(signal.reason);
    const stopping = new AbortController();
    const { fetchRange } = this.#deps;
    return opened(
      sourceBytes({ blob, range, sources, refresh, fetchRange, signal: stopping.signal }),
      stopping,
      signal,
    );
  }

  /** Ends what runs in the background. */
  async close(): Promise<void> {}
}

/**
 * A stream of what `pieces` gives, once the first of them is there. `stopping` is aborted when the
 * stream ends in any way, or with `signal`.
 */
async function opened(
  pieces: AsyncGenerator<Buffer, void>,
  stopping: AbortController,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const stop = () => stopping.abort(cancelled(signal?.reason));
  signal?.addEventListener('abort', stop, { once: true });
  const end = () => {
    signal?.removeEventListener('abort', stop);
    stopping.abort();
    pieces.return().catch(() => undefined);
  };
  try {
    const first = await pieces.next();
    const stream = new PieceStream(first, pieces, stopping);
    stream.once('close', end);
    return stream;
  } catch (error) {
    end();
    throw error;
  }
}

class PieceStream extends Readable {
  readonly #pieces: AsyncGenerator<Buffer, void>;
  #first: IteratorResult<Buffer, void> | undefined;

  constructor(
    first: IteratorResult<Buffer, void>,
    pieces: AsyncGenerator<Buffer, void>,
    { signal }: AbortController,
  ) {
    super({ highWaterMark: 1 });
    this.#first = first;
    this.#pieces = pieces;
    signal.addEventListener('abort', () => this.destroy(signal.reason as Error), { once: true });
  }

  override _read(): void {
    const first = this.#first;
    this.#first = undefined;
    const next = first ? Promise.resolve(first) : this.#pieces.next();
    next.then(
      ({ done, value }) => this.push(done ? null : value),
      (error) => this.destroy(error as Error),
    );
  }
}
