import { pipeline } from 'node:stream/promises';
import { nodeHeaders, StoreError } from '@dfs/shared';
import type { SnapshotName } from '@dfs/shared/cluster';
import { sendJson } from './answers.ts';
import { epochOf } from './blob-headers.ts';
import type { DiskJournal } from './journal/disk-journal.ts';
import type { NodeIdentity } from './node-identity.ts';
import { RequestBody } from './request-body.ts';
import type { Exchange } from './server.ts';

export interface JournalRoutesDependencies {
  readonly journal: DiskJournal;
  readonly identity: NodeIdentity;
  /** How long a sender may be silent, ms. */
  readonly uploadIdleMs: number;
}

/** `/journal…`: the node's copy of the master's journal. The caller was let in already. */
export class JournalRoutes {
  readonly #deps: JournalRoutesDependencies;

  constructor(dependencies: JournalRoutesDependencies) {
    this.#deps = dependencies;
  }

  async handle(exchange: Exchange): Promise<void> {
    const { request, response, path } = exchange;
    const snapshot = snapshotNameOf(path);
    switch (`${request.method} ${snapshot ? 'snapshot' : path}`) {
      case 'GET /journal':
        return sendJson(response, 200, await this.#deps.journal.journalStatus());
      case 'GET /journal/records':
        return this.#sendRecords(exchange);
      case 'POST /journal/records':
        return this.#takeRecords(exchange);
      case 'GET snapshot':
        return this.#sendSnapshot(exchange, snapshot as SnapshotName);
      case 'PUT snapshot':
        return this.#takeSnapshot(exchange, snapshot as SnapshotName);
      default:
        throw new StoreError('not-found', `A storage node has no ${request.method} ${path}.`);
    }
  }

  async #sendRecords({ response, query }: Exchange): Promise<void> {
    const after = new URLSearchParams(query).get('after') ?? '';
    if (!/^\d{1,15}$/.test(after)) {
      throw new StoreError('invalid-request', 'Records are asked for by ?after=<number>.');
    }
    const lines = await this.#deps.journal.readLines(Number(after));
    const sizeBytes = lines.reduce((sum, line) => sum + line.byteLength + 1, 0);
    response.writeHead(200, [
      'content-type',
      'application/x-ndjson',
      'content-length',
      String(sizeBytes),
    ]);
    for (const line of lines) {
      response.write(line);
      response.write('\n');
    }
    response.end();
  }

  async #takeRecords({ request, response, askForBody }: Exchange): Promise<void> {
    const { journal, uploadIdleMs: idleMs } = this.#deps;
    await this.#obey(request);
    const md5 = request.headers[nodeHeaders.md5];
    const body = new RequestBody({ request, idleMs, onFirstRead: askForBody });
    try {
      const expectedMd5 = md5 === undefined ? undefined : String(md5).toLowerCase();
      sendJson(response, 200, await journal.append(body, { expectedMd5 }));
    } finally {
      body.destroy();
    }
  }

  async #sendSnapshot({ response }: Exchange, name: SnapshotName): Promise<void> {
    const { bytes, sizeBytes, snapshot } = await this.#deps.journal.openSnapshot(name);
    response.writeHead(200, [
      'content-type',
      'application/gzip',
      'content-length',
      String(sizeBytes),
      nodeHeaders.md5,
      snapshot.md5,
    ]);
    await pipeline(bytes, response);
  }

  async #takeSnapshot(
    { request, response, askForBody }: Exchange,
    name: SnapshotName,
  ): Promise<void> {
    const { journal, uploadIdleMs: idleMs } = this.#deps;
    await this.#obey(request);
    const controller = new AbortController();
    const left = () => controller.abort();
    response.once('close', left);
    const body = new RequestBody({ request, idleMs, onFirstRead: askForBody });
    const kept = await journal.putSnapshot(name, body, controller.signal, () =>
      md5Of(request.trailers[nodeHeaders.md5]),
    );
    response.off('close', left);
    sendJson(response, 201, kept);
  }

  async #obey(request: Exchange['request']): Promise<void> {
    const { identity } = this.#deps;
    const epoch = epochOf(request);
    if (identity.clusterId === undefined) {
      throw new StoreError('unavailable', 'No master has accepted this node yet.', {
        hint: 'It is accepted with its first heartbeat.',
        retryAfterSeconds: 3,
      });
    }
    await identity.obey(epoch);
  }
}

/** Behind the body: without it, nobody said that the body was complete. */
function md5Of(trailer: string | undefined): string {
  if (trailer !== undefined && /^[0-9a-f]{32}$/.test(trailer)) return trailer;
  throw new StoreError('incomplete-body', `The trailer ${nodeHeaders.md5} is missing.`);
}

function snapshotNameOf(path: string): SnapshotName | undefined {
  const match = /^\/journal\/snapshots\/(\d{1,15})-(\d{1,15})$/.exec(path);
  return match ? { epoch: Number(match[1]), from: Number(match[2]) } : undefined;
}
