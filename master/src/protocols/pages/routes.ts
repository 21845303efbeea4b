import { sendText } from '@dfs/shared/serving';
import { type Request, type Response, Router } from 'express';
import type { Metrics } from '../../metrics.ts';
import type { Exchange } from '../http/exchange.ts';
import type { Front } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { greet } from './greeting.ts';
import { readinessOf } from './readiness.ts';

/** The greeting, and what watches the process: `/`, `/healthz`, `/readyz`, `/metrics`. */
export function pageRoutes(
  front: Front,
  metrics: Metrics,
  exchangeOf: (request: Request) => Exchange,
): Router {
  const router = Router({ caseSensitive: true, strict: true });

  router.get('/', (request) => {
    const format = request.accepts(['text', 'html']) === 'html' ? 'html' : 'text';
    greet(exchangeOf(request), front.version, format);
  });

  router.get('/healthz', (request) => {
    sendText(exchangeOf(request), 'ok\n');
  });

  router.get('/readyz', async (request) => {
    const readiness = await readinessOf(front);
    sendJson(exchangeOf(request), readiness.ready ? 200 : 503, readiness);
  });

  router.get('/metrics', async (request) => {
    const exchange = exchangeOf(request);
    front.access.authorize(exchange.principal, 'admin');
    const { text, contentType } = await metrics.expose();
    sendText(exchange, text, { contentType });
  });

  // `OPTIONS *` asks about the server as a whole (RFC 9110 section 9.3.7).
  router.options(/^\*$/, (request: Request, response: Response) => {
    const allowed = 'OPTIONS, GET, HEAD, PUT, POST, DELETE, MKCOL';
    response.writeHead(204, { Allow: allowed, 'X-Request-Id': exchangeOf(request).id }).end();
  });

  router.all(/^\/(?:healthz|readyz|metrics)?$/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  return router;
}
