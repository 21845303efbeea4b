import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { StoreError } from '@dfs/shared';

export interface RequestBodyOptions {
  /** How long to wait for the client's next bytes. Time in which nobody wants any does not count. */
  readonly idleMs: number;
  /** What the client declared; another length is `incomplete-body`. */
  readonly sizeBytes?: number | undefined;
  /** Called after the last byte, when trailers are there and before the end is passed on. When it throws, the body fails with that. */
  readonly onEnd?: (() => void) | undefined;
}

/** Enough for a few reads of a socket at a time. */
const highWaterMark = 256 * 2 ** 10;

/**
 * The body of a request as a stream that may be destroyed without cutting the connection, so that whoever stops reading can still be
 * answered for. Fails with `incomplete-body` when the client pauses too long or sends another length, with `cancelled` when it goes away.
 */
export class RequestBody extends Readable {
  readonly #request: IncomingMessage;
  readonly #options: RequestBodyOptions;
  #receivedBytes = 0;
  #isWanted = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(request: IncomingMessage, options: RequestBodyOptions) {
    super({ highWaterMark });
    this.#request = request;
    this.#options = options;
    request.on('data', this.#take).once('end', this.#finish).once('close', this.#lose).pause();
    if (request.destroyed && !request.complete) this.#lose();
  }

  override _read(): void {
    this.#isWanted = true;
    if (this.#idle) this.#idle.refresh();
    else this.#idle = setTimeout(this.#judgeIdle, this.#options.idleMs);
    this.#request.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    clearTimeout(this.#idle);
    this.#request.off('data', this.#take).off('end', this.#finish).off('close', this.#lose);
    this.#request.pause();
    done(error);
  }

  readonly #take = (chunk: Buffer) => {
    this.#receivedBytes += chunk.byteLength;
    const { sizeBytes } = this.#options;
    if (sizeBytes !== undefined && this.#receivedBytes > sizeBytes) {
      this.destroy(this.#wrongLength(`more than the ${sizeBytes} bytes`));
      return;
    }
    this.#idle?.refresh();
    this.#isWanted = this.push(chunk);
    if (!this.#isWanted) this.#request.pause();
  };

  readonly #finish = () => {
    const { sizeBytes, onEnd } = this.#options;
    if (sizeBytes !== undefined && this.#receivedBytes !== sizeBytes) {
      this.destroy(this.#wrongLength(`${this.#receivedBytes} of the ${sizeBytes} bytes`));
      return;
    }
    try {
      onEnd?.();
    } catch (error) {
      this.destroy(error as Error);
      return;
    }
    clearTimeout(this.#idle);
    this.push(null);
  };

  readonly #lose = () => {
    if (this.#request.readableEnded) return;
    this.destroy(
      new StoreError('cancelled', `The client went away after ${this.#receivedBytes} bytes.`),
    );
  };

  readonly #judgeIdle = () => {
    if (!this.#isWanted) {
      this.#idle?.refresh();
      return;
    }
    const seconds = Math.round(this.#options.idleMs / 1000);
    this.destroy(
      new StoreError('incomplete-body', `The client sent nothing for ${seconds} seconds.`, {
        hint: 'Send the whole body again, without long pauses.',
      }),
    );
  };

  #wrongLength(amount: string): StoreError {
    return new StoreError('incomplete-body', `The body held ${amount} that were declared.`, {
      hint: 'Declare the length that is sent, or leave it out.',
    });
  }
}
