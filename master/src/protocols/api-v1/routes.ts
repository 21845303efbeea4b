import type { ReplicaAnswer, StatAnswer } from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, pathUnder } from '../http/front.ts';
import { authorizeSeeing, noFileAt } from '../http/lookup.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { type Instance, instancesOf } from '../text-api/instances.ts';
import { cacheRoutes } from './cache-routes.ts';
import { LogRoute } from './follow-log.ts';
import { keyRoutes } from './key-routes.ts';
import { addNodeRoutes } from './node-routes.ts';
import { runRestore, sendBackup } from './safekeeping.ts';
import { shareRoutes } from './share-routes.ts';
import { statAt } from './stat.ts';
import { StatusReader } from './status.ts';
import { trashRoutes } from './trash-routes.ts';
import { treeRoutes } from './tree-routes.ts';
import { visibilityRoutes } from './visibility-routes.ts';

const mount = '/api/v1';

/** The routes below `/api/v1` that answer JSON. The bytes of a file by its id are served before express. */
export function apiRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, config } = front;
  const router = Router({ caseSensitive: true, strict: true });
  const log = new LogRoute(front);
  router.use(treeRoutes(front, exchangeOf));
  const status = new StatusReader(front);
  router.use(trashRoutes(front, exchangeOf));
  router.use(keyRoutes(front, exchangeOf));
  router.use(visibilityRoutes(front, exchangeOf));
  router.use(shareRoutes(front, exchangeOf));
  router.use(cacheRoutes(front, exchangeOf));

  router.get(`${mount}/health`, (request) => {
    sendJson(exchangeOf(request), 200, {
      status: 'healthy',
      uptime: Math.floor(process.uptime()),
      instance: config.instanceName,
      known_instances: knownInstances(front, exchangeOf(request)),
    });
  });

  router.get(`${mount}/status`, async (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    sendJson(exchange, 200, await status.status());
  });

  router.get(`${mount}/nodes`, async (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    sendJson(exchange, 200, await status.nodes());
  });

  addNodeRoutes(router, front, status, exchangeOf);

  router.get(`${mount}/log`, (request) => log.answer(exchangeOf(request)));

  router.get(/^\/api\/v1\/stat(?:\/|$)/, async (request: Request) => {
    const exchange = exchangeOf(request);
    sendJson(exchange, 200, await stat(front, exchange));
  });

  router.get(/^\/api\/v1\/replicas\/./, async (request: Request) => {
    const exchange = exchangeOf(request);
    sendJson(exchange, 200, await replicas(front, exchange));
  });

  const { safekeeping } = front;
  if (safekeeping) {
    router.get(`${mount}/backup`, (request) => sendBackup(front, safekeeping, exchangeOf(request)));
    router.post(`${mount}/restore`, (request) =>
      runRestore(front, safekeeping, exchangeOf(request)),
    );
    router.all(`${mount}/backup`, (request: Request, response: Response) => {
      refuseMethod(response, request.method, 'GET, HEAD');
    });
    router.all(`${mount}/restore`, (request: Request, response: Response) => {
      refuseMethod(response, request.method, 'POST');
    });
  }

  const getOnly = /^\/api\/v1\/(?:health|status|nodes|log|stat(?:\/.*)?|replicas\/.+|files\/.+)$/;
  router.all(getOnly, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  router.all(/^\/api\/v1\/(?:nodes\/[^/]+\/drain|rebalance)$/, (request, response) => {
    refuseMethod(response, request.method, 'POST');
  });
  router.all(/^\/api\/v1\/nodes\/[^/]+$/, (request, response) => {
    refuseMethod(response, request.method, 'DELETE');
  });
  return router;
}

/** Beside the one that answers; null where there is none, and for whoever may not know. */
function knownInstances(front: Front, exchange: Exchange): Record<string, Instance> | null {
  const { access, nodes } = front;
  if (nodes.snapshots().length < 2 || !access.may(exchange.principal, 'admin')) return null;
  return instancesOf(front, exchange);
}

async function stat(front: Front, exchange: Exchange): Promise<StatAnswer> {
  const { path } = pathUnder(`${mount}/stat`, exchange);
  await authorizeSeeing(front, exchange, path);
  checkServing(front.nodes);
  return statAt(front, path);
}

async function replicas(front: Front, exchange: Exchange): Promise<ReplicaAnswer[]> {
  const { access, files, nodes } = front;
  const { path } = pathUnder(`${mount}/replicas`, exchange);
  access.authorize(exchange.principal, 'read', { path });
  checkServing(nodes);
  const named = await files.find({ path });
  if (!named) throw noFileAt(path);
  // By id, so that the copies are those of the content just found even when the name moves on meanwhile.
  const copies = await files.replicas({ id: named.file.id });
  return copies.flatMap(({ node, role, state, path: diskPath, sequence }) => {
    const blob = named.file.blobs[sequence]?.blobId;
    return blob === undefined ? [] : [{ node, role, state, path: diskPath, blob, sequence }];
  });
}
