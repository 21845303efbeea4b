import { type NextFunction, type Request, type Response, Router } from 'express';
import { copyPath, deletePath, makeDirectory, movePath } from './change-tree.ts';
import type { Exchange } from './exchange.ts';
import { findEntries } from './find-entries.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { listDirectory } from './list-directory.ts';
import { postForm } from './post-form.ts';
import { putFile } from './put-file.ts';
import { refuseMethod } from './send.ts';

const allowed = 'OPTIONS, GET, HEAD, PUT, POST, DELETE, MKCOL, MOVE, COPY';
/** No part of it is captured: paths are judged as they were sent, not as express would decode them. */
const anyPath = /^\/fs(?:\/|$)/;
const anyFind = /^\/find(?:\/|$)/;

/**
 * The routes below `/fs` for all that is not the bytes of one file: those go by `serveFileBytes` before express. A GET that found a directory where a file
 * could have been comes here too.
 */
export function fileRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const router = Router({ caseSensitive: true });
  router.get(anyPath, async (request: Request, _response: Response) => {
    const accepted = request.accepts(['html', 'json']) === 'json' ? 'json' : 'html';
    await listDirectory(front, exchangeOf(request), accepted);
  });
  // Only with a slash at its end does a PUT come here, and it is refused with the reason.
  router.put(anyPath, (request: Request) => putFile(front, exchangeOf(request)));
  router.post(anyPath, (request: Request) => postForm(front, exchangeOf(request), request));
  router.delete(anyPath, (request: Request) => deletePath(front, exchangeOf(request)));
  router.mkcol(anyPath, (request: Request) => makeDirectory(front, exchangeOf(request)));
  router.move(anyPath, (request: Request) => movePath(front, exchangeOf(request)));
  router.copy(anyPath, (request: Request) => copyPath(front, exchangeOf(request)));
  router.get(anyFind, (request: Request) => findEntries(front, exchangeOf(request)));
  router.all(anyFind, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  router.options(anyPath, (request: Request, response: Response) => {
    const exchange = exchangeOf(request);
    pathUnder(filesMount, exchange);
    response
      .writeHead(204, { Allow: allowed, 'Accept-Ranges': 'bytes', 'X-Request-Id': exchange.id })
      .end();
  });
  router.all(anyPath, (request: Request, response: Response, _next: NextFunction) => {
    checkServing(front.nodes);
    refuseMethod(response, request.method, allowed);
  });
  return router;
}
