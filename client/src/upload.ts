import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { errorOfAnswer, type PutAnswer, StoreError } from '@dfs/shared';
import { authorisation, type StoreApi } from './api.ts';
import { Retries, type RetriesOptions, type RetryLimits } from './retry.ts';

/** A body up to this size is read whole and can be sent again at will. */
export const wholeBytesMax = 2 ** 20;
const readBytes = 256 * 1024;

export interface LocalFilePut {
  /** The file on this machine. */
  readonly local: string;
  /** Path with query. */
  readonly path: string;
  /** An `Idempotency-Key` belongs among them: the upload is tried again when its answer was lost. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined for what has no size, such as a device. */
  readonly sizeBytes: number | undefined;
  /** Is told of bytes as they go; of a negative count when they are to be sent again. */
  readonly onBytes: (count: number) => void;
  readonly say: ((line: string) => void) | undefined;
  readonly limits?: RetryLimits | undefined;
}

/** Stores a file of this machine, as often as the retry policy allows. A short one is held in memory, any other is read anew for each try. */
export async function putLocalFile(api: StoreApi, put: LocalFilePut): Promise<PutAnswer> {
  const { local, path, headers, sizeBytes, onBytes, say, limits } = put;
  const retries = { say, limits, signal: api.signal };
  if (sizeBytes !== undefined && sizeBytes <= wholeBytesMax) {
    const bytes = await readFile(local);
    const md5 = createHash('md5').update(bytes).digest('hex');
    const answer = await withRetries(
      () => api.putBytes<PutAnswer>(path, bytes, { ...headers, 'X-DFS-MD5': md5 }),
      retries,
    );
    onBytes(bytes.length);
    return answer;
  }
  return withRetries(async () => {
    let doneBytes = 0;
    const body = createReadStream(local, { highWaterMark: readBytes });
    const onSent = (count: number) => {
      doneBytes += count;
      onBytes(count);
    };
    try {
      return await putStream(api, { path, headers, body, sizeBytes, onBytes: onSent });
    } catch (error) {
      onBytes(-doneBytes);
      throw error;
    }
  }, retries);
}

/** Does the work until it succeeds, or trying again cannot help. */
export async function withRetries<T>(work: () => Promise<T>, options: RetriesOptions): Promise<T> {
  const retries = new Retries(options);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await retries.wait(error);
    }
  }
}

export interface StreamedPut {
  /** Path with query. */
  readonly path: string;
  readonly body: Readable;
  /** Where known, so that the store can refuse what it has no room for. */
  readonly sizeBytes: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly onBytes: (count: number) => void;
}

/** How long to wait for "100 Continue" before the body is sent all the same: a proxy may swallow it (RFC 9110 section 10.1.1). */
const continueWaitMs = 3_000;

/**
 * Sends a stream as one PUT, hashing it on the way: the MD5 follows the body in a trailer, so that the store can compare before it binds the name.
 * Node's own client, since axios neither waits for "100 Continue" (a refusal would come as a broken connection) nor sends trailers.
 * Rejects with `StoreError`; the stream is used up or destroyed in any case.
 */
export async function putStream(api: StoreApi, put: StreamedPut): Promise<PutAnswer> {
  const { body } = put;
  try {
    const request = openRequest(api, put);
    const answered = answerOf(request);
    // Awaited below; a refusal that comes while the body still flows is no loose end.
    answered.catch(() => {});
    const isAsked = await mayContinue(request, answered);
    if (isAsked) await sendBody(request, put, answered);
    const response = await answered;
    const content = await text(response);
    if ((response.statusCode ?? 500) >= 300) {
      throw errorOfAnswer(response.statusCode ?? 500, content, response.headers['retry-after']);
    }
    return JSON.parse(content) as PutAnswer;
  } catch (error) {
    throw api.failure(error);
  } finally {
    body.destroy();
  }
}

function openRequest(api: StoreApi, { path, sizeBytes, headers }: StreamedPut): ClientRequest {
  const { protocol, hostname, port, pathname } = new URL(api.url);
  const send = protocol === 'https:' ? httpsRequest : httpRequest;
  const request = send({
    host: hostname.replace(/^\[|\]$/g, ''),
    port,
    ...(api.tlsAgent ? { agent: api.tlsAgent } : {}),
    path: `${pathname.replace(/\/$/, '')}${path}`,
    method: 'PUT',
    ...(api.signal ? { signal: api.signal } : {}),
    headers: {
      ...authorisation(api.key),
      'User-Agent': 'dfs',
      'Transfer-Encoding': 'chunked',
      Trailer: 'X-DFS-MD5',
      Expect: '100-continue',
      ...(sizeBytes === undefined ? {} : { 'X-DFS-Size': String(sizeBytes) }),
      ...headers,
    },
  });
  request.flushHeaders();
  return request;
}

const answerOf = (request: ClientRequest) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });

/** True when the body is wanted; false when the answer came instead. */
async function mayContinue(
  request: ClientRequest,
  answered: Promise<IncomingMessage>,
): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const asked = new Promise<boolean>((resolve) => {
    request.once('continue', () => resolve(true));
    timer = setTimeout(() => resolve(true), continueWaitMs);
  });
  try {
    return await Promise.race([asked, answered.then(() => false)]);
  } finally {
    clearTimeout(timer);
  }
}

async function sendBody(
  request: ClientRequest,
  { body, onBytes }: StreamedPut,
  answered: Promise<IncomingMessage>,
): Promise<void> {
  const md5 = createHash('md5');
  let readError: unknown;
  let sendError: unknown;
  request.once('error', (error) => {
    sendError = error;
  });
  const sent = pipeline(
    body,
    async function* (source: AsyncIterable<Buffer>) {
      try {
        for await (const chunk of source) {
          md5.update(chunk);
          yield chunk;
          onBytes(chunk.length);
        }
      } catch (error) {
        readError = error;
        throw error;
      }
      request.addTrailers({ 'X-DFS-MD5': md5.digest('hex') });
    },
    request,
  );
  try {
    // A store that refuses in the middle answers before the body ended.
    await Promise.race([sent, answered]);
  } catch (error) {
    if (readError !== undefined && (sendError === undefined || sendError === readError)) {
      throw new StoreError('invalid-request', `Reading failed: ${(readError as Error).message}`, {
        cause: readError,
      });
    }
    const answer = await Promise.race([answered, afterMoment()]);
    if (!answer) throw error;
  } finally {
    sent.catch(() => {
      // What broke was thrown above, or the answer says it.
    });
  }
}

/** A refusal may lie behind the broken pipe, already on its way. */
const afterMoment = () => new Promise<undefined>((resolve) => setTimeout(resolve, 250, undefined));
