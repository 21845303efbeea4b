import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorBodyOf, httpStatusOf, nodeHeaders, StoreError } from '@dfs/shared';

/**
 * How long the rest of a refused body is read and thrown away, so that its sender sees the answer
 * instead of a broken connection.
 */
const drainMaxMs = 5_000;

export function sendJson(response: ServerResponse, status: number, value: unknown): void {
  const body = JSON.stringify(value);
  const length = String(Buffer.byteLength(body));
  response.writeHead(status, ['content-type', 'application/json', 'content-length', length]);
  response.end(body);
}

/**
 * Answers with an error, or breaks the connection off when an answer has begun: its reader then
 * sees that it is incomplete. `isBodyWanted` false: the sender still waits for "100 Continue", and
 * will not send its body.
 */
export function sendError(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
  { isBodyWanted }: { readonly isBodyWanted: boolean },
): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const body = Buffer.from(JSON.stringify(errorBodyOf(error)));
  const kind = error instanceof StoreError ? error.kind : 'internal';
  const headers = [nodeHeaders.error, kind, 'content-type', 'application/json'];
  headers.push('content-length', String(body.byteLength));
  const retryAfter = error instanceof StoreError ? error.retryAfterSeconds : undefined;
  if (retryAfter !== undefined) headers.push('retry-after', String(Math.ceil(retryAfter)));
  if (!isBodyWanted) headers.push('connection', 'close');
  response.writeHead(httpStatusOf[kind], headers);
  response.end(request.method === 'HEAD' ? undefined : body);
  if (isBodyWanted && !request.complete) drain(request);
}

function drain(request: IncomingMessage): void {
  request.resume();
  const timer = setTimeout(() => request.destroy(), drainMaxMs);
  request.once('close', () => clearTimeout(timer));
}
