import type { ServerResponse } from 'node:http';
import { StoreError } from '@dfs/shared';
import type { Exchange } from './exchange.ts';

/** Sends a body of JSON. */
export function sendJson(
  { response, id, isHead }: Exchange,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
    ...headers,
  });
  response.end(isHead ? undefined : text);
}

/** The value of `Vary` for an answer that goes by this header, beside what is in it already. */
export function varyOn(response: ServerResponse, header: string): string {
  const others = response.getHeader('Vary');
  return others === undefined ? header : `${others}, ${header}`;
}

/** Rejects with `method-not-allowed` and names the allowed ones in the answer. */
export function refuseMethod(
  response: ServerResponse,
  method: string,
  allowed: string,
  reason = `${method} cannot be used here`,
): never {
  response.setHeader('Allow', allowed);
  throw new StoreError('method-not-allowed', `${reason}.`, { hint: `Use one of ${allowed}.` });
}
