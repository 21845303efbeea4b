import { sendText } from '@dfs/shared/serving';
import { type Request, type Response, Router } from 'express';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { cacheHere, cacheOnAll, dropCaches } from './cache-file.ts';
import { informationOf, readCount } from './information.ts';
import { instancesOf } from './instances.ts';
import { readQueryForm } from './read-query-form.ts';
import { registration, registrationPath } from './registration.ts';
import { grantIpv4, presign, presignMount, revokeIpv4, revokeSignature } from './share-file.ts';
import { somewhere } from './somewhere.ts';
import { storeFile } from './store-file.ts';

const mount = '/api/v1';

/**
 * The calls of `/api/v1` that are documented in docs/http-api.md and speak plain text: an interface that existed before this system, kept word for word. `stream` and `download` are
 * served before express.
 */
export function textRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, caching, nodes, files, log } = front;
  const router = Router({ caseSensitive: true, strict: true });

  router.post(`${mount}/store`, (request) => storeFile(front, exchangeOf(request), request));

  router.post(`${mount}/delete`, async (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'delete', somewhere(exchange));
    checkServing(nodes);
    const { path, reference } = await readQueryForm(front, exchange, request);
    access.authorize(exchange.principal, 'delete', { path });
    await caching.control.dropCaches(path);
    await files.remove(path, { expect: 'file' });
    sendText(exchange, reference);
  });

  router.post(`${mount}/cache`, (request) => cacheHere(front, exchangeOf(request), request));
  router.post(`${mount}/shard_cache`, (request) => cacheOnAll(front, exchangeOf(request), request));
  router.post(`${mount}/delete_cache`, (request) =>
    dropCaches(front, exchangeOf(request), request),
  );

  router.get(/^\/api\/v1\/presign\/./, (request: Request) => presign(front, exchangeOf(request)));
  router.delete(presignMount, (request) => revokeSignature(front, exchangeOf(request)));
  router.get(/^\/api\/v1\/ipv4access\/./, (request: Request) =>
    grantIpv4(front, exchangeOf(request)),
  );
  router.delete(/^\/api\/v1\/ipv4access\/./, (request: Request) =>
    revokeIpv4(front, exchangeOf(request)),
  );

  router.get(`${mount}/information`, async (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    checkServing(nodes);
    sendJson(exchange, 200, await informationOf(front, exchange, readCount(exchange)));
  });

  router.get(`${mount}/registered_instances`, (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    sendJson(exchange, 200, instancesOf(front, exchange));
  });

  router.post(registrationPath, (request) => {
    const exchange = exchangeOf(request);
    sendJson(exchange, 200, registration(front, exchange));
  });

  router.get(`${mount}/logs`, (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    sendText(exchange, log.lines().join(''));
  });
  router.delete(`${mount}/logs`, (request) => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    log.clear();
    sendText(exchange, 'Deleted');
  });

  const allowed: readonly [RegExp, string][] = [
    [/^\/api\/v1\/(?:store|delete|register|cache|shard_cache|delete_cache)$/, 'POST'],
    [/^\/api\/v1\/(?:stream|download)(?:\/|$)/, 'GET, HEAD'],
    [/^\/api\/v1\/presign$/, 'DELETE'],
    [/^\/api\/v1\/presign\//, 'GET'],
    [/^\/api\/v1\/ipv4access\//, 'GET, DELETE'],
    [/^\/api\/v1\/(?:registered_instances|information)$/, 'GET, HEAD'],
    [/^\/api\/v1\/logs$/, 'GET, HEAD, DELETE'],
  ];
  for (const [paths, methods] of allowed) {
    router.all(paths, (request: Request, response: Response) => {
      refuseMethod(response, request.method, methods);
    });
  }
  return router;
}
