import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
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
import { sendPieces } from '../send-pieces.ts';
import type { VerifiedReader } from '../verified-reader.ts';

/** A reader that takes nothing for so long is cut off: people pause a video. */
const readerStallMs = 600_000;
/** Up to this a content is read whole before the answer begins, so that it goes out in one write. */
const shortBytes = 256 * 2 ** 10;

export interface FileBytesDependencies {
  readonly nodeId: NodeId;
  readonly store: Pick<DiskBlobStore, 'open' | 'read'>;
  readonly cache: Pick<ReadCache, 'open' | 'read'>;
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

  /** Rejects before the first byte: `unavailable` when nobody gives it, `cancelled`. Later the bytes fail with the same. */
  async open(reading: FileReading): Promise<ServedBytes> {
    const { file, signal } = reading;
    const range = reading.range ?? { start: 0, end: file.sizeBytes };
    const { nodeId } = this.#deps;
    const here = await this.#readerOf(reading, range);
    const isShort = lengthOf(range) <= shortBytes;
    if (here && isShort) {
      const content = await gatherPieces(here);
      if (content) return new ShortBytes(nodeId, content);
    } else if (here) {
      return new OwnBytes({
        nodeId,
        reader: here,
        range,
        rest: (left) => this.#stream(reading, left),
      });
    }
    if (!isShort) return { nodeId, bytes: await this.#stream(reading, range) };
    const stopping = new AbortController();
    const content = await gather(this.#pieces(reading, range, stopping.signal), stopping, signal);
    return new ShortBytes(nodeId, content);
  }

  #stream(reading: FileReading, range: ByteRange): Promise<Readable> {
    const stopping = new AbortController();
    return openPieces(this.#pieces(reading, range, stopping.signal), stopping, reading.signal);
  }

  /** A reader of a range that lies in one blob, which this node stores or has cached whole; undefined: it must be put together. */
  async #readerOf({ file }: FileReading, range: ByteRange): Promise<VerifiedReader | undefined> {
    const blob = file.blobs.find(
      ({ offsetBytes, sizeBytes }) =>
        offsetBytes <= range.start && range.end <= offsetBytes + sizeBytes,
    );
    if (!blob || lengthOf(range) === 0) return undefined;
    const { store, cache } = this.#deps;
    const { blobId, offsetBytes } = blob;
    const inBlob = { start: range.start - offsetBytes, end: range.end - offsetBytes };
    try {
      return (await store.read(blobId, () => inBlob)).reader;
    } catch (error) {
      mustBeOfStore(error);
    }
    try {
      return (await cache.read(blobId, () => inBlob))?.reader;
    } catch (error) {
      mustBeOfStore(error);
      return undefined;
    }
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
      if (signal.aborted) throw error;
      mustBeOfStore(error);
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

/** What a copy says of itself, not here or damaged: the others have it. Rethrows all else. */
function mustBeOfStore(error: unknown): void {
  if (!(error instanceof StoreError)) throw error;
}

/** A short content; undefined when a piece of it is damaged. */
async function gatherPieces(reader: VerifiedReader): Promise<Buffer | undefined> {
  const all: Buffer[] = [];
  try {
    for (let piece = await reader.next(); piece; piece = await reader.next()) {
      // Its memory is the reader's.
      all.push(Buffer.from(piece.bytes));
      piece.release();
    }
  } catch (error) {
    mustBeOfStore(error);
    return undefined;
  } finally {
    reader.close();
  }
  const [first] = all;
  return all.length === 1 && first ? first : Buffer.concat(all);
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

interface OwnBytesOptions {
  readonly nodeId: NodeId;
  readonly reader: VerifiedReader;
  readonly range: ByteRange;
  /** The bytes of a range by whatever way there is. */
  readonly rest: (range: ByteRange) => Promise<Readable>;
}

/** Bytes of a copy on this disk, sent from few buffers; where it turns out to be damaged, others go on at the same byte. */
class OwnBytes implements ServedBytes {
  readonly nodeId: NodeId;
  readonly #options: OwnBytesOptions;

  constructor(options: OwnBytesOptions) {
    this.nodeId = options.nodeId;
    this.#options = options;
  }

  get bytes(): Readable {
    const { reader, range, rest } = this.#options;
    reader.close();
    return Readable.from(chunksOf(rest(range)), { objectMode: false });
  }

  readonly sendTo = async (response: ServerResponse): Promise<void> => {
    const { reader, range, rest } = this.#options;
    let { start } = range;
    const onSent = (bytes: number) => {
      start += bytes;
    };
    try {
      await sendPieces(reader, response, { stallMs: readerStallMs, onSent });
      return;
    } catch (error) {
      mustBeOfStore(error);
    } finally {
      reader.close();
    }
    await pipeline(await rest({ start, end: range.end }), response);
  };
}

async function* chunksOf(stream: Promise<Readable>): AsyncGenerator<Buffer, void> {
  yield* (await stream) as AsyncIterable<Buffer>;
}
