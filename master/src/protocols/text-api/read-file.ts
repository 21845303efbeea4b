import { type FilePath, StoreError } from '@dfs/shared';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { getFile } from '../http/get-file.ts';
import { parseReference } from './reference.ts';

export const readMounts = {
  stream: '/api/v1/stream/',
  download: '/api/v1/download/',
} as const;

/**
 * `GET /api/v1/stream/<reference>` and `/api/v1/download/<reference>`: the same bytes, shown or to be saved. Unlike below `/fs/`, whoever asks learns whether there is a file of
 * that name: 404 when there is none, 401 when it is not theirs to read.
 */
export async function readFile(
  front: Front,
  exchange: Exchange,
  call: keyof typeof readMounts,
): Promise<void> {
  checkServing(front.nodes);
  const { path } = parseReference(exchange.target.path.slice(readMounts[call].length));
  if (!(await isFile(front, path))) {
    throw new StoreError('not-found', `There is no file ${path.slice(1)}.`);
  }
  await getFile(front, exchange, { path }, call === 'download' ? 'attachment' : 'inline');
}

async function isFile({ files }: Front, path: FilePath): Promise<boolean> {
  try {
    return (await files.find({ path })) !== undefined;
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'is-a-directory') return false;
    throw error;
  }
}
