import {
  type EntryId,
  type FilePath,
  isWithin,
  parseEntryId,
  parseFilePath,
  rootPath,
  StoreError,
  type TrashAnswer,
  type TrashEmptyAnswer,
  type TrashItem,
  type TrashRestoreAnswer,
} from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import type { TrashSelection } from '../../files/tree-types.ts';
import type { TrashedEntry } from '../../metadata/tree-changes.ts';
import { isoTime } from '../http/answers.ts';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { parseOnConflict } from '../http/put-request.ts';
import { refuseMethod, sendJson } from '../http/send.ts';
import { fieldOf, readJson } from './read-json.ts';

const mount = '/api/v1/trash';
const limitDefault = 1_000;
const limitMax = 1_000;
const idsMax = 1_000;

/** What was removed or replaced, to be seen, brought back, or let go. Needs the right to delete there; where no path is named, it is about the part of the tree that the key opens. */
export function trashRoutes(front: Front, exchangeOf: (request: Request) => Exchange): Router {
  const { access, files, nodes } = front;
  const router = Router({ caseSensitive: true, strict: true });

  /** The part of the tree that is meant; undefined: all of it. */
  const authorize = ({ principal }: Exchange, wanted?: FilePath): FilePath | undefined => {
    const path = wanted ?? (principal.kind === 'key' ? principal.prefix : rootPath);
    access.authorize(principal, 'delete', { path });
    checkServing(nodes);
    return path === rootPath ? undefined : path;
  };

  router.get(mount, async (request) => {
    const exchange = exchangeOf(request);
    const { query } = exchange;
    const wanted = query.get('path');
    const path = authorize(exchange, wanted === null ? undefined : parseFilePath(wanted));
    const after = query.get('after');
    const { items, next } = await files.listTrash({
      limit: readLimit(query.get('limit')),
      ...(after === null ? {} : { after }),
      ...(path === undefined ? {} : { path }),
    });
    const answer: TrashAnswer = {
      items: items.map(trashItemOf),
      ...(next === undefined ? {} : { next }),
    };
    sendJson(exchange, 200, answer);
  });

  router.post(`${mount}/restore`, async (request) => {
    const exchange = exchangeOf(request);
    // Where it was is known only later.
    const within = authorize(exchange);
    const body = await readJson(front, exchange);
    const id = fieldOf(body, 'id', 'string');
    const to = fieldOf(body, 'to', 'string');
    if (id === undefined) {
      throw new StoreError('invalid-request', 'The field id is missing.', {
        hint: 'Name the item by the id that the trash lists.',
      });
    }
    const place = to === undefined ? {} : { to: parseFilePath(to) };
    if (place.to !== undefined) access.authorize(exchange.principal, 'write', { path: place.to });
    const path = await files.restoreFromTrash(parseEntryId(id), {
      onConflict: parseOnConflict(fieldOf(body, 'onConflict', 'string')) ?? 'fail',
      ...place,
      ...(within === undefined ? {} : { within }),
    });
    const answer: TrashRestoreAnswer = { path };
    sendJson(exchange, 200, answer);
  });

  router.post(`${mount}/empty`, async (request) => {
    const exchange = exchangeOf(request);
    // Before the body of a stranger is read.
    const within = authorize(exchange);
    const selection = readSelection(await readJson(front, exchange));
    const answer: TrashEmptyAnswer = {
      removed: await files.emptyTrash(within === undefined ? selection : narrow(selection, within)),
    };
    sendJson(exchange, 200, answer);
  });

  router.all(mount, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'GET, HEAD');
  });
  router.all(/^\/api\/v1\/trash\/(?:restore|empty)$/, (request: Request, response: Response) => {
    refuseMethod(response, request.method, 'POST');
  });
  return router;
}

const trashItemOf = (item: TrashedEntry): TrashItem => ({
  id: item.id,
  path: item.path,
  kind: item.kind,
  reason: item.reason,
  removed: isoTime(item.removedAtMs),
  expires: isoTime(item.expiresAtMs),
  size: item.sizeBytes,
  files: item.files,
});

/** What of it was inside a part of the tree. Rejects with `forbidden` for a path outside. */
function narrow(selection: TrashSelection, within: FilePath): TrashSelection {
  if ('ids' in selection) return { ...selection, within };
  if ('all' in selection) return { path: within };
  if (isWithin(selection.path, within)) return selection;
  throw new StoreError('forbidden', `The key opens ${within}, and ${selection.path} is outside.`);
}

function readSelection(body: Readonly<Record<string, unknown>>): TrashSelection {
  const ids = readIds(body['ids']);
  const path = fieldOf(body, 'path', 'string');
  if (ids && path !== undefined) {
    throw new StoreError('invalid-request', 'The fields ids and path are both there.', {
      hint: 'Name items or a path, or neither for all.',
    });
  }
  if (ids) return { ids };
  return path === undefined ? { all: true } : { path: parseFilePath(path) };
}

function readIds(value: unknown): readonly EntryId[] | undefined {
  if (value === undefined) return undefined;
  // An empty list names nothing, and must not pass for the absence of one, which names all.
  if (
    Array.isArray(value) &&
    value.length <= idsMax &&
    value.every((id) => typeof id === 'string')
  ) {
    return value.map((id: string) => parseEntryId(id));
  }
  throw new StoreError('invalid-request', 'The field ids is no list of ids.', {
    hint: `Name at most ${idsMax} items by the ids that the trash lists.`,
  });
}

function readLimit(text: string | null): number {
  if (text === null) return limitDefault;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= limitMax) return limit;
  throw new StoreError('invalid-request', 'The limit is no number of items.', {
    hint: `Give a number from 1 to ${limitMax}.`,
  });
}
