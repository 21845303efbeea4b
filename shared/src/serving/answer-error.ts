import { STATUS_CODES } from 'node:http';
import { errorBodyOf, httpStatusOf, StoreError, type StoreErrorKind } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { discardBody } from './discard-body.ts';
import type { HttpExchange } from './exchange.ts';
import { refusalTextOf } from './text-calls.ts';

/** What to do next, where the error itself does not say. */
const hintOf: Readonly<Record<StoreErrorKind, string>> = {
  'invalid-request': 'Correct the request; the message says what is wrong with it.',
  'invalid-path': 'Correct the path; the message says what is wrong with it.',
  'digest-mismatch': 'The bytes changed on their way or the digest is of others: send them again.',
  'incomplete-body': 'Send the whole body again.',
  unauthorized:
    'Send the key in the header SHARD-KEY or as "Authorization: Bearer <key>"; the dfs command takes it from DFS_KEY.',
  forbidden: 'Ask an administrator for the right to do this.',
  'not-found': 'List the directory above it to see which names there are.',
  'method-not-allowed': 'Use one of the methods that the header Allow names.',
  conflict: 'Look at what is there now, then decide again.',
  'not-a-directory': 'One of the names on the way is a file: choose another path.',
  'is-a-directory': 'Name a file in that directory.',
  'idempotency-conflict': 'Use a new Idempotency-Key for each upload.',
  'precondition-failed': 'It was changed or is there already: fetch it again, then decide.',
  'too-large': 'Send less at once.',
  'unsupported-media-type': 'Send no body, or one of the kind that the request takes.',
  'range-not-satisfiable': 'Ask for a range inside the content; Content-Range says how long it is.',
  'wrong-node': 'Ask the master.',
  'other-server': 'Name a destination on this server.',
  'wrong-cluster': 'Use the address of the right cluster.',
  'stale-epoch': 'Use the master whose database is current.',
  expired: 'Ask for a new one.',
  fenced: 'Stop one of the two.',
  'too-many-requests': 'Wait, then try again.',
  unavailable: 'Try again in a few seconds; "dfs status" and "dfs nodes" show what is missing.',
  'in-recovery':
    'Run "dfs restore" to rebuild the database from the nodes, or put back the one that belongs to them.',
  corrupt: 'Try again: another copy is being made; "dfs log <path>" shows it.',
  'no-room': 'Add a node, or delete what is not needed; "dfs nodes" shows how full they are.',
  cancelled: 'Send the request again.',
  internal: 'Look for this request id in the log of the program.',
};

const retryAfterDefaultSeconds = 5;
/** A client may have this much on its way when it is refused; then the connection is cut. */
export const refusedBody = { bytesMax: 64 * 2 ** 20, waitMs: 5_000 };
/** A body up to this length is read through first, so that the connection can be used again. */
const smallBody = { bytesMax: 64 * 2 ** 10, waitMs: 1_000 };

/** Answers a failed exchange by the one table of errors. What is no `StoreError` is logged here and told to nobody. */
export async function answerError(
  exchange: HttpExchange,
  failure: unknown,
  logger: Logger,
): Promise<void> {
  const { request, response } = exchange;
  const error = isDisconnect(failure, exchange) ? clientGone(failure) : storeErrorOf(failure);
  exchange.failure = error;
  if (error.kind === 'internal') {
    logger.error('request failed', { requestId: exchange.id, error: failure });
  }
  if (response.headersSent || response.destroyed) {
    // Half an answer is out. Only a cut connection says that the rest is missing.
    response.destroy();
    return;
  }
  if (isSmallBodyComing(exchange)) await discardBody(request, smallBody);
  const { textCall } = exchange;
  const body = textCall ? refusalTextOf(error, textCall) : renderError(error, exchange.id);
  const isBodyLeft = !request.complete;
  response.writeHead(httpStatusOf[error.kind], {
    'Content-Type': `${textCall ? 'text/plain' : 'application/json'}; charset=utf-8`,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': exchange.id,
    ...headersOf(error),
    ...(isBodyLeft ? { Connection: 'close' } : {}),
  });
  if (!isBodyLeft) {
    response.end(exchange.isHead ? undefined : body);
    return;
  }
  // The answer is out and whole before the connection closes, and what the client is still sending is taken in meanwhile:
  // a connection closed on unread bytes is reset, and the client would see that instead of the answer.
  if (exchange.isHead) response.flushHeaders();
  else response.write(body);
  await discardBody(request, refusedBody);
  response.end(() => request.destroy());
}

function isSmallBodyComing({ awaitsContinue, request }: HttpExchange): boolean {
  const length = request.headers['content-length'];
  return !awaitsContinue && length !== undefined && Number(length) <= smallBody.bytesMax;
}

/** The same for what never became a request: the text of a whole answer, after which the connection closes. */
export function rawErrorAnswer(status: number, error: StoreError, requestId: string): string {
  const body = renderError(error, requestId);
  return [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${requestId}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function renderError(error: StoreError, requestId: string): string {
  const { error: rendered } = errorBodyOf(error, requestId);
  return `${JSON.stringify({ error: { hint: hintOf[error.kind], ...rendered } })}\n`;
}

function headersOf(error: StoreError): Record<string, string> {
  switch (httpStatusOf[error.kind]) {
    case 401:
      return { 'WWW-Authenticate': 'Bearer realm="dfs"' };
    case 429:
    case 503: {
      const seconds = Math.ceil(error.retryAfterSeconds ?? retryAfterDefaultSeconds);
      return { 'Retry-After': String(seconds) };
    }
    default:
      return {};
  }
}

const disconnectCodes: ReadonlySet<unknown> = new Set([
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_STREAM_DESTROYED',
  'ERR_STREAM_WRITE_AFTER_END',
  'ABORT_ERR',
  'ECONNRESET',
  'EPIPE',
]);

/** What streams say when the client has gone: nobody's fault, and nobody is left to be told. */
const isDisconnect = (failure: unknown, { response }: HttpExchange) =>
  response.destroyed &&
  !(failure instanceof StoreError) &&
  disconnectCodes.has((failure as { code?: unknown } | null)?.code);

const clientGone = (cause: unknown) =>
  new StoreError('cancelled', 'The client went away.', { cause });

/** Our own errors; express's refusals of a request as ours; anything else as `internal`. */
function storeErrorOf(failure: unknown): StoreError {
  if (failure instanceof StoreError) return failure;
  const status = (failure as { status?: unknown } | null)?.status;
  if (typeof status === 'number' && status >= 400 && status < 500) {
    return new StoreError('invalid-request', 'The request cannot be understood.', {
      cause: failure,
    });
  }
  return new StoreError('internal', 'Something failed inside the store.', { cause: failure });
}
