import {
  type FilePath,
  type GrantAnswer,
  type GrantsAnswer,
  parseFilePath,
  type ShareAnswer,
  StoreError,
} from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import {
  grantAddress,
  listGrants,
  revokeGrant,
  revokeLink,
  shareLink,
  unshare,
} from '../../access/sharing.ts';
import type { AddressGrant } from '../../metadata/rights.ts';
import { fsUrlOf, isoTime } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front, pathUnder } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';

const sharesMount = '/api/v1/shares';
const grantsMount = '/api/v1/grants';
const anyShare = /^\/api\/v1\/shares\/./;
const anyGrant = /^\/api\/v1\/grants(?:\/|$)/;

const limitDefault = 1_000;
const limitMax = 1_000;

/** Links and address grants, which open single files for a time: making them, looking at them, taking them back. */
export function shareRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, nodes } = front;
  const router = Router({ caseSensitive: true, strict: true });

  /** The exchange and the path, for whoever may share there. */
  const sharing = (request: Request, mount: string) => {
    const exchange = exchangeOf(request);
    const { path } = pathUnder(mount, exchange);
    const { principal } = exchange;
    access.authorize(principal, 'share', { path });
    checkServing(nodes);
    return { exchange, principal, path };
  };

  router.post(anyShare, async (request: Request) => {
    const { exchange, principal, path } = sharing(request, sharesMount);
    const body = await readJson(front, exchange);
    const link = await shareLink(front, principal, path, {
      seconds: secondsOf(body),
      download: fieldOf(body, 'download', 'boolean') ?? false,
      follow: fieldOf(body, 'follow', 'boolean') ?? false,
    });
    const answer: ShareAnswer = {
      path,
      url: sharedUrlOf(front, exchange, path, link.signature),
      signature: link.signature,
      expiresAt: isoTime(link.expiresAtMs),
    };
    sendJson(exchange, 201, answer);
  });

  router.delete(anyShare, async (request: Request) => {
    const { exchange, principal, path } = sharing(request, sharesMount);
    sendJson(exchange, 200, await unshare(front, principal, path));
  });

  router.delete(sharesMount, async (request) => {
    const exchange = exchangeOf(request);
    const { principal, query } = exchange;
    // To a stranger nothing else is told.
    if (principal.kind === 'anonymous') access.authorize(principal, 'share');
    checkServing(nodes);
    const path = query.get('path');
    const ofPath = path === null ? undefined : parseFilePath(path);
    const signature = query.get('signature') ?? '';
    sendJson(exchange, 200, await revokeLink(front, principal, signature, ofPath));
  });

  router.post(anyGrant, async (request: Request) => {
    const { exchange, principal, path } = sharing(request, grantsMount);
    const body = await readJson(front, exchange);
    const network = fieldOf(body, 'network', 'string') ?? '';
    const grant = await grantAddress(front, principal, path, {
      network,
      seconds: secondsOf(body),
    });
    sendJson(exchange, 201, grantAnswerOf(grant));
  });

  router.get(anyGrant, async (request: Request) => {
    const { exchange, principal, path } = sharing(request, grantsMount);
    const after = exchange.query.get('after');
    const { grants, next } = await listGrants(front, principal, {
      under: path,
      limit: readLimit(exchange.query.get('limit')),
      ...(after === null ? {} : { after }),
    });
    const answer: GrantsAnswer = {
      grants: grants.map(grantAnswerOf),
      ...(next === undefined ? {} : { next }),
    };
    sendJson(exchange, 200, answer);
  });

  router.delete(anyGrant, async (request: Request) => {
    const { exchange, principal, path } = sharing(request, grantsMount);
    const network = exchange.query.get('network') ?? undefined;
    sendJson(exchange, 200, await revokeGrant(front, principal, path, network));
  });

  router.all(anyShare, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'POST, DELETE');
  });
  router.all(sharesMount, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'DELETE');
  });
  router.all(anyGrant, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD, POST, DELETE');
  });
  return router;
}

/** Where a link leads: at the address that is configured, else at the one by which the request came. Rejects with `invalid-request`. */
function sharedUrlOf(
  { config }: Front,
  { baseUrl }: Exchange,
  path: FilePath,
  signature: string,
): string {
  const base = config.publicUrl ?? baseUrl;
  if (base !== undefined) return `${base}${fsUrlOf(path)}?signature=${signature}`;
  throw new StoreError('invalid-request', 'The request names no host that a link could lead to.', {
    hint: 'Send it to a host name or an address, or set DFS_PUBLIC_URL of the master.',
  });
}

function secondsOf(body: Readonly<Record<string, unknown>>): number {
  const seconds = fieldOf(body, 'seconds', 'number');
  if (seconds !== undefined) return seconds;
  throw new StoreError('invalid-request', 'The field seconds is missing.', {
    hint: 'Say how long, as in {"seconds": 3600}.',
  });
}

const grantAnswerOf = (grant: AddressGrant): GrantAnswer => ({
  path: grant.path,
  network: grant.network,
  createdBy: grant.createdBy,
  createdAt: isoTime(grant.createdAtMs),
  expiresAt: isoTime(grant.expiresAtMs),
});

function readLimit(text: string | null): number {
  if (text === null) return limitDefault;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= limitMax) return limit;
  throw new StoreError('invalid-request', 'The limit is no number of grants.', {
    hint: `Give a number from 1 to ${limitMax}.`,
  });
}
