import cors from 'cors';
import type { Exchange } from './exchange.ts';

/** Lets pages of other origins use this server, as far as they have a key or what they ask for is public. */
export type CrossOrigin = (exchange: Exchange) => 'answered' | 'goes on';

/** How long a browser may remember what a preflight answered. */
const maxAgeSeconds = 600;

/**
 * CORS for pages of these origins; `*`: of all. Cookies and what a browser sends by itself are never asked for, so any page may be named: it can do no more than its key lets it.
 * Answers preflights; all other exchanges go on with the headers set, refusals too.
 */
export function allowOrigins(origins: readonly string[]): CrossOrigin {
  const middleware = cors({
    origin: origins.includes('*') ? '*' : [...origins],
    methods: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'MKCOL', 'MOVE', 'COPY'],
    exposedHeaders: '*',
    maxAge: maxAgeSeconds,
    // Plain OPTIONS are answered as ever.
    preflightContinue: true,
  });
  return ({ request, response, id }) => {
    const { headers, method } = request;
    if (headers.origin === undefined) return 'goes on';
    middleware(request, response, () => undefined);
    const isPreflight =
      method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
    if (!isPreflight) return 'goes on';
    response.writeHead(204, { 'X-Request-Id': id }).end();
    return 'answered';
  };
}
