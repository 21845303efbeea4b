import { once } from 'node:events';
import { errorBodyOf, type FsckLine, type ScrubAnswer, StoreError } from '@dfs/shared';
import { type Request, type Response, Router } from 'express';
import type { Exchange } from '../http/exchange.ts';
import { checkServing, type Front } from '../http/front.ts';
import { refuseMethod, sendJson } from '../http/send.ts';

/** What looks after the copies when an administrator asks for it. */
export interface Care {
  /** Has this node, or every one, read all its blobs again. Rejects with `not-found`, `conflict` (two nodes of one name). */
  startScrub(node?: string): Promise<ScrubAnswer[]>;
  scrubStatus(node?: string): Promise<ScrubAnswer[]>;
  /** Compares the rows with what nodes hold. */
  fsck(options: { isRepair: boolean; signal: AbortSignal }): AsyncIterable<FsckLine>;
}

const scrubPath = '/api/v1/scrub';
const fsckPath = '/api/v1/fsck';
const allowed = 'GET, POST';

/** `GET` and `POST` of `/api/v1/scrub` and `/api/v1/fsck`, for administrators. */
export function careRoutes(
  { access, nodes, care }: Pick<Front, 'access' | 'nodes'> & { readonly care: Care },
  exchangeOf: (request: Request) => Exchange,
): Router {
  const router = Router({ caseSensitive: true, strict: true });
  const administered = (request: Request): Exchange => {
    const exchange = exchangeOf(request);
    access.authorize(exchange.principal, 'admin');
    checkServing(nodes);
    return exchange;
  };
  const nodeOf = ({ query }: Exchange) => query.get('node') ?? undefined;

  router.get(scrubPath, async (request) => {
    const exchange = administered(request);
    sendJson(exchange, 200, await care.scrubStatus(nodeOf(exchange)));
  });
  router.post(scrubPath, async (request) => {
    const exchange = administered(request);
    sendJson(exchange, 202, await care.startScrub(nodeOf(exchange)));
  });
  router.get(fsckPath, async (request) => {
    const exchange = administered(request);
    await sendLines(exchange, care.fsck({ isRepair: false, signal: exchange.signal }));
  });
  router.post(fsckPath, async (request) => {
    const exchange = administered(request);
    await sendLines(exchange, care.fsck({ isRepair: true, signal: exchange.signal }));
  });
  router.all([scrubPath, fsckPath], (request: Request, response: Response) => {
    refuseMethod(response, request.method, allowed);
  });
  return router;
}

/** Answers with NDJSON. An error before the first line is the whole answer, as of any request; one after it is the last line. */
async function sendLines(exchange: Exchange, lines: AsyncIterable<FsckLine>): Promise<void> {
  const { response, signal, id, isHead } = exchange;
  const iterator = lines[Symbol.asyncIterator]();
  let next = await iterator.next();
  response.writeHead(200, {
    'Content-Type': 'application/x-ndjson; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    'X-Request-Id': id,
  });
  try {
    for (; !next.done && !isHead; next = await iterator.next()) {
      if (signal.aborted) break;
      if (!response.write(`${JSON.stringify(next.value)}\n`)) {
        await once(response, 'drain', { signal });
      }
    }
  } catch (error) {
    if (signal.aborted) return;
    // What nobody expected goes to the log, and the answer is cut.
    if (!(error instanceof StoreError)) throw error;
    response.write(`${JSON.stringify(errorBodyOf(error, id))}\n`);
  } finally {
    await iterator.return?.();
  }
  response.end();
}
