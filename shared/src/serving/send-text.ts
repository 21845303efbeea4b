import type { HttpExchange } from './exchange.ts';

/** Answers a text as it stands, without a line end of its own: scripts put it into the next call. */
export function sendText(
  { response, id, isHead }: Pick<HttpExchange, 'response' | 'id' | 'isHead'>,
  text: string,
  { status = 200, contentType = 'text/plain; charset=utf-8' } = {},
): void {
  response.writeHead(status, {
    'Content-Type': contentType,
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
  });
  response.end(isHead ? undefined : text);
}
