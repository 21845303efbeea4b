import { StoreError } from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import type { Visibility } from '../../metadata/metadata-repository.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, pathUnder } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';
import { statAt } from './stat.ts';

const mount = '/api/v1/visibility';
const anyPath = /^\/api\/v1\/visibility(?:\/|$)/;

/** `PUT /api/v1/visibility/<path>`: who may read a file, or all below a directory. Answers as `stat` does. */
export function visibilityRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, files, nodes } = front;
  const router = Router({ caseSensitive: true, strict: true });
  router.put(anyPath, async (request: Request) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(mount, exchange);
    access.authorize(exchange.principal, 'share', { path });
    checkServing(nodes);
    const body = await readJson(front, exchange);
    await files.setVisibility(path, parseVisibility(fieldOf(body, 'visibility', 'string')));
    sendJson(exchange, 200, await statAt(front, path));
  });
  router.all(anyPath, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'PUT');
  });
  return router;
}

function parseVisibility(text: string | undefined): Visibility {
  if (text === 'public' || text === 'private' || text === 'inherit') return text;
  throw new StoreError(
    'invalid-request',
    'The field visibility is none of public, private and inherit.',
    { hint: 'Write one of the three; "inherit" is as the directory above has it.' },
  );
}
