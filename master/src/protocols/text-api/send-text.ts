import type { Exchange } from '../http/exchange.ts';

/** Answers a text as it stands, without a line end: scripts put it into the next call. */
export function sendText({ response, id, isHead }: Exchange, text: string, status = 200): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
  });
  response.end(isHead ? undefined : text);
}
