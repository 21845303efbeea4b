import { parseFileId, StoreError } from '@dfs/shared';
import { readFile, readMounts } from '../text-api/read-file.ts';
import type { Exchange } from './exchange.ts';
import { byIdMount, type Front, filesMount, pathUnder } from './front.ts';
import { getFile } from './get-file.ts';
import { putFile } from './put-file.ts';

/** What an exchange is, if it is about the bytes of one file. */
export type FileBytesRequest = 'get' | 'get-by-id' | 'put' | 'stream' | 'download' | undefined;

/**
 * Tells the requests that carry the bytes of a file from all others. They are most of the load, and are served without express, which would
 * cost more than the rest of a small one.
 */
export function fileBytesRequestOf({ request, target }: Exchange): FileBytesRequest {
  const { method } = request;
  const { path } = target;
  const isRead = method === 'GET' || method === 'HEAD';
  if (!isRead && method !== 'PUT') return undefined;
  if (path.startsWith(`${filesMount}/`)) {
    if (path.endsWith('/')) return undefined;
    return isRead ? 'get' : 'put';
  }
  if (!isRead) return undefined;
  if (path.startsWith(byIdMount)) return 'get-by-id';
  return path.startsWith(readMounts.stream)
    ? 'stream'
    : path.startsWith(readMounts.download)
      ? 'download'
      : undefined;
}

/** Serves such a request. Resolves with `directory` when a directory has the name: then nothing was answered yet. */
export async function serveFileBytes(
  front: Front,
  exchange: Exchange,
  kind: NonNullable<FileBytesRequest>,
): Promise<'answered' | 'directory'> {
  if (kind === 'put') {
    await putFile(front, exchange);
    return 'answered';
  }
  if (kind === 'stream' || kind === 'download') {
    await readFile(front, exchange, kind);
    return 'answered';
  }
  if (kind === 'get-by-id') {
    const id = parseFileId(exchange.target.path.slice(byIdMount.length));
    await getFile(front, exchange, { id });
    return 'answered';
  }
  try {
    await getFile(front, exchange, { path: pathUnder(filesMount, exchange).path });
    return 'answered';
  } catch (error) {
    const isDirectory = error instanceof StoreError && error.kind === 'is-a-directory';
    if (isDirectory && !exchange.response.headersSent) return 'directory';
    throw error;
  }
}
