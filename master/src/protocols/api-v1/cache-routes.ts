import { type HotAnswer, type NodeId, type NodeName, StoreError } from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import {
  type CacheTargets,
  cachePriorityMax,
  cachePriorityMin,
} from '../../caching/cache-control.ts';
import type { HotFile } from '../../caching/hot-files.ts';
import { findNode } from '../../cluster/node-admin.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, pathUnder } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';

const cachesMount = '/api/v1/caches';
const hotPath = '/api/v1/hot';
const caches = /^\/api\/v1\/caches(?:\/|$)/;

/** `POST` and `DELETE /api/v1/caches/<path>`, for whoever may write there, and `GET /api/v1/hot`, for administrators. */
export function cacheRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, nodes, caching } = front;
  const router = Router({ caseSensitive: true, strict: true });

  router.post(caches, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(cachesMount, exchange);
    access.authorize(exchange.principal, 'write', { path });
    checkServing(nodes);
    const targets = targetsOf(await readJson(front, exchange), nodes);
    sendJson(exchange, 200, await caching.control.cacheOn(path, targets));
  });

  router.delete(caches, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(cachesMount, exchange);
    access.authorize(exchange.principal, 'write', { path });
    checkServing(nodes);
    sendJson(exchange, 200, await caching.control.dropCaches(path));
  });

  router.get(hotPath, async (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    checkServing(nodes);
    const files = (await caching.hot.list()).map((file) => hotAnswerOf(file, nodes));
    sendJson(exchange, 200, { limit: caching.hot.limitPerMinute, files } satisfies HotAnswer);
  });

  router.all(caches, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'POST, DELETE');
  });
  router.all(hotPath, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  return router;
}

/** Rejects with `invalid-request`, and with `not-found` or `conflict` for a node that is not there or is named like another one. */
function targetsOf(
  body: Readonly<Record<string, unknown>>,
  nodes: Pick<Front['nodes'], 'snapshots'>,
): CacheTargets {
  const priority = fieldOf(body, 'priority', 'number');
  return {
    nodes: nodesOf(body['on'], nodes),
    ...(priority === undefined ? {} : { priority: checkPriority(priority) }),
  };
}

function nodesOf(on: unknown, nodes: Pick<Front['nodes'], 'snapshots'>): CacheTargets['nodes'] {
  if (on === undefined || on === 'all') return 'all';
  if (typeof on === 'string') return findNode(nodes.snapshots(), on).id;
  if (typeof on === 'number' && Number.isSafeInteger(on) && on >= 1) return on;
  throw new StoreError('invalid-request', 'The field "on" names no nodes.', {
    hint: 'Give "all", a number of nodes from 1 on, or the id or name of a node.',
  });
}

function checkPriority(priority: number): number {
  const isInside = priority >= cachePriorityMin && priority <= cachePriorityMax;
  if (Number.isInteger(priority) && isInside) return priority;
  throw new StoreError('invalid-request', 'The field "priority" is no priority.', {
    hint: `Give a whole number from ${cachePriorityMin} to ${cachePriorityMax}.`,
  });
}

function hotAnswerOf(
  { path, fileId, sizeBytes, readsPerMinute, storedOn, cachedOn }: HotFile,
  nodes: Pick<Front['nodes'], 'find'>,
): HotAnswer['files'][number] {
  const named = (id: NodeId): NodeName => ({ id, name: nodes.find(id)?.name ?? id });
  return {
    path,
    id: fileId,
    size: sizeBytes,
    readsPerMinute,
    stored: storedOn.map(named),
    cached: cachedOn.map(named),
  };
}
