import { type NextFunction, type Request, type Response, Router } from 'express';
import { deletePath, makeDirectory } from './change-tree.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { listDirectory } from './list-directory.ts';
import { postForm } from './post-form.ts';
import { putFile } from './put-file.ts';
import { refuseMethod } from './send.ts';

const allowed = 'OPTIONS, GET, HEAD, PUT, POST, DELETE, MKCOL';
/** No part of it is captured: paths are judged as they were sent, not as express would decode them. */
const anyPath = /^\/fs(?:\/|$)/;

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
