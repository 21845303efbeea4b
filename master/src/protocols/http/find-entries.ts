import { once } from 'node:events';
import { type FoundEntry, StoreError } from '@dfs/shared';
import type { EntryKind } from '../../metadata/metadata-repository.ts';
import type { WalkedEntry } from '../../metadata/working-tree.ts';
import { isoTime } from './answers.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, pathUnder } from './front.ts';
import { authorizeListing, maySee } from './lookup.ts';

export const findMount = '/find';

type Format = 'text' | 'json';

/**
 * `GET /find/<dir>/`: the full path of every file below a directory, one a line, or with `?format=json` each file and directory as a line of JSON. Streamed as fast as
 * it is read, in memory for one page; who may not see a name does not get it. What fails in the middle cuts the connection.
 */
export async function findEntries(front: Front, exchange: Exchange): Promise<void> {
  const { files, nodes, config } = front;
  const { response, principal, signal, id, query } = exchange;
  const { path } = pathUnder(findMount, exchange);
  const format = readFormat(query.get('format'));
  const kind = readKind(query.get('kind')) ?? (format === 'text' ? 'file' : undefined);
  checkServing(nodes);
  await authorizeListing(front, exchange, path);
  const begin = () => {
    if (response.headersSent) return;
    // A reader that takes nothing for so long is cut off by the server's handler of this event.
    response.setTimeout(config.downloadIdleMs);
    response.writeHead(200, {
      'Content-Type':
        format === 'json' ? 'application/x-ndjson; charset=utf-8' : 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'X-Request-Id': id,
    });
  };
  const lineOf = format === 'json' ? jsonLineOf : textLineOf;
  for await (const page of exchange.isHead ? [] : files.walk(path)) {
    if (signal.aborted) return;
    begin();
    const lines = page
      .filter((entry) => kind === undefined || entry.kind === kind)
      .filter((entry) => maySee(front, principal, entry))
      .map(lineOf)
      .join('');
    if (lines !== '' && !response.write(lines)) await once(response, 'drain', { signal });
  }
  begin();
  response.end();
}

function readFormat(text: string | null): Format {
  if (text === null || text === 'text') return 'text';
  if (text === 'json') return 'json';
  throw new StoreError('invalid-request', 'The format is neither text nor json.', {
    hint: 'Write format=text or format=json.',
  });
}

function readKind(text: string | null): EntryKind | undefined {
  if (text === null) return undefined;
  if (text === 'file' || text === 'directory') return text;
  throw new StoreError('invalid-request', 'The kind is neither file nor directory.', {
    hint: 'Write kind=file or kind=directory, or leave it out for both.',
  });
}

function jsonLineOf({ path, kind, modifiedAtMs, file }: WalkedEntry): string {
  const found: FoundEntry = {
    path,
    kind,
    modified: isoTime(modifiedAtMs),
    ...(file ? { id: file.id, size: file.sizeBytes, md5: file.md5 } : {}),
  };
  return `${JSON.stringify(found)}\n`;
}

const textLineOf = ({ path }: WalkedEntry) => `${shownPath(path)}\n`;

/** What would end a line or steer a terminal, and a percent sign that would be taken for such an escape. */
const unprintable = /[\p{Cc}\u2028\u2029]|%(?=[0-9A-Fa-f]{2})/gu;

/**
 * A path as one line: control characters are percent-encoded, so that no name can pass for two, and so is a percent sign before two hexadecimal digits.
 * All else stays as it is; percent-decoding gives the exact path back.
 */
export const shownPath = (path: string) => path.replace(unprintable, encodeURIComponent);
