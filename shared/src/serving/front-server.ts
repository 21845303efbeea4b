import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { StoreError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { ServerTls } from '../server-tls.ts';
import { type RequestCounter, recordExchange } from './access-log.ts';
import { answerError } from './answer-error.ts';
import { answerClientErrors } from './client-error.ts';
import type { HttpExchange } from './exchange.ts';
import { parseTarget } from './request-target.ts';
import { textCallOf } from './text-calls.ts';

export interface FrontServerOptions<Exchange extends HttpExchange> {
  /** Absent: HTTP. */
  readonly tls?: ServerTls;
  readonly logger: Logger;
  readonly metrics: RequestCounter;
  readonly exchangeOf: (
    request: IncomingMessage,
    response: ServerResponse,
    awaitsContinue: boolean,
  ) => Exchange;
  /** Serves one request whose target was understood. What it rejects with is answered by the table of errors. */
  readonly serve: (exchange: Exchange) => Promise<void>;
}

/** A server for users, and the way in for requests that reached this program by another one. */
export interface FrontServer<Exchange extends HttpExchange> {
  readonly server: Server;
  /** Serves an exchange as if its request had come in at the server. Never throws. */
  take(exchange: Exchange): void;
}

/** A path of 4096 bytes takes up to 12 KiB percent-encoded, and attributes want room beside it. */
const headersMaxBytes = 32 * 2 ** 10;
const headersTimeoutMs = 60_000;
/** Longer than the pools of common clients keep an idle connection, so that they close it and not we, just as they use it. */
const keepAliveMs = 75_000;

/**
 * A server that users reach: each request is an exchange, answered by one table of errors, logged in one line and counted. Headers are bounded in length and
 * time; how long a body may pause is for whoever reads it.
 */
export function createFrontServer<Exchange extends HttpExchange>({
  tls = ServerTls.none(),
  logger,
  metrics,
  exchangeOf,
  serve,
}: FrontServerOptions<Exchange>): FrontServer<Exchange> {
  const answer = async (exchange: Exchange): Promise<void> => {
    const { request, response } = exchange;
    try {
      refuseBadHeaders(request, response);
      exchange.target = parseTarget(request.url ?? '');
      exchange.textCall = textCallOf(exchange.target.path);
      await serve(exchange);
    } catch (error) {
      await refuse(exchange, error, logger);
    }
  };
  const take = (exchange: Exchange) => {
    recordExchange(exchange, answer(exchange), { logger, metrics });
  };
  const server = tls.createServer(
    { maxHeaderSize: headersMaxBytes, requireHostHeader: false },
    (request, response) => take(exchangeOf(request, response, false)),
  );
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) =>
    take(exchangeOf(request, response, true)),
  );
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const exchange = exchangeOf(request, response, false);
    const refusal = new StoreError('invalid-request', 'The header Expect asks for nothing known.', {
      hint: 'Leave it out, or send "Expect: 100-continue".',
    });
    recordExchange(exchange, refuse(exchange, refusal, logger), { logger, metrics });
  });
  answerClientErrors(server);
  // Those past a number would be dropped without a word, and with them a digest or a condition; their length is limited anyway.
  server.maxHeadersCount = 0;
  // An upload may take hours. What limits it instead is how long its sender may pause.
  server.requestTimeout = 0;
  server.headersTimeout = headersTimeoutMs;
  server.keepAliveTimeout = keepAliveMs;
  return { server, take };
}

/** Answers a failure. Never rejects: where not even that can be answered, the connection is cut. */
export async function refuse(
  exchange: HttpExchange,
  failure: unknown,
  logger: Logger,
): Promise<void> {
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
