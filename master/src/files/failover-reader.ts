import { Readable } from 'node:stream';
import { type ByteRange, lengthOf, type NodeId, StoreError } from '@dfs/shared';
import type { FileBlob, FileRecord } from '../metadata/metadata-repository.ts';
import { BlobCopies, type Copy } from './blob-copies.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { OpenedFile, OpenRequest } from './file-types.ts';

/** A reader that took nothing for this long is slow; that its node hung up meanwhile is not the node's fault. */
const slowReaderMs = 2_000;

/** A run of bytes of one blob that a read asks for. */
interface Span extends ByteRange {
  readonly blob: FileBlob;
}

/**
 * Opens a file, or a range of it, and goes on from another copy at the same byte when one fails. Resolves with the first bytes at hand. Rejects as
 * `FileService.open` does.
 */
export async function openFile(
  dependencies: FileServiceDependencies,
  file: FileRecord,
  request: OpenRequest,
): Promise<OpenedFile> {
  const range = request.range ?? { start: 0, end: file.sizeBytes };
  mustBeInside(range, file, request.range !== undefined);
  const spans = spansOf(file, range);
  const release = dependencies.inUse.reading(spans.map(({ blob }) => blob.blobId));
  const [only] = spans;
  try {
    if (spans.length === 1 && only && lengthOf(only) <= dependencies.config.shortReadBytes) {
      const opened = await readShort(dependencies, { ...request, file, span: only });
      release();
      return opened;
    }
    const reading = new FileReading(dependencies, { ...request, file, spans, release });
    const nodeId = await reading.opened;
    return { nodeId, bytes: reading };
  } catch (error) {
    release();
    throw error;
  }
}

function mustBeInside(range: ByteRange, file: FileRecord, isAsked: boolean): void {
  const { start, end } = range;
  const isEmpty = isAsked && end <= start;
  if (start >= 0 && end <= file.sizeBytes && !isEmpty) return;
  throw new StoreError(
    'range-not-satisfiable',
    `Bytes ${start} to ${end} lie outside the content of ${file.sizeBytes} bytes.`,
    { hint: `Ask for bytes 0 to ${Math.max(0, file.sizeBytes - 1)}.` },
  );
}

/** The parts of blobs that make up a range, at least one: an empty file has one empty blob. */
function spansOf({ blobs, sizeBytes }: FileRecord, range: ByteRange): Span[] {
  const [first] = blobs;
  if (first && sizeBytes === 0) return [{ blob: first, start: 0, end: 0 }];
  return blobs.flatMap((blob) => {
    const start = Math.max(0, range.start - blob.offsetBytes);
    const end = Math.min(blob.sizeBytes, range.end - blob.offsetBytes);
    return start < end ? [{ blob, start, end }] : [];
  });
}

/** Opens one copy from `start` on; the whole blob without a range. */
async function openCopy({ store }: Copy, span: Span, signal: AbortSignal): Promise<Readable> {
  const { blob, start, end } = span;
  const isWhole = start === 0 && end === blob.sizeBytes;
  const range = { start, end };
  const opened = await store.open(blob.blobId, isWhole ? { signal } : { range, signal });
  if (opened.sizeBytes === end - start) return opened.bytes;
  opened.bytes.destroy();
  throw new StoreError('internal', `It gives ${opened.sizeBytes} of ${end - start} bytes.`);
}

const cancelled = (signal: AbortSignal) =>
  new StoreError('cancelled', 'The reader went away.', { cause: signal.reason });

/** Reads a short span whole, from the first copy that gives all of it. */
async function readShort(
  dependencies: FileServiceDependencies,
  read: OpenRequest & { readonly file: FileRecord; readonly span: Span },
): Promise<OpenedFile> {
  const { file, span, signal, avoid } = read;
  const copies = new BlobCopies(dependencies, { blob: span.blob, fileId: file.id, avoid });
  for (;;) {
    if (signal.aborted) throw cancelled(signal);
    const copy = await copies.next(signal);
    try {
      const bytes = await openCopy(copy, span, signal);
      return new ShortContent(copy.nodeId, await gather(bytes, lengthOf(span)));
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      copies.failed(copy.nodeId, error);
    }
  }
}

/** Exactly `sizeBytes`; rejects when the stream fails or ends otherwise. */
function gather(stream: Readable, sizeBytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let gathered = 0;
    stream.on('data', (chunk: Buffer) => {
      gathered += chunk.byteLength;
      chunks.push(chunk);
      if (gathered > sizeBytes) stream.destroy(wrongLength(gathered, sizeBytes));
    });
    stream.on('error', reject);
    stream.on('end', () => {
      const [first] = chunks;
      const bytes = chunks.length === 1 && first ? first : Buffer.concat(chunks);
      if (gathered === sizeBytes) resolve(bytes);
      else reject(wrongLength(gathered, sizeBytes));
    });
    stream.on('close', () => {
      // An error is costly to make, and after an end nobody hears of it.
      if (!stream.readableEnded) reject(wrongLength(gathered, sizeBytes));
    });
  });
}

const wrongLength = (givenBytes: number, sizeBytes: number) =>
  new StoreError('unavailable', `It gave ${givenBytes} of ${sizeBytes} bytes.`);

/** A content in memory; its stream is made only when somebody wants one. */
class ShortContent implements OpenedFile {
  readonly nodeId: NodeId;
  readonly content: Buffer;

  constructor(nodeId: NodeId, content: Buffer) {
    this.nodeId = nodeId;
    this.content = content;
  }

  get bytes(): Readable {
    const { content } = this;
    return new Readable({
      read() {
        this.push(content.byteLength === 0 ? null : content);
        this.push(null);
      },
    });
  }
}

interface LongRead extends OpenRequest {
  readonly file: FileRecord;
  readonly spans: readonly Span[];
  readonly release: () => void;
}

/** A long content on its way: at most one copy is open at a time, and no more is read than the reader takes. */
class FileReading extends Readable {
  /** Resolves with the node of the first byte; rejects when no copy gives one. */
  readonly opened: Promise<NodeId>;
  readonly #dependencies: FileServiceDependencies;
  readonly #read: LongRead;
  readonly #gone = new AbortController();
  #begun: ((nodeId: NodeId) => void) | undefined;
  #wanted: (() => void) | undefined;
  /** The reader once let the copy that is open wait so long that the node may have hung up for that. */
  #wasSlow = false;

  constructor(dependencies: FileServiceDependencies, read: LongRead) {
    super({ highWaterMark: dependencies.config.readAheadBytes });
    this.#dependencies = dependencies;
    this.#read = read;
    // Whoever reads learns of a failure from the stream's state too; before that it must not end the process.
    this.on('error', () => {});
    read.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (read.signal.aborted) this.#onAbort();
    this.opened = new Promise((resolve, reject) => {
      this.#begun = resolve;
      this.#run().catch((error: Error) => {
        reject(error);
        this.destroy(error);
      });
    });
  }

  override _read(): void {
    this.#wanted?.();
    this.#wanted = undefined;
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#read.signal.removeEventListener('abort', this.#onAbort);
    this.#gone.abort();
    this.#wanted?.();
    this.#read.release();
    done(error);
  }

  async #run(): Promise<void> {
    for (const span of this.#read.spans) await this.#readSpan(span);
    this.push(null);
  }

  async #readSpan(span: Span): Promise<void> {
    const { file, avoid } = this.#read;
    const copies = new BlobCopies(this.#dependencies, { blob: span.blob, fileId: file.id, avoid });
    let { start } = span;
    const took = (bytes: number) => {
      start += bytes;
      copies.progressed(bytes);
    };
    while (start < span.end) {
      this.#mustBeWanted();
      const copy = await copies.next(this.#gone.signal);
      try {
        await this.#passOn(copy, { ...span, start }, took);
      } catch (error) {
        this.#mustBeWanted();
        if (!this.#wasSlow) copies.failed(copy.nodeId, error);
      }
    }
  }

  /** Passes a span of a copy on; tells the length of each chunk that went. */
  async #passOn(copy: Copy, span: Span, took: (bytes: number) => void): Promise<void> {
    this.#wasSlow = false;
    const bytes = await openCopy(copy, span, this.#gone.signal);
    let rest = lengthOf(span);
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      rest -= chunk.byteLength;
      if (rest < 0) throw wrongLength(lengthOf(span) - rest, lengthOf(span));
      took(chunk.byteLength);
      const isFull = !this.push(chunk);
      this.#begun?.(copy.nodeId);
      // Nothing may be awaited in between, or the call for more would be missed.
      if (isFull) await this.#untilWanted();
      this.#mustBeWanted();
    }
    if (rest > 0) throw wrongLength(lengthOf(span) - rest, lengthOf(span));
  }

  async #untilWanted(): Promise<void> {
    const { clock } = this.#dependencies;
    const sinceMs = clock.monotonic();
    await new Promise<void>((resolve) => {
      this.#wanted = resolve;
    });
    if (clock.monotonic() - sinceMs >= slowReaderMs) this.#wasSlow = true;
  }

  #mustBeWanted(): void {
    if (this.destroyed) throw cancelled(this.#gone.signal);
  }

  readonly #onAbort = () => {
    this.destroy(cancelled(this.#read.signal));
  };
}
