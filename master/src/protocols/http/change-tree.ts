import { type FilePath, rootPath, StoreError } from '@dfs/shared';
import type { RemoveOptions } from '../../files/tree-types.ts';
import type { BindCondition, Entry } from '../../metadata/metadata-repository.ts';
import { fsUrlOf } from './answers.ts';
import { readWriteCondition, writeConditionOf } from './conditions.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { nothingAt } from './lookup.ts';
import { type FailedPart, multistatusOf } from './multistatus.ts';
import { refuseMethod } from './send.ts';
import { readDepth, readDestination, readOverwrite, refuseShallow } from './tree-headers.ts';

/** `DELETE /fs/<path>` (RFC 4918 section 9.6): a file, or a directory with all that is in it. */
export async function deletePath(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, nodes } = front;
  const { path, isDirectory } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'delete', { path });
  checkServing(nodes);
  const options = readRemoveOptions(exchange.query);
  const entry = await findNamed(front, path, isDirectory);
  if (path === rootPath) {
    throw new StoreError('conflict', 'The root of the tree cannot be deleted.', {
      hint: 'Delete what is in it, name by name.',
    });
  }
  if (entry?.kind === 'directory') refuseShallow('DELETE', exchange.request.headers);
  else readDepth(exchange.request.headers);
  const condition = await conditionOf(front, exchange, path, entry);
  await files.remove(path, { ...options, ...condition });
  exchange.response.writeHead(204, { 'X-Request-Id': exchange.id }).end();
}

function readRemoveOptions(query: URLSearchParams): RemoveOptions {
  const expect = query.get('expect');
  if (expect !== null && expect !== 'file' && expect !== 'empty-directory') {
    throw new StoreError('invalid-request', 'The parameter expect names no kind of thing.', {
      hint: 'Write expect=file or expect=empty-directory.',
    });
  }
  return {
    ...(expect === null ? {} : { expect }),
    ...(isWanted(query, 'trash', true) ? {} : { skipTrash: true }),
  };
}

/** A switch of the query: 1 or 0. */
function isWanted(query: URLSearchParams, name: string, fallback: boolean): boolean {
  const text = query.get(name);
  if (text === null) return fallback;
  if (text === '1' || text === '0') return text === '1';
  throw new StoreError('invalid-request', `The parameter ${name} is neither 1 nor 0.`, {
    hint: 'Write one of the two, or leave it out.',
  });
}

/** What is there already can be all but made. */
const allowedThere = 'OPTIONS, GET, HEAD, PUT, POST, DELETE, MOVE, COPY';

/** `MKCOL /fs/<path>/` (RFC 4918 section 9.3): makes a directory; with `?parents=1` also those above it, and one that is there is fine. */
export async function makeDirectory(front: Front, exchange: Exchange): Promise<void> {
  const { access, metadata, nodes } = front;
  const { request, response, id } = exchange;
  const { path } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'write', { path });
  checkServing(nodes);
  const length = request.headers['content-length'] ?? '0';
  if (Number(length) > 0 || request.headers['transfer-encoding'] !== undefined) {
    throw new StoreError('unsupported-media-type', 'MKCOL takes no body.', { hint: 'Send none.' });
  }
  const condition = readWriteCondition(request.headers);
  const parents = isWanted(exchange.query, 'parents', false);
  const before = await metadata.findEntry(path);
  if (before === undefined) checkDirectoryCondition(path, condition, false);
  const isNew = before === undefined && (await makeNew(front, path, parents));
  if (!isNew) {
    // Somebody else may have taken the name since the first look.
    const kind = (before ?? (await metadata.findEntry(path)))?.kind;
    if (!parents || kind === 'file') {
      refuseMethod(response, 'MKCOL', allowedThere, `${path} is there already`);
    }
    checkDirectoryCondition(path, condition, true);
  }
  const location = `${fsUrlOf(path).replace(/\/$/, '')}/`;
  response
    .writeHead(isNew ? 201 : 200, {
      Location: location,
      'Content-Length': 0,
      'X-Request-Id': id,
    })
    .end();
}

/** False when something has the name, a file too. */
async function makeNew(
  { files, metadata }: Front,
  path: FilePath,
  parents: boolean,
): Promise<boolean> {
  try {
    return (await files.makeDirectory(path, { parents })).isNew;
  } catch (error) {
    const isOfAFile = error instanceof StoreError && error.kind === 'not-a-directory';
    if (isOfAFile && (await metadata.findEntry(path))?.kind === 'file') return false;
    throw error;
  }
}

/** A directory has no entity tag: only `*` matches it, and nothing matches what is not there. Rejects with `precondition-failed`. */
function checkDirectoryCondition(
  path: FilePath,
  { ifMatch, ifNoneMatch }: BindCondition,
  isThere: boolean,
): void {
  const isMatched = ifMatch === undefined || (isThere && ifMatch === '*');
  if (isMatched && !(isThere && ifNoneMatch === '*')) return;
  throw new StoreError('precondition-failed', `${path} is not as the request expects it.`, {
    hint: 'Look at it again and decide anew.',
  });
}

/** `MOVE /fs/<path>` (RFC 4918 section 9.9): a file or a whole directory gets another name. */
export async function movePath(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, nodes } = front;
  const { headers } = exchange.request;
  const { path: from, isDirectory } = pathUnder(filesMount, exchange);
  const to = readDestination(exchange);
  access.authorize(exchange.principal, 'delete', { path: from });
  access.authorize(exchange.principal, 'write', { path: to });
  checkServing(nodes);
  const overwrite = readOverwrite(headers);
  const entry = await findNamed(front, from, isDirectory);
  if (entry?.kind === 'directory') refuseShallow('MOVE', headers);
  else readDepth(headers);
  const condition = await conditionOf(front, exchange, from, entry);
  const { isNew } = await files.move({ from, to, overwrite, ...condition });
  answerPlaced(exchange, to, entry, isNew);
}

/** `COPY /fs/<path>` (RFC 4918 section 9.8): rows, not bytes. 207 names the parts of a directory that could not be copied. */
export async function copyPath(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, nodes } = front;
  const { headers } = exchange.request;
  const { path: from, isDirectory } = pathUnder(filesMount, exchange);
  const to = readDestination(exchange);
  access.authorize(exchange.principal, 'write', { path: to });
  await authorizeCopying(front, exchange, from);
  checkServing(nodes);
  const overwrite = readOverwrite(headers);
  const depth = readDepth(headers);
  if (depth === 1) {
    throw new StoreError('invalid-request', 'COPY knows no Depth of 1.', {
      hint: 'Write "Depth: 0" for a directory alone, or leave it out.',
    });
  }
  const entry = await findNamed(front, from, isDirectory);
  const condition = await conditionOf(front, exchange, from, entry);
  const { isNew, failures } = await files.copy({
    from,
    to,
    overwrite,
    depth,
    signal: exchange.signal,
    ...condition,
  });
  if (failures.length === 0) return answerPlaced(exchange, to, entry, isNew);
  const parts = failures.map(({ path, error }) => ({ url: fsUrlOf(path as FilePath), error }));
  answerMultistatus(exchange, parts);
}

/** A public file may be copied by whoever may read it; a directory, which may hold what is private, by whoever may read all that is in it. */
async function authorizeCopying(
  { access, metadata }: Front,
  { principal }: Exchange,
  path: FilePath,
): Promise<void> {
  if (access.may(principal, 'read', { path })) return;
  const named = await metadata.findNamed(path);
  const isPublic = named?.entry.kind === 'file' && named.isPublic;
  access.authorize(principal, 'read', { path, isPublic });
}

/** What a request that may end in a slash is about; undefined when nothing is there. Rejects with `not-found` for a file that is named as a directory. */
async function findNamed(
  { metadata }: Front,
  path: FilePath,
  isDirectory: boolean,
): Promise<Entry | undefined> {
  const entry = await metadata.findEntry(path);
  if (!isDirectory || entry?.kind !== 'file') return entry;
  throw new StoreError('not-found', `${path} is a file, and the request names a directory.`, {
    hint: 'Leave out the slash at the end.',
  });
}

/** What the thing must be like for the request to be done. Rejects with `not-found` when there is none, which no condition can change (RFC 9110 section 13.2.1). */
async function conditionOf(
  { files }: Front,
  { request }: Exchange,
  path: FilePath,
  entry: Entry | undefined,
): Promise<BindCondition> {
  if (!entry) throw nothingAt(path);
  if (entry.kind === 'directory') return readWriteCondition(request.headers);
  return await writeConditionOf(request.headers, path, files);
}

function answerPlaced(
  { response, id }: Exchange,
  to: FilePath,
  entry: Entry | undefined,
  isNew: boolean,
): void {
  const slash = entry?.kind === 'directory' ? '/' : '';
  response
    .writeHead(isNew ? 201 : 204, {
      ...(isNew ? { Location: `${fsUrlOf(to)}${slash}`, 'Content-Length': 0 } : {}),
      'X-Request-Id': id,
    })
    .end();
}

function answerMultistatus({ response, id }: Exchange, parts: readonly FailedPart[]): void {
  const body = multistatusOf(parts);
  response
    .writeHead(207, {
      'Content-Type': 'application/xml; charset=utf-8',
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Request-Id': id,
    })
    .end(body);
}
