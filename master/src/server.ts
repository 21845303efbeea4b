import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { StoreError } from '@dfs/shared';
import { type Logger, ServerTls } from '@dfs/shared/cluster';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Metrics } from './metrics.ts';
import { type Care, careRoutes } from './protocols/api-v1/care-routes.ts';
import { apiRoutes } from './protocols/api-v1/routes.ts';
import { recordExchange } from './protocols/http/access-log.ts';
import { answerError } from './protocols/http/answer-error.ts';
import { answerClientErrors } from './protocols/http/client-error.ts';
import { Exchange } from './protocols/http/exchange.ts';
import type { Front } from './protocols/http/front.ts';
import { parseTarget } from './protocols/http/request-target.ts';
import { fileRoutes } from './protocols/http/routes.ts';
import { fileBytesRequestOf, serveFileBytes } from './protocols/http/serve-file-bytes.ts';
import { pageRoutes } from './protocols/pages/routes.ts';

export interface PublicServerDependencies extends Front {
  readonly care: Care;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** Absent: HTTP. */
  readonly tls?: ServerTls;
}

/** A path of 4096 bytes takes up to 12 KiB percent-encoded, and attributes want room beside it. */
const headersMaxBytes = 32 * 2 ** 10;
const headersTimeoutMs = 60_000;
/** Longer than the pools of common clients keep an idle connection, so that they close it and not we, just as they use it. */
const keepAliveMs = 75_000;

/**
 * The public port: requests for the bytes of a file go straight to the front, all others through express. Each is authenticated first, answered by one
 * table of errors, logged in one line and counted.
 */
export function createPublicServer(dependencies: PublicServerDependencies): Server {
  const { access, logger } = dependencies;
  const app = createApp(dependencies);

  const serve = async (exchange: Exchange): Promise<void> => {
    const { request, response } = exchange;
    try {
      refuseBadHeaders(request, response);
      exchange.target = parseTarget(request.url ?? '');
      const { path, query, authority } = exchange.target;
      exchange.principal = access.authenticate(request.headers, {
        authority,
        clientAddress: exchange.clientAddress,
      });
      const kind = fileBytesRequestOf(exchange);
      if (kind && (await serveFileBytes(dependencies, exchange, kind)) === 'answered') return;
      // express is to see what we saw: the target without its host.
      request.url = query === '' ? path : `${path}?${query}`;
      app(request, response);
    } catch (error) {
      await refuse(exchange, error, logger);
    }
  };
  const take =
    (awaitsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      const exchange = new Exchange(request, response, awaitsContinue);
      exchanges.set(request, exchange);
      recordExchange(exchange, serve(exchange), dependencies);
    };

  const server = (dependencies.tls ?? ServerTls.none()).createServer(
    { maxHeaderSize: headersMaxBytes, requireHostHeader: false },
    take(false),
  );
  server.on('checkContinue', take(true));
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const exchange = new Exchange(request, response, false);
    const refusal = new StoreError('invalid-request', 'The header Expect asks for nothing known.', {
      hint: 'Leave it out, or send "Expect: 100-continue".',
    });
    recordExchange(exchange, refuse(exchange, refusal, logger), dependencies);
  });
  answerClientErrors(server);
  // Those past a number would be dropped without a word, and with them a digest or a condition; their length is limited anyway.
  server.maxHeadersCount = 0;
  // An upload may take hours. What limits it instead is how long its sender may pause.
  server.requestTimeout = 0;
  server.headersTimeout = headersTimeoutMs;
  server.keepAliveTimeout = keepAliveMs;
  return server;
}

/** The exchange of each request on its way, for handlers that express calls with the request alone. */
const exchanges = new WeakMap<IncomingMessage, Exchange>();
const exchangeOf = (request: IncomingMessage) => exchanges.get(request) as Exchange;

function createApp(dependencies: PublicServerDependencies): express.Express {
  const { logger, metrics } = dependencies;
  const app = express().disable('x-powered-by').disable('etag');
  app.use(fileRoutes(dependencies, exchangeOf));
  app.use(apiRoutes(dependencies, exchangeOf));
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

/** Answers a failure. Never rejects: where not even that can be answered, the connection is cut. */
async function refuse(exchange: Exchange, failure: unknown, logger: Logger): Promise<void> {
  try {
    await answerError(exchange, failure, logger);
  } catch (error) {
    logger.error('a failure could not be answered', { requestId: exchange.id, error });
    exchange.response.destroy();
  }
}

/** HTTP/1.1 wants exactly one host (RFC 9112 section 3.2), for whose absence node:http would refuse without saying why. A header without a name is let in by the parser of older Node.js. */
function refuseBadHeaders(request: IncomingMessage, response: ServerResponse): void {
  const { headers, httpVersion } = request;
  if (headers[''] !== undefined) {
    response.shouldKeepAlive = false;
    throw new StoreError('invalid-request', 'A header of the request has no name.', {
      hint: 'Send HTTP/1.1 as RFC 9112 defines it.',
    });
  }
  if (headers.host !== undefined || httpVersion === '1.0') return;
  throw new StoreError('invalid-request', 'The request has no Host header.', {
    hint: 'Send the name of the server in the header Host.',
  });
}
