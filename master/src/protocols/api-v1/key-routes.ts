import {
  type AccessKeyAnswer,
  type AccessKeysAnswer,
  type AccessRole,
  type NewAccessKeyAnswer,
  parseFilePath,
  rootPath,
  StoreError,
} from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import type { AccessKey } from '../../access/access-keys.ts';
import { isoTime } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';

const mount = '/api/v1/keys';
const nameLettersMax = 100;
const roles: readonly AccessRole[] = ['read', 'write', 'admin'];

/** Access keys: made, listed and removed by administrators of the part of the tree that they open. A secret is in the answer that makes it and in no other. */
export function keyRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, accessKeys, nodes } = front;
  const router = Router({ caseSensitive: true, strict: true });

  /** Whoever administers no part of the tree learns nothing of keys, not even which there are. */
  const authorize = ({ principal }: Exchange) => {
    const path = principal.kind === 'key' ? principal.prefix : rootPath;
    access.authorize(principal, 'admin', { path });
    // A database that is empty or old must neither give nor take rights.
    checkServing(nodes);
  };

  router.get(mount, (request) => {
    const exchange = exchangeOf(request);
    authorize(exchange);
    const keys = accessKeys
      .list()
      .filter(({ prefix }) => access.may(exchange.principal, 'admin', { path: prefix }));
    const answer: AccessKeysAnswer = { keys: keys.map(answerOf) };
    sendJson(exchange, 200, answer);
  });

  router.post(mount, async (request) => {
    const exchange = exchangeOf(request);
    authorize(exchange);
    const body = await readJson(front, exchange);
    const prefix = parseFilePath(fieldOf(body, 'prefix', 'string') ?? '/');
    const name = readName(fieldOf(body, 'name', 'string') ?? '');
    const role = readRole(fieldOf(body, 'role', 'string') ?? 'read');
    access.authorize(exchange.principal, 'admin', { path: prefix });
    const { key, text } = await accessKeys.add({ name, role, prefix });
    const answer: NewAccessKeyAnswer = { ...answerOf(key), key: text };
    sendJson(exchange, 201, answer);
  });

  router.delete(/^\/api\/v1\/keys\/[^/]+$/, async (request: Request) => {
    const exchange = exchangeOf(request);
    authorize(exchange);
    const id = exchange.target.path.slice(mount.length + 1);
    const key = accessKeys.get(id);
    const isTheirs = key && access.may(exchange.principal, 'admin', { path: key.prefix });
    if (!isTheirs || !(await accessKeys.remove(id))) {
      throw new StoreError(
        'not-found',
        `There is no access key ${JSON.stringify(id.slice(0, 80))}.`,
        {
          hint: 'Look at "dfs key ls".',
        },
      );
    }
    exchange.response.writeHead(204, { 'X-Request-Id': exchange.id }).end();
  });

  router.all(mount, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD, POST');
  });
  router.all(/^\/api\/v1\/keys\/[^/]+$/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'DELETE');
  });
  return router;
}

const answerOf = ({
  id,
  name,
  role,
  prefix,
  createdAtMs,
  isUsable,
}: AccessKey): AccessKeyAnswer => ({
  ...{ id, name, role, prefix },
  created: isoTime(createdAtMs),
  usable: isUsable,
});

function readName(name: string): string {
  if (name.length <= nameLettersMax && name.isWellFormed() && !/\p{Cc}/u.test(name)) return name;
  throw new StoreError('invalid-request', 'The name of the key cannot be used.', {
    hint: `Give at most ${nameLettersMax} characters without control characters.`,
  });
}

function readRole(text: string): AccessRole {
  const role = roles.find((each) => each === text);
  if (role) return role;
  throw new StoreError('invalid-request', 'The role of the key is none of read, write and admin.', {
    hint: 'Write one of the three.',
  });
}
