import { type NodeId, parseNodeId } from '@dfs/shared';
import { serveFile } from '@dfs/shared/serving';
import type { FileRef } from '../../files/file-types.ts';
import type { NamedFile } from '../../metadata/metadata-repository.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front } from './front.ts';
import { findReadable } from './lookup.ts';

/**
 * `GET` and `HEAD` of a file, by path or by the id of its content. HEAD goes the same way up to the first byte, so that it tells what GET would:
 * also that no copy can be reached.
 */
export async function getFile(front: Front, exchange: Exchange, ref: FileRef): Promise<void> {
  checkServing(front.nodes);
  const named = await findReadable(front, exchange, ref);
  const avoid = readAvoid(exchange);
  if (exchange.query.get('redirect') === '1' && (await redirect(front, exchange, named, avoid))) {
    return;
  }
  const { file, entry, path, isPublic } = named;
  const { files, clock, config } = front;
  const { signal } = exchange;
  const { modifiedAtMs } = entry;
  await serveFile(
    exchange,
    { ...file, path, isPublic, modifiedAtMs },
    {
      isDownload: exchange.query.get('download') === '1',
      isById: 'id' in ref,
      nowMs: clock.now(),
      downloadIdleMs: config.downloadIdleMs,
      open: (range) =>
        files.open(file, {
          ...(range === undefined ? {} : { range }),
          ...(avoid === undefined ? {} : { avoid }),
          signal,
        }),
    },
  );
}

function readAvoid({ query }: Exchange): NodeId | undefined {
  const avoid = query.get('avoid');
  return avoid === null ? undefined : parseNodeId(avoid);
}

/** Answers with the address of a node that has the file, where there is one. Conditions and ranges are for that node to judge. */
async function redirect(
  { files }: Front,
  { response, id }: Exchange,
  named: NamedFile,
  avoid: NodeId | undefined,
): Promise<boolean> {
  const url = await files.locate(named, avoid);
  if (url === undefined) return false;
  response
    .writeHead(307, {
      Location: url,
      'Content-Length': 0,
      'Cache-Control': 'no-store',
      'X-DFS-Id': named.file.id,
      'X-Request-Id': id,
    })
    .end();
  return true;
}
