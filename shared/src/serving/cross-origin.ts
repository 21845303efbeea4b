import cors from 'cors';
import type { EnvironmentReader } from '../environment.ts';
import type { HttpExchange } from './exchange.ts';

/** Lets pages of other origins use this server, as far as they have a key or what they ask for is public. */
export type CrossOrigin = (exchange: HttpExchange) => 'answered' | 'goes on';

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

/** The origins (RFC 6454) that `DFS_CORS_ORIGINS` names, or `*`. What is none is a fault. */
export function readOrigins(read: EnvironmentReader): readonly string[] {
  const name = 'DFS_CORS_ORIGINS';
  const origins = (read.optional(name) ?? '').split(',').flatMap((text) => text.trim() || []);
  for (const origin of origins) {
    if (origin === '*' || (URL.canParse(origin) && new URL(origin).origin === origin)) continue;
    read.fault(
      `${name} holds ${JSON.stringify(origin)}: write origins such as https://app.example, separated by commas, or *.`,
    );
  }
  return origins;
}
