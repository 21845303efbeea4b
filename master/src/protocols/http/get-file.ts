import { type FileId, type NodeId, type Opening, parseNodeId } from '@dfs/shared';
import { serveFile } from '@dfs/shared/serving';
import type { FileRef } from '../../files/file-types.ts';
import type { NamedFile } from '../../metadata/metadata-repository.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front } from './front.ts';
import { findReadable } from './lookup.ts';

/**
 * `GET` and `HEAD` of a file, by path or by the id of its content. HEAD goes the same way up to the first byte, so that it tells what GET would:
 * also that no copy can be reached. `shown` is for addresses that do not end in the file's name.
 */
export async function getFile(
  front: Front,
  exchange: Exchange,
  ref: FileRef,
  shown?: 'inline' | 'attachment',
): Promise<void> {
  checkServing(front.nodes);
  const { named, opening } = await findReadable(front, exchange, ref);
  const avoid = readAvoid(exchange);
  if (opening.kind === 'right' || opening.kind === 'public') {
    if (exchange.query.get('redirect') === '1') {
      if (await redirect(front, exchange, named, avoid)) return;
    }
  } else {
    // What can be taken back always goes through here, where it can be cut.
    cutWhenTakenBack(front, exchange, opening, named.file.id);
  }
  const { file, entry, path, isPublic } = named;
  const { files, clock, config } = front;
  const { signal } = exchange;
  const { modifiedAtMs } = entry;
  await serveFile(
    exchange,
    { ...file, path, isPublic, modifiedAtMs },
    {
      isDownload:
        shown === 'attachment' || exchange.query.get('download') === '1' || isDownloadBy(opening),
      isById: 'id' in ref || shown !== undefined,
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

/** Whether a link asks for the file to be saved rather than shown. */
export const isDownloadBy = (opening: Opening) => opening.kind === 'link' && opening.isDownload;

/** Ends the answer in the middle when the link or grant that it runs under is taken back. */
function cutWhenTakenBack(
  { openings }: Front,
  { response }: Exchange,
  opening: Opening,
  fileId: FileId,
): void {
  // It closes once alone.
  if (response.destroyed) return;
  const release = openings.hold(opening, fileId, () => response.destroy());
  response.once('close', release);
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
