import { once } from 'node:events';
import { type FilePath, rootPath, StoreError } from '@dfs/shared';
import type { ListedEntry } from '../../metadata/metadata-repository.ts';
import type { Usage } from '../../metadata/tree-changes.ts';
import { fsUrlOf, listAnswerHead, listAnswerOf, listAnswerRun, listAnswerTail } from './answers.ts';
import type { Exchange } from './exchange.ts';
import { checkServing, type Front, filesMount, pathUnder } from './front.ts';
import { listingHead, listingRows, listingTail, pagePolicy } from './listing-page.ts';
import { authorizeListing, maySee } from './lookup.ts';
import { sendJson, varyOn } from './send.ts';

const jsonLimitDefault = 1_000;
const limitMax = 10_000;
/** A page for people is read from the store and sent in runs of this many. */
const runLength = 1_000;

export type ListingFormat = 'html' | 'json';

/** `GET` and `HEAD` of a directory: a page or JSON, entries after `?after=`, at most `?limit=`. */
export async function listDirectory(
  front: Front,
  exchange: Exchange,
  accepted: ListingFormat,
): Promise<void> {
  const { path } = pathUnder(filesMount, exchange);
  checkServing(front.nodes);
  await authorizeListing(front, exchange, path);
  const format = formatOf(exchange.query.get('format'), accepted);
  if (format === 'json') return listAsJson(front, exchange, path);
  // Relative links on the page need the slash.
  if (exchange.target.path.endsWith('/')) return listAsPage(front, exchange, path);
  redirectToSlash(exchange, path);
}

function formatOf(wanted: string | null, accepted: ListingFormat): ListingFormat {
  if (wanted === null) return accepted;
  if (wanted === 'json' || wanted === 'html') return wanted;
  throw new StoreError('invalid-request', 'The format is neither json nor html.', {
    hint: 'Write format=json or format=html.',
  });
}

/** A directory's canonical address ends in a slash. Not kept by browsers: a file may take the name one day. */
function redirectToSlash({ response, target, id }: Exchange, path: FilePath): void {
  const query = target.query === '' ? '' : `?${target.query}`;
  response
    .writeHead(301, {
      Location: `${fsUrlOf(path).replace(/\/$/, '')}/${query}`,
      'Content-Length': 0,
      'Cache-Control': 'no-cache',
      'X-Request-Id': id,
    })
    .end();
}

async function listAsJson(front: Front, exchange: Exchange, path: FilePath): Promise<void> {
  const { response, isHead, id, signal } = exchange;
  const limit = readLimit(exchange, jsonLimitDefault);
  let isBegun = false;
  let isFirst = true;
  for await (const { entries, next, isLast } of visibleRuns(front, exchange, path, limit)) {
    const hasUsage = isLast && exchange.query.get('after') === null;
    const more = { next, usage: hasUsage ? await usageFor(front, exchange, path) : undefined };
    if (!isBegun && isLast) {
      return sendJson(exchange, 200, listAnswerOf(path, entries, more), {
        Vary: varyOn(exchange.response, 'Accept'),
      });
    }
    if (!isBegun) {
      response.writeHead(200, {
        'Content-Type': 'application/json; charset=utf-8',
        'Cache-Control': 'no-store',
        'X-Content-Type-Options': 'nosniff',
        'X-Request-Id': id,
        Vary: varyOn(response, 'Accept'),
      });
      if (isHead) return void response.end();
      // A reader that takes nothing for so long is cut off by the server's handler of this event.
      response.setTimeout(front.config.downloadIdleMs);
      response.write(listAnswerHead(path));
      isBegun = true;
    }
    const text = listAnswerRun(entries, isFirst) + (isLast ? listAnswerTail(path, more) : '');
    isFirst &&= entries.length === 0;
    if (text !== '' && !response.write(text)) await once(response, 'drain', { signal });
  }
  response.end();
}

/** Sums tell of names that a reader may not see; so only those who may see them all get any. */
async function usageFor(
  { access, files }: Front,
  { principal }: Exchange,
  path: FilePath,
): Promise<Usage | undefined> {
  if (!access.may(principal, 'read', { path })) return undefined;
  try {
    return await files.usage(path);
  } catch (error) {
    // It went while its entries were sent.
    if (error instanceof StoreError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

async function listAsPage(front: Front, exchange: Exchange, path: FilePath): Promise<void> {
  const { response, isHead, id, principal } = exchange;
  const limit = readLimit(exchange, limitMax);
  let next: string | undefined;
  let isBegun = false;
  for await (const run of visibleRuns(front, exchange, path, limit)) {
    if (!isBegun) {
      response.writeHead(200, {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Security-Policy': pagePolicy,
        'Cache-Control': 'private, no-cache',
        'Referrer-Policy': 'no-referrer',
        'X-Content-Type-Options': 'nosniff',
        'X-Request-Id': id,
        Vary: varyOn(response, 'Accept'),
      });
      if (isHead) break;
      response.write(listingHead(path));
      isBegun = true;
    }
    next = run.next;
    const hasRoom = response.write(listingRows(run.entries));
    if (!hasRoom) await once(response, 'drain', { signal: exchange.signal });
  }
  const mayWrite = front.access.may(principal, 'write', { path });
  if (isHead) return void response.end();
  const usage = await usageFor(front, exchange, path);
  response.end(listingTail({ next, mayWrite, usage }));
}

function readLimit({ query }: Exchange, fallback: number): number {
  const text = query.get('limit');
  if (text === null) return fallback;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= limitMax) return limit;
  throw new StoreError('invalid-request', 'The limit is no number of entries.', {
    hint: `Give a number from 1 to ${limitMax}.`,
  });
}

interface VisibleRun {
  readonly entries: readonly ListedEntry[];
  /** The name to go on after, if the listing has to stop here. Never one that the principal may not see. */
  readonly next?: string;
  readonly isLast: boolean;
}

/** What the principal may see of a directory, run by run, `limit` entries in all. At least one run, be it empty. */
async function* visibleRuns(
  front: Front,
  exchange: Exchange,
  path: FilePath,
  limit: number,
): AsyncGenerator<VisibleRun> {
  const { files } = front;
  const { principal, signal } = exchange;
  const start = path === rootPath ? path : `${path}/`;
  let after = exchange.query.get('after') ?? undefined;
  let left = limit;
  for (;;) {
    const page = await files.list(path, {
      limit: Math.min(left, runLength),
      ...(after === undefined ? {} : { after }),
    });
    const entries = page.entries.filter(({ name, kind, isPublic }) =>
      maySee(front, principal, { path: `${start}${name}` as FilePath, kind, isPublic }),
    );
    left -= entries.length;
    after = page.next;
    const next = after === undefined ? undefined : entries.at(-1)?.name;
    const isLast = after === undefined || left === 0;
    yield { entries, isLast, ...(next === undefined ? {} : { next }) };
    if (isLast || signal.aborted) return;
  }
}
