import { createHash } from 'node:crypto';
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import type { BlobReceipt } from './blob-store.ts';
import { StoreError } from './errors.ts';
import { NetworkError } from './network-failure.ts';
import { cancelledError, type NodeAnswer } from './node-connection.ts';

export interface StreamedPut {
  /** Of HTTPS or of HTTP. */
  readonly agent: Agent;
  readonly isTls: boolean;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Readable;
  /** The length that was promised; another one is `incomplete-body`. */
  readonly sizeBytes?: number | undefined;
  /** Makes the trailers that follow the body, given what went through. Its rejection becomes the put's. */
  readonly trailers?: ((receipt: BlobReceipt) => Record<string, string>) | undefined;
  readonly limits: StreamedPutLimits;
  readonly signal?: AbortSignal | undefined;
}

export interface StreamedPutLimits {
  readonly connectMs: number;
  /** Until the node asks for the body. */
  readonly headersMs: number;
  /** How long the node may take no byte; waiting for the source does not count. */
  readonly idleMs: number;
  /** From the last byte to the answer: the time to make a whole segment durable. */
  readonly durableMs: number;
}

/**
 * Sends a stream and resolves with the node's answer, one given before the end of the body included. The source is read only once the node asked for
 * the body (RFC 9110 section 10.1.1), so a node that refuses or does not answer took no byte of it. It is destroyed in any case.
 * Rejects with the network's error, `cancelled`, `incomplete-body`, or what `trailers` or the source threw as a `StoreError`.
 */
export async function putStream(put: StreamedPut): Promise<NodeAnswer> {
  put.body.on('error', ignore);
  try {
    const first = new Conversation(put);
    return await first.run().catch((error: unknown) => {
      // The node closed a connection that had been idle: it never saw the request.
      if (!first.failedOnOldConnection(error)) throw error;
      return new Conversation(put).run();
    });
  } finally {
    put.body.destroy();
  }
}

/** So much may wait to be sent while the source is read on. */
const sendAheadMaxBytes = 256 * 1024;

/** One request with its body and its answer. */
class Conversation {
  readonly #put: StreamedPut;
  readonly #request: ClientRequest;
  #isBodyWanted = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(put: StreamedPut) {
    this.#put = put;
    const { agent, isTls, host, port, path, headers } = put;
    const send = isTls ? httpsRequest : httpRequest;
    const withGoAhead = { ...headers, expect: '100-continue' };
    this.#request = send({ agent, host, port, method: 'PUT', path, headers: withGoAhead });
    this.#limit(put.limits.connectMs, 'UND_ERR_CONNECT_TIMEOUT');
    this.#request.once('socket', (socket) => {
      const connected = () => this.#limit(put.limits.headersMs, 'UND_ERR_HEADERS_TIMEOUT');
      if (socket.connecting) socket.once('connect', connected);
      else connected();
    });
  }

  async run(): Promise<NodeAnswer> {
    const { signal } = this.#put;
    const cancel = () => this.#request.destroy(cancelledError(signal?.reason));
    if (signal?.aborted) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      this.#request.once('response', resolve);
      this.#request.on('error', reject);
    });
    const sent = this.#sendBody();
    try {
      return await this.#exchange(sent, answer);
    } catch (error) {
      answer.catch(ignore);
      this.#request.destroy();
      throw error;
    } finally {
      sent.catch(ignore);
      this.#unlimited();
      signal?.removeEventListener('abort', cancel);
    }
  }

  failedOnOldConnection(error: unknown): boolean {
    const { code } = error as NodeJS.ErrnoException;
    return this.#request.reusedSocket && !this.#isBodyWanted && code === 'ECONNRESET';
  }

  async #exchange(sent: Promise<void>, answer: Promise<IncomingMessage>): Promise<NodeAnswer> {
    const { limits, sizeBytes, body } = this.#put;
    const isSent = await Promise.race([sent.then(() => true), answer.then(() => false)]);
    if (isSent) this.#limit(limits.durableMs, 'UND_ERR_HEADERS_TIMEOUT');
    const response = await answer;
    this.#limit(limits.idleMs, 'UND_ERR_BODY_TIMEOUT');
    if (isSent) return readAnswer(response);
    const isSuccess = (response.statusCode ?? 0) < 300;
    // Of a body of no bytes, the node knows the end before the source has told it.
    if (isSuccess && sizeBytes === 0) await sent;
    else if (isSuccess)
      throw new NetworkError('UND_ERR_SOCKET', 'It answered before it had all bytes.');
    // Nobody wants the rest. Ends a wait for the source, too.
    else body.destroy();
    const early = await readAnswer(response);
    this.#request.destroy();
    return early;
  }

  async #sendBody(): Promise<void> {
    const { body, sizeBytes: wantedBytes, trailers } = this.#put;
    const request = this.#request;
    request.flushHeaders();
    await this.#event('continue');
    this.#unlimited();
    this.#isBodyWanted = true;
    const hash = trailers ? createHash('md5') : undefined;
    let sizeBytes = 0;
    // The last bytes wait until the source has ended, so that no node takes a body for whole whose source gives more.
    let last: Buffer | undefined;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        sizeBytes += chunk.byteLength;
        if (wantedBytes !== undefined && sizeBytes > wantedBytes)
          throw wrongLength(wantedBytes, 'more');
        hash?.update(chunk);
        if (sizeBytes === wantedBytes && last === undefined) last = chunk;
        else if (!request.write(chunk) && request.writableLength > sendAheadMaxBytes) {
          await this.#drained();
        }
      }
    } catch (cause) {
      if (cause instanceof StoreError) throw cause;
      throw new StoreError('incomplete-body', 'The body broke off before its end.', { cause });
    }
    if (wantedBytes !== undefined && sizeBytes < wantedBytes)
      throw wrongLength(wantedBytes, 'fewer');
    if (trailers && hash) request.addTrailers(trailers({ sizeBytes, md5: hash.digest('hex') }));
    request.end(last);
  }

  async #drained(): Promise<void> {
    this.#limit(this.#put.limits.idleMs, 'UND_ERR_BODY_TIMEOUT');
    await this.#event('drain');
    this.#unlimited();
  }

  /** Stays pending when the event never comes: the failure of the request ends the conversation then. */
  #event(name: 'continue' | 'drain'): Promise<void> {
    return new Promise((resolve) => {
      this.#request.once(name, () => resolve());
    });
  }

  /** How long the node may take for its next step, ms; then the request fails with `code`. One limit at a time. */
  #limit(limitMs: number, code: string): void {
    this.#unlimited();
    this.#timer = setTimeout(() => {
      this.#request.destroy(new NetworkError(code, `nothing within ${limitMs} ms`));
    }, limitMs);
  }

  #unlimited(): void {
    clearTimeout(this.#timer);
  }
}

const wrongLength = (sizeBytes: number, than: 'more' | 'fewer') =>
  new StoreError(
    'incomplete-body',
    `The body has ${than} than the ${sizeBytes} bytes that were announced.`,
    {
      hint: 'Send it again with its true length.',
    },
  );

const answerMaxBytes = 64 * 1024;

async function readAnswer(response: IncomingMessage): Promise<NodeAnswer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > answerMaxBytes)
      throw new NetworkError('UND_ERR_SOCKET', 'The answer is too long.');
    chunks.push(chunk);
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks),
  };
}

function ignore(): void {}
