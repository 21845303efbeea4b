import { rootPath, StoreError } from '@dfs/shared';
import { fsUrlOf } from './answers.ts';
import { readWriteCondition, writeConditionOf } from './conditions.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { refuseMethod } from './send.ts';

/** `DELETE /fs/<path>`: a file, or a directory that is empty. */
export async function deletePath(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, metadata, nodes } = front;
  const { headers } = exchange.request;
  const { path, isDirectory } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'delete', { path });
  checkServing(nodes);
  if (path === rootPath) {
    throw new StoreError('conflict', 'The root of the tree cannot be deleted.', {
      hint: 'Delete what is in it, name by name.',
    });
  }
  const kind = (await metadata.findEntry(path))?.kind;
  if (isDirectory && kind === 'file') {
    throw new StoreError('not-found', `${path} is a file, and the request names a directory.`, {
      hint: 'Leave out the slash at the end.',
    });
  }
  const condition =
    kind === 'directory'
      ? readWriteCondition(headers)
      : await writeConditionOf(headers, path, files);
  await files.remove(path, condition);
  exchange.response.writeHead(204, { 'X-Request-Id': exchange.id }).end();
}

/** `MKCOL /fs/<path>/` (RFC 4918 section 9.3): makes a directory, and those above it that are missing. */
export async function makeDirectory(front: Front, exchange: Exchange): Promise<void> {
  const { files, access, metadata, nodes } = front;
  const { request, response, id } = exchange;
  const { path } = pathUnder(filesMount, exchange);
  access.authorize(exchange.principal, 'write', { path });
  checkServing(nodes);
  const length = request.headers['content-length'] ?? '0';
  if (Number(length) > 0 || request.headers['transfer-encoding'] !== undefined) {
    throw new StoreError('invalid-request', 'MKCOL takes no body.', { hint: 'Send none.' });
  }
  if (await metadata.findEntry(path)) {
    refuseMethod(response, 'MKCOL', 'OPTIONS, GET, HEAD, PUT, DELETE', `${path} is there already`);
  }
  await files.makeDirectory(path);
  const location = `${fsUrlOf(path)}/`;
  response.writeHead(201, { Location: location, 'Content-Length': 0, 'X-Request-Id': id }).end();
}
