import { createHash } from 'node:crypto';
import {
  type Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
} from 'node:http';
import type { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BlobReceipt } from './blob-store.ts';
import { StoreError } from './errors.ts';
import { NetworkError } from './network-failure.ts';
import { cancelledError, type NodeAnswer } from './node-connection.ts';

export interface StreamedPut {
  readonly agent: Agent;
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
  const { body, signal } = put;
  body.on('error', ignore);
  if (signal?.aborted) {
    body.destroy();
    throw cancelledError(signal.reason);
  }
  const request = httpRequest({
    agent: put.agent,
    host: put.host,
    port: put.port,
    method: 'PUT',
    path: put.path,
    headers: { ...put.headers, expect: '100-continue' },
  });
  const watch = new Watch(request);
  const cancel = () => request.destroy(cancelledError(signal?.reason));
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await converse(put, request, watch);
  } finally {
    watch.stop();
    signal?.removeEventListener('abort', cancel);
    body.destroy();
  }
}

async function converse(
  put: StreamedPut,
  request: ClientRequest,
  watch: Watch,
): Promise<NodeAnswer> {
  watch.start(put.limits.connectMs, 'UND_ERR_CONNECT_TIMEOUT');
  request.once('socket', (socket) => {
    const connected = () => watch.start(put.limits.headersMs, 'UND_ERR_HEADERS_TIMEOUT');
    if (socket.connecting) socket.once('connect', connected);
    else connected();
  });
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.on('error', reject);
  });
  const sent = sendBody(put, request, watch);
  try {
    const isSent = await Promise.race([sent.then(() => true), answer.then(() => false)]);
    if (isSent) watch.start(put.limits.durableMs, 'UND_ERR_HEADERS_TIMEOUT');
    const response = await answer;
    if (!isSent) {
      sent.catch(ignore);
      // Nobody wants the rest. Ends a wait for the source, too.
      put.body.destroy();
    }
    watch.start(put.limits.idleMs, 'UND_ERR_BODY_TIMEOUT');
    const whole = await readAnswer(response);
    if (!isSent) {
      request.destroy();
      if (whole.status < 300) {
        throw new NetworkError('UND_ERR_SOCKET', 'The node answered before it had the whole body.');
      }
    }
    return whole;
  } catch (error) {
    sent.catch(ignore);
    answer.catch(ignore);
    request.destroy();
    throw error;
  }
}

async function sendBody(put: StreamedPut, request: ClientRequest, watch: Watch): Promise<void> {
  request.flushHeaders();
  await once(request, 'continue');
  watch.stop();
  const hash = put.trailers ? createHash('md5') : undefined;
  let sizeBytes = 0;
  for await (const chunk of chunksOf(put.body)) {
    sizeBytes += chunk.byteLength;
    if (put.sizeBytes !== undefined && sizeBytes > put.sizeBytes)
      throw wrongLength(put.sizeBytes, 'more');
    hash?.update(chunk);
    if (!request.write(chunk)) {
      watch.start(put.limits.idleMs, 'UND_ERR_BODY_TIMEOUT');
      await once(request, 'drain');
      watch.stop();
    }
    // Lets an answer in that came meanwhile: writing on to a node that answered and closed would lose it to EPIPE.
    await nextTurn();
  }
  if (put.sizeBytes !== undefined && sizeBytes < put.sizeBytes)
    throw wrongLength(put.sizeBytes, 'fewer');
  if (put.trailers && hash)
    request.addTrailers(put.trailers({ sizeBytes, md5: hash.digest('hex') }));
  request.end();
}

/** The body's bytes; a source that breaks off is an incomplete body, unless it says in our words what happened. */
async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body as AsyncIterable<Buffer>;
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError('incomplete-body', 'The body broke off before its end.', { cause });
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

/** Resolves at the event; stays pending when it never comes, since the request's own error ends the put. */
const once = (request: ClientRequest, event: 'continue' | 'drain') =>
  new Promise<void>((resolve) => {
    request.once(event, () => resolve());
  });

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

/** One limit at a time on how long the node may take for the next step; the request fails with `code` when it passes. */
class Watch {
  readonly #request: ClientRequest;
  #timer: NodeJS.Timeout | undefined;

  constructor(request: ClientRequest) {
    this.#request = request;
  }

  start(limitMs: number, code: string): void {
    this.stop();
    this.#timer = setTimeout(() => {
      this.#request.destroy(new NetworkError(code, `No answer within ${limitMs} ms.`));
    }, limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

function ignore(): void {}
