import type { Readable } from 'node:stream';
import { StoreError } from '@dfs/shared';

export interface BodyReaderOptions {
  /** The length that the sender declared, bytes; another one is `incomplete-body`. */
  readonly sizeBytes?: number | undefined;
  readonly signal: AbortSignal;
}

/**
 * Reads a body chunk by chunk, on request. Whoever makes one listens to errors of the stream, since they may come before and after. Unlike an iterator of the stream it never destroys it: the front still has to answer on the same
 * connection. A failure here is the sender's, and `failure` tells it apart from those of nodes.
 */
export class BodyReader {
  readonly #source: Readable;
  readonly #options: BodyReaderOptions;
  #sizeBytes = 0;
  #returned: Buffer | undefined;
  #isEnded = false;
  #failure: StoreError | undefined;
  #wake: (() => void) | undefined;

  constructor(source: Readable, options: BodyReaderOptions) {
    this.#source = source;
    this.#options = options;
    this.#isEnded = source.readableEnded;
    source.on('readable', this.#onReadable);
    source.on('end', this.#onEnd);
    source.on('error', this.#onError);
    source.on('close', this.#onClose);
    if (source.destroyed && !this.#isEnded) this.#fail(source.errored);
    options.signal.addEventListener('abort', this.#onAbort, { once: true });
    if (options.signal.aborted) this.#onAbort();
  }

  /** `cancelled`, `incomplete-body`, or what the front destroyed the body with: sticks once it happened. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /** The next bytes, never none; undefined at the end. Rejects with `failure`. One call at a time. */
  async next(): Promise<Buffer | undefined> {
    const returned = this.#returned;
    this.#returned = undefined;
    if (returned) return returned;
    for (;;) {
      if (this.#failure) throw this.#failure;
      const chunk: unknown = this.#source.read();
      if (chunk !== null) {
        const bytes = bufferOf(chunk);
        if (bytes.byteLength === 0) continue;
        this.#count(bytes.byteLength);
        return bytes;
      }
      if (this.#isEnded) return this.#finish();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Gives bytes back: the next call of `next` has them. */
  unread(bytes: Buffer): void {
    this.#returned = bytes;
  }

  /** True when at least one more byte comes: waits for it or for the end. */
  async hasMore(): Promise<boolean> {
    const chunk = await this.next();
    if (chunk) this.unread(chunk);
    return chunk !== undefined;
  }

  /** Lets go of the stream; what is left in it is the front's. */
  dispose(): void {
    const source = this.#source;
    source.off('readable', this.#onReadable);
    source.off('end', this.#onEnd);
    source.off('error', this.#onError);
    source.off('close', this.#onClose);
    this.#options.signal.removeEventListener('abort', this.#onAbort);
  }

  #count(chunkBytes: number): void {
    this.#sizeBytes += chunkBytes;
    const declaredBytes = this.#options.sizeBytes;
    if (declaredBytes === undefined || this.#sizeBytes <= declaredBytes) return;
    this.#failure ??= new StoreError(
      'incomplete-body',
      `The body is longer than the ${declaredBytes} bytes that were declared.`,
      { hint: 'Send it again with its true length.' },
    );
    throw this.#failure;
  }

  #finish(): undefined {
    const declaredBytes = this.#options.sizeBytes;
    if (declaredBytes === undefined || this.#sizeBytes === declaredBytes) return undefined;
    this.#failure ??= new StoreError(
      'incomplete-body',
      `The body ended after ${this.#sizeBytes} of the ${declaredBytes} bytes that were declared.`,
      { hint: 'Send it again, whole.' },
    );
    throw this.#failure;
  }

  #fail(cause: unknown): void {
    this.#failure ??=
      cause instanceof StoreError
        ? cause
        : new StoreError('cancelled', 'The sender went away before the body was complete.', {
            cause,
          });
    this.#awake();
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  readonly #onReadable = () => this.#awake();
  readonly #onEnd = () => {
    this.#isEnded = true;
    this.#awake();
  };
  readonly #onError = (error: Error) => this.#fail(error);
  readonly #onClose = () => {
    if (!this.#isEnded) this.#fail(this.#source.errored);
  };
  readonly #onAbort = () => this.#fail(this.#options.signal.reason);
}

function bufferOf(chunk: unknown): Buffer {
  if (Buffer.isBuffer(chunk)) return chunk;
  if (chunk instanceof Uint8Array) return Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
  return Buffer.from(String(chunk));
}
