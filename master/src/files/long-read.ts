import { Readable } from 'node:stream';
import { lengthOf, type NodeId } from '@dfs/shared';
import type { FileRecord } from '../metadata/metadata-repository.ts';
import { BlobCopies, type Copy } from './blob-copies.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { OpenRequest } from './file-types.ts';
import { openCopy, readCancelled, type Span, wrongLength } from './read-span.ts';

/** A reader that took nothing for this long is slow; that its node hung up meanwhile is not the node's fault. */
const slowReaderMs = 2_000;

export interface LongRead extends OpenRequest {
  readonly file: FileRecord;
  readonly spans: readonly Span[];
  readonly release: () => void;
}

/** A long content on its way: at most one copy is open at a time, and no more is read than the reader takes. */
export class FileReading extends Readable {
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
    if (this.destroyed) throw readCancelled(this.#gone.signal);
  }

  readonly #onAbort = () => {
    this.destroy(readCancelled(this.#read.signal));
  };
}
