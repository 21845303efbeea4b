import { Readable } from 'node:stream';
import {
  type BlobSource,
  type ByteRange,
  lengthOf,
  type NodeId,
  type PermittedBlob,
  type PermittedFile,
  StoreError,
} from '@dfs/shared';
import type { ServedBytes } from '@dfs/shared/serving';
import { openPieces } from '../cache/piece-stream.ts';
import type { ReadCache } from '../cache/read-cache.ts';
import type { DiskBlobStore } from '../disk-blob-store.ts';

/** Up to this a content is read whole before the answer begins, so that it goes out in one write. */
const shortBytes = 256 * 2 ** 10;

export interface FileBytesDependencies {
  readonly nodeId: NodeId;
  readonly store: Pick<DiskBlobStore, 'open'>;
  readonly cache: Pick<ReadCache, 'open'>;
}

export interface FileReading {
  readonly file: PermittedFile;
  /** Absent: the whole file. Inside it, and not empty. */
  readonly range?: ByteRange | undefined;
  readonly signal: AbortSignal;
  /** The file's blobs with newer sources; undefined when it cannot be read any more. */
  readonly refresh: () => Promise<readonly PermittedBlob[] | undefined>;
}

/** The bytes of files at this node: its own copies first, then what it caches, then those of other nodes. */
export class FileBytes {
  readonly #deps: FileBytesDependencies;

  constructor(dependencies: FileBytesDependencies) {
    this.#deps = dependencies;
  }

  /** Rejects before the first byte: `unavailable` when nobody gives it, `cancelled`. Later the stream fails with the same. */
  async open(reading: FileReading): Promise<ServedBytes> {
    const { file, signal } = reading;
    const range = reading.range ?? { start: 0, end: file.sizeBytes };
    const { nodeId } = this.#deps;
    const stopping = new AbortController();
    const pieces = this.#pieces(reading, range, stopping.signal);
    if (lengthOf(range) <= shortBytes) {
      const content = await gather(pieces, stopping, signal);
      return new ShortBytes(nodeId, content);
    }
    return { nodeId, bytes: await openPieces(pieces, stopping, signal) };
  }

  async *#pieces(
    reading: FileReading,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    for (const blob of reading.file.blobs) {
      const start = Math.max(0, range.start - blob.offsetBytes);
      const end = Math.min(blob.sizeBytes, range.end - blob.offsetBytes);
      if (start < end) yield* this.#blobPieces(reading, blob, { start, end }, signal);
    }
  }

  async *#blobPieces(
    reading: FileReading,
    blob: PermittedBlob,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    let { start } = range;
    try {
      for await (const piece of await this.#own(blob, range, signal)) {
        start += piece.byteLength;
        yield piece;
      }
      return;
    } catch (error) {
      // Not here, or damaged: the others have it.
      if (signal.aborted || !(error instanceof StoreError)) throw error;
    }
    const bytes = await this.#deps.cache.open({
      blob,
      range: { start, end: range.end },
      sources: this.#others(blob.sources),
      refresh: async () => {
        const blobs = await reading.refresh();
        const found = blobs?.find(({ blobId }) => blobId === blob.blobId);
        return this.#others(found?.sources ?? []);
      },
      signal,
    });
    yield* bytes as AsyncIterable<Buffer>;
  }

  async #own(
    { blobId, sizeBytes }: PermittedBlob,
    range: ByteRange,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer>> {
    const isWhole = lengthOf(range) === sizeBytes;
    const { bytes } = await this.#deps.store.open(blobId, isWhole ? { signal } : { range, signal });
    return bytes;
  }

  #others(sources: readonly BlobSource[]): BlobSource[] {
    return sources.filter(({ nodeId }) => nodeId !== this.#deps.nodeId);
  }
}

async function gather(
  pieces: AsyncGenerator<Buffer, void>,
  stopping: AbortController,
  signal: AbortSignal,
): Promise<Buffer> {
  const stop = () => stopping.abort(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const all: Buffer[] = [];
    for await (const piece of pieces) all.push(piece);
    const [first] = all;
    return all.length === 1 && first ? first : Buffer.concat(all);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** A content in memory; its stream is made only when somebody wants one. */
class ShortBytes implements ServedBytes {
  readonly nodeId: NodeId;
  readonly content: Buffer;

  constructor(nodeId: NodeId, content: Buffer) {
    this.nodeId = nodeId;
    this.content = content;
  }

  get bytes(): Readable {
    return Readable.from(this.content.byteLength === 0 ? [] : [this.content], {
      objectMode: false,
    });
  }
}
