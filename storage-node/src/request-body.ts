import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { StoreError } from '@dfs/shared';

export interface RequestBodyOptions {
  readonly request: IncomingMessage;
  /** How long the sender may be silent while we listen, ms. */
  readonly idleMs: number;
  /** Called before the first byte is asked for. */
  readonly onFirstRead: () => void;
}

/**
 * The body of an upload as a stream that can be given up while the connection stays open, so that
 * the sender still gets its answer. It fails with `incomplete-body` when the sender goes away, or
 * is silent for too long; time in which we do not read, since the disk is busy, does not count.
 */
export class RequestBody extends Readable {
  readonly #options: RequestBodyOptions;
  #isStarted = false;
  #isPaused = false;
  #isComplete = false;
  #receivedBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RequestBodyOptions) {
    super({ highWaterMark: 64 * 1024 });
    this.#options = options;
  }

  override _read(): void {
    if (!this.#isStarted) {
      this.#start();
    } else if (this.#isPaused) {
      this.#isPaused = false;
      this.#timer?.refresh();
      this.#options.request.resume();
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const { request } = this.#options;
    clearTimeout(this.#timer);
    request.off('data', this.#take);
    request.off('end', this.#finish);
    request.off('close', this.#break);
    done(error);
  }

  #start(): void {
    const { request, idleMs, onFirstRead } = this.#options;
    this.#isStarted = true;
    if (request.destroyed) {
      this.#break();
      return;
    }
    onFirstRead();
    this.#timer = setTimeout(() => this.#looked(), idleMs);
    request.on('error', ignore);
    request.on('end', this.#finish);
    request.on('close', this.#break);
    request.on('data', this.#take);
  }

  readonly #take = (bytes: Buffer) => {
    this.#receivedBytes += bytes.byteLength;
    this.#timer?.refresh();
    if (this.push(bytes)) return;
    this.#isPaused = true;
    this.#options.request.pause();
  };

  readonly #finish = () => {
    clearTimeout(this.#timer);
    this.#isComplete = true;
    this.push(null);
  };

  /** A request closes after its end, too. */
  readonly #break = () => {
    if (this.#isComplete) return;
    const message = `The sender went away after ${this.#receivedBytes} bytes.`;
    this.destroy(new StoreError('incomplete-body', message, { hint: 'Send it again.' }));
  };

  #looked(): void {
    if (this.#isPaused) {
      this.#timer?.refresh();
      return;
    }
    const { idleMs } = this.#options;
    const message = `The sender was silent for ${idleMs} ms after ${this.#receivedBytes} bytes.`;
    this.destroy(new StoreError('incomplete-body', message, { hint: 'Send it again.' }));
  }
}

const ignore = () => undefined;

/**
 * A body whose short length is known, held in memory. Rejects with `incomplete-body` as the stream
 * does.
 */
export async function smallBodyOf(
  request: IncomingMessage,
  { sizeBytes, idleMs }: { readonly sizeBytes: number; readonly idleMs: number },
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let receivedBytes = 0;
    const settled = () => {
      clearTimeout(timer);
      request.off('data', take);
      request.off('close', leave);
    };
    const fail = (why: string) => {
      settled();
      const message = `The sender ${why} after ${receivedBytes} of ${sizeBytes} bytes.`;
      reject(new StoreError('incomplete-body', message, { hint: 'Send it again.' }));
    };
    const leave = () => fail('went away');
    const take = (bytes: Buffer) => {
      receivedBytes += bytes.byteLength;
      chunks.push(bytes);
      timer.refresh();
    };
    const timer = setTimeout(() => fail(`was silent for ${idleMs} ms`), idleMs);
    if (request.destroyed) return leave();
    request.on('error', ignore);
    request.on('close', leave);
    request.on('end', () => {
      settled();
      const [first] = chunks;
      resolve(chunks.length === 1 && first ? first : Buffer.concat(chunks));
    });
    request.on('data', take);
  });
}
