import { StoreError } from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import { usageAnswerOf } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, pathUnder } from '../http/front.ts';
import { parseIsoTime } from '../http/iso-time.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';
import { statAt } from './stat.ts';

const usageMount = '/api/v1/usage';
const touchMount = '/api/v1/touch';
const copiesMount = '/api/v1/copies';

const copiesMax = 16;

/** What is asked of and done to one name of the tree, besides the methods of `/fs`. */
export function treeRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, files, nodes } = front;
  const router = Router({ caseSensitive: true, strict: true });

  router.get(/^\/api\/v1\/usage(?:\/|$)/, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(usageMount, exchange);
    access.authorize(exchange.principal, 'read', { path });
    checkServing(nodes);
    sendJson(exchange, 200, usageAnswerOf(path, await files.usage(path)));
  });

  router.post(/^\/api\/v1\/touch(?:\/|$)/, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(touchMount, exchange);
    access.authorize(exchange.principal, 'write', { path });
    checkServing(nodes);
    const body = await readJson(front, exchange);
    const modified = fieldOf(body, 'modified', 'string');
    await files.touch(path, {
      create: fieldOf(body, 'create', 'boolean') ?? true,
      signal: exchange.signal,
      ...(modified === undefined ? {} : { modifiedAtMs: parseIsoTime(modified, 'modified') }),
    });
    exchange.response.writeHead(204, { 'X-Request-Id': exchange.id }).end();
  });

  router.put(/^\/api\/v1\/copies(?:\/|$)/, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(copiesMount, exchange);
    access.authorize(exchange.principal, 'write', { path });
    checkServing(nodes);
    await files.setCopies(path, readCopies(await readJson(front, exchange)));
    sendJson(exchange, 200, await statAt(front, path));
  });

  router.all(/^\/api\/v1\/usage(?:\/|$)/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  router.all(/^\/api\/v1\/touch(?:\/|$)/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'POST');
  });
  router.all(/^\/api\/v1\/copies(?:\/|$)/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'PUT');
  });
  return router;
}

function readCopies(body: Readonly<Record<string, unknown>>): number | null {
  const { copies } = body;
  if (copies === null) return null;
  if (Number.isInteger(copies) && Number(copies) >= 1 && Number(copies) <= copiesMax) {
    return Number(copies);
  }
  throw new StoreError('invalid-request', 'The field copies is no number of copies.', {
    hint: `Give a number from 1 to ${copiesMax}, or null to have as many as the directory above.`,
  });
}
