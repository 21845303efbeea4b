import { Readable } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { type Dispatcher, Pool } from 'undici';
import { StoreError } from './errors.ts';
import { NetworkError } from './network-failure.ts';
import { trusting } from './tls-trust.ts';

/** A request whose body, if any, is held. */
export interface NodeRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  /** Names and values by turns: the form that needs no translation. */
  readonly headers: string[];
  readonly body?: Uint8Array | string;
  /** How long the headers of the answer may take, ms. */
  readonly headersMs: number;
  readonly idleMs: number;
  readonly signal?: AbortSignal | undefined;
}

export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** An answer that was read to its end. */
export interface NodeAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: Buffer;
}

/** An answer whose body is still coming. `bytes` fails when fewer come than `content-length` says. */
export interface OpenAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly sizeBytes: number;
  readonly bytes: Readable;
}

/** An inventory page of 1 000 blobs with long paths stays under this. */
const answerMaxBytes = 64 * 2 ** 20;
const connectionsMax = 256;
/** A description may carry a path of 4 096 bytes, each of them escaped. */
const headersMaxBytes = 64 * 2 ** 10;

export const makePool = (origin: string, connectMs: number, trust?: SecureContext) =>
  new Pool(origin, {
    connections: connectionsMax,
    connect: { timeout: connectMs, ...trusting(trust) },
    maxHeaderSize: headersMaxBytes,
  });

/** Sends a request and reads the whole answer. Rejects with the network's error, or with `cancelled`. */
export function exchange(pool: Dispatcher, request: NodeRequest): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    dispatch(pool, request, new WholeAnswer(request.signal, resolve, reject));
  });
}

/**
 * Sends a GET and resolves at the headers of the answer: of a success with the body still coming, of anything else when it is read to its end.
 * Rejects as `exchange`; later failures are those of the stream, passed through `wrap`.
 */
export function openAnswer(
  pool: Dispatcher,
  request: NodeRequest,
  wrap: (error: Error) => Error,
): Promise<NodeAnswer | OpenAnswer> {
  return new Promise((resolve, reject) => {
    dispatch(pool, request, new OpeningAnswer(request.signal, wrap, resolve, reject));
  });
}

function dispatch(pool: Dispatcher, request: NodeRequest, handler: WholeAnswer): void {
  if (request.signal?.aborted) {
    handler.cancel();
    return;
  }
  pool.dispatch(
    {
      method: request.method,
      path: request.path,
      headers: request.headers,
      body: request.body ?? null,
      headersTimeout: request.headersMs,
      bodyTimeout: request.idleMs,
    },
    handler,
  );
}

export const cancelledError = (cause?: unknown) =>
  new StoreError('cancelled', 'The request was cancelled.', { cause });

/** Gathers an answer. Works on undici's events, which cost a small request less than its promises and streams. */
class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal | undefined;
  readonly #resolve: (answer: NodeAnswer) => void;
  readonly #reject: (error: Error) => void;
  readonly #cancel = () => this.cancel();
  #controller: Dispatcher.DispatchController | undefined;
  #cancelled: StoreError | undefined;
  #status = 0;
  #headers: AnswerHeaders = {};
  #chunks: Buffer[] = [];
  #sizeBytes = 0;

  constructor(
    signal: AbortSignal | undefined,
    resolve: (answer: NodeAnswer) => void,
    reject: (error: Error) => void,
  ) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    signal?.addEventListener('abort', this.#cancel, { once: true });
  }

  cancel(): void {
    this.#cancelled ??= cancelledError(this.#signal?.reason);
    this.fail(this.#cancelled);
    this.#controller?.abort(this.#cancelled);
  }

  protected fail(error: Error): void {
    this.settled();
    this.#reject(error);
  }

  protected settled(): void {
    this.#signal?.removeEventListener('abort', this.#cancel);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#cancelled) controller.abort(this.#cancelled);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: AnswerHeaders,
  ): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#sizeBytes += chunk.byteLength;
    if (this.#sizeBytes > answerMaxBytes) {
      controller.abort(
        new NetworkError('UND_ERR_SOCKET', `The answer exceeds ${answerMaxBytes} bytes.`),
      );
      return;
    }
    this.#chunks.push(chunk);
  }

  onResponseEnd(_controller: Dispatcher.DispatchController): void {
    this.settled();
    const [first = Buffer.alloc(0)] = this.#chunks;
    const body = this.#chunks.length <= 1 ? first : Buffer.concat(this.#chunks);
    this.#resolve({ status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.fail(error);
  }
}

/** A success is handed over at its headers, anything else is gathered like any answer. */
class OpeningAnswer extends WholeAnswer {
  readonly #wrap: (error: Error) => Error;
  readonly #opened: (answer: OpenAnswer) => void;
  #bytes: AnswerBytes | undefined;

  constructor(
    signal: AbortSignal | undefined,
    wrap: (error: Error) => Error,
    resolve: (answer: NodeAnswer | OpenAnswer) => void,
    reject: (error: Error) => void,
  ) {
    super(signal, resolve, reject);
    this.#wrap = wrap;
    this.#opened = resolve;
  }

  override onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: AnswerHeaders,
  ): void {
    if (status !== 200 && status !== 206) {
      super.onResponseStart(controller, status, headers);
      return;
    }
    const sizeBytes = Number(headers['content-length']);
    if (!Number.isSafeInteger(sizeBytes)) {
      // Without a length, a truncated answer could not be told from a whole one.
      controller.abort(new NetworkError('UND_ERR_SOCKET', 'The answer tells no length.'));
      return;
    }
    this.#bytes = new AnswerBytes(controller, sizeBytes);
    this.#opened({ status, headers, sizeBytes, bytes: this.#bytes });
  }

  override onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.#bytes) super.onResponseData(controller, chunk);
    else if (!this.#bytes.accept(chunk)) controller.pause();
  }

  override onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (!this.#bytes) {
      super.onResponseEnd(controller);
      return;
    }
    this.settled();
    this.#bytes.finish(this.#wrap);
  }

  protected override fail(error: Error): void {
    if (!this.#bytes) {
      super.fail(error);
      return;
    }
    this.settled();
    this.#bytes.break(this.#wrap(error));
  }
}

/** Bytes of an answer on their way to a reader: slow readers slow the node down, a reader that leaves ends the transfer. */
class AnswerBytes extends Readable {
  readonly #controller: Dispatcher.DispatchController;
  #missingBytes: number;
  #isOver = false;

  constructor(controller: Dispatcher.DispatchController, sizeBytes: number) {
    super({ highWaterMark: 256 * 1024 });
    this.#controller = controller;
    this.#missingBytes = sizeBytes;
  }

  /** False when enough is waiting to be read. */
  accept(chunk: Buffer): boolean {
    this.#missingBytes -= chunk.byteLength;
    return this.push(chunk);
  }

  finish(wrap: (error: Error) => Error): void {
    this.#isOver = true;
    if (this.#missingBytes === 0) this.push(null);
    else this.destroy(wrap(new NetworkError('UND_ERR_SOCKET', 'Bytes of the answer are missing.')));
  }

  break(error: Error): void {
    this.#isOver = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#controller.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#controller.abort(error ?? new Error('The reader left.'));
    }
    done(error);
  }
}
