import type { IncomingMessage } from 'node:http';
import { StoreError } from '@dfs/shared';
import type { Logger, ServerTls } from '@dfs/shared/cluster';
import {
  type CrossOrigin,
  createFrontServer,
  type FrontServer,
  refuse,
  TrustedProxies,
} from '@dfs/shared/serving';
import express, { type NextFunction, type Request, type Response } from 'express';
import { FailureThrottle } from './access/failure-throttle.ts';
import type { Metrics } from './metrics.ts';
import { type Care, careRoutes } from './protocols/api-v1/care-routes.ts';
import { apiRoutes } from './protocols/api-v1/routes.ts';
import { Exchange } from './protocols/http/exchange.ts';
import type { Front } from './protocols/http/front.ts';
import { fileRoutes } from './protocols/http/routes.ts';
import { fileBytesRequestOf, serveFileBytes } from './protocols/http/serve-file-bytes.ts';
import { pageRoutes } from './protocols/pages/routes.ts';
import { registrationPath, tellOfRefusal } from './protocols/text-api/registration.ts';
import { textRoutes } from './protocols/text-api/routes.ts';

export interface PublicServerDependencies extends Front {
  readonly care: Care;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Whose word on the client counts; absent: nobody's. */
  readonly proxies?: TrustedProxies;
  /** Absent: pages of other origins are left to their browsers, which let them read nothing. */
  readonly crossOrigin?: CrossOrigin;
  /** Absent: HTTP. */
  readonly tls?: ServerTls;
}

/** The public port, and the way in for requests that nodes pass on. */
export type PublicServer = FrontServer<Exchange>;

/**
 * The public port: requests for the bytes of a file go straight to the front, all others through express. Each is authenticated first, answered by one
 * table of errors, logged in one line and counted.
 */
export function createPublicServer(dependencies: PublicServerDependencies): PublicServer {
  const { access, crossOrigin, logger, metrics, tls } = dependencies;
  const { proxies = TrustedProxies.none } = dependencies;
  const app = createApp(dependencies);
  const told = new FailureThrottle(dependencies.clock);
  return createFrontServer<Exchange>({
    ...(tls === undefined ? {} : { tls }),
    logger,
    metrics,
    exchangeOf: (request, response, awaitsContinue) =>
      new Exchange(request, response, awaitsContinue),
    serve: async (exchange) => {
      const { request, response } = exchange;
      const { path, query, authority } = exchange.target;
      if (crossOrigin?.(exchange) === 'answered') return;
      const peer = { address: exchange.clientAddress, isTls: exchange.isTls };
      const client = exchange.forwardedFor ?? proxies.clientOf(peer, request.headers, authority);
      exchange.clientAddress = client.address;
      exchange.baseUrl = client.baseUrl;
      if (path === registrationPath) tellOfRefusal(exchange, { logger, told });
      exchange.principal = access.authenticate(request.headers, {
        authority,
        clientAddress: client.address,
      });
      const kind = fileBytesRequestOf(exchange);
      if (kind && (await serveFileBytes(dependencies, exchange, kind)) === 'answered') return;
      // express is to see what we saw: the target without its host.
      request.url = query === '' ? path : `${path}?${query}`;
      exchanges.set(request, exchange);
      app(request, response);
    },
  });
}

/** The exchange of each request on its way, for handlers that express calls with the request alone. */
const exchanges = new WeakMap<IncomingMessage, Exchange>();
const exchangeOf = (request: IncomingMessage) => exchanges.get(request) as Exchange;

/** All routes of the public port but those for the bytes of a file. To be called with requests of `createPublicServer` alone. */
export function createApp(dependencies: PublicServerDependencies): express.Express {
  const { logger, metrics } = dependencies;
  const app = express().disable('x-powered-by').disable('etag');
  app.use(fileRoutes(dependencies, exchangeOf));
  app.use(apiRoutes(dependencies, exchangeOf));
  app.use(textRoutes(dependencies, exchangeOf));
  app.use(careRoutes(dependencies, exchangeOf));
  app.use(pageRoutes(dependencies, metrics, exchangeOf));
  app.use((request: Request) => {
    const { path } = exchangeOf(request).target;
    throw new StoreError(
      'not-found',
      `This server has no ${request.method} ${path.slice(0, 200)}.`,
      {
        hint: 'Files are under /fs/, and what this server tells of itself under /api/v1/.',
      },
    );
  });
  // express knows an error handler by its four parameters.
  app.use((error: unknown, request: Request, _response: Response, _next: NextFunction) => {
    void refuse(exchangeOf(request), error, logger);
  });
  return app;
}
