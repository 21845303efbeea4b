import {
  type Clock,
  type FileId,
  type JudgementQuestion,
  type NodeId,
  type Opening,
  type OpeningAnswer,
  type OpeningQuestion,
  type ReadPermit,
  type ReadQuestion,
  StoreError,
} from '@dfs/shared';
import type { Logger, LogRing, ServerTls } from '@dfs/shared/cluster';
import {
  type CrossOrigin,
  createFrontServer,
  type FrontServer,
  HttpExchange,
  type RequestCounter,
  sendText,
  serveFile,
  type TrustedProxies,
} from '@dfs/shared/serving';
import type { FileBytes } from './file-bytes.ts';
import type { Forwarder } from './forwarder.ts';
import { greet } from './pages.ts';
import type { Permits } from './permits.ts';
import { silentMaster } from './silent-master.ts';

/** A reader that takes nothing for so long is cut off: people pause a video. */
const downloadIdleMs = 600_000;
const askEveryMs = 10_000;

export interface EdgeServerDependencies {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly version: string;
  readonly tls: ServerTls;
  readonly proxies: TrustedProxies;
  readonly crossOrigin: CrossOrigin | undefined;
  readonly permits: Pick<Permits, 'find' | 'findAnew'>;
  readonly files: FileBytes;
  readonly forwarder: Pick<Forwarder, 'forward'>;
  /** Rejects with the master's refusal, with `unavailable` when it gives no answer. */
  readonly master: {
    judge(question: JudgementQuestion): Promise<void>;
    isOpen(question: OpeningQuestion): Promise<OpeningAnswer>;
  };
  readonly log: LogRing;
  readonly metrics: RequestCounter;
  /** A file was read here. */
  readonly onRead: (fileId: FileId) => void;
  readonly offlineRightsMs: number;
  /** Whether what may be taken back still is there is asked so often while a download runs, ms. */
  readonly askEveryMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const readMounts = ['/fs/', '/api/v1/files/', '/api/v1/stream/', '/api/v1/download/'];

/**
 * The public listener of a node: it gives any file to whoever the master lets have it, and passes on to the master what decides or changes something.
 */
export function createEdgeServer(dependencies: EdgeServerDependencies): FrontServer<HttpExchange> {
  const { tls, logger, metrics } = dependencies;
  const edge = new Edge(dependencies);
  return createFrontServer({
    ...{ tls, logger, metrics },
    exchangeOf: (request, response, awaitsContinue) =>
      new HttpExchange(request, response, awaitsContinue),
    serve: (exchange) => edge.serve(exchange),
  });
}

class Edge {
  readonly #deps: EdgeServerDependencies;

  constructor(dependencies: EdgeServerDependencies) {
    this.#deps = dependencies;
  }

  async serve(exchange: HttpExchange): Promise<void> {
    const { crossOrigin, proxies, forwarder } = this.#deps;
    if (crossOrigin?.(exchange) === 'answered') return;
    const { request, target } = exchange;
    const peer = { address: exchange.clientAddress, isTls: exchange.isTls };
    const client = proxies.clientOf(peer, request.headers, target.authority);
    exchange.clientAddress = client.address;
    if (await this.#serveHere(exchange)) return;
    const permit = isRead(exchange) ? await this.#permitOf(exchange) : undefined;
    if (permit) await this.#sendFile(exchange, permit);
    else await forwarder.forward(exchange, client);
  }

  /** What is about this node alone; false: it is about the store. */
  async #serveHere(exchange: HttpExchange): Promise<boolean> {
    const { log, name, version } = this.#deps;
    const { request, target, isHead } = exchange;
    const method = isHead ? 'GET' : request.method;
    switch (`${method} ${target.path}`) {
      case 'GET /':
        greet(exchange, { name, version });
        return true;
      case 'GET /healthz':
        sendText(exchange, 'ok\n');
        return true;
      case 'GET /api/v1/health':
        sendText(exchange, this.#health(), { contentType: 'application/json; charset=utf-8' });
        return true;
      case 'GET /api/v1/logs':
        await this.#mustBeAdmin(exchange);
        sendText(exchange, log.lines().join(''));
        return true;
      case 'DELETE /api/v1/logs':
        await this.#mustBeAdmin(exchange);
        log.clear();
        sendText(exchange, 'Deleted');
        return true;
      default:
        return false;
    }
  }

  #health(): string {
    const uptime = Math.floor(process.uptime());
    const health = { status: 'healthy', uptime, instance: this.#deps.name, known_instances: null };
    return `${JSON.stringify(health)}\n`;
  }

  async #mustBeAdmin(exchange: HttpExchange): Promise<void> {
    const { headers, clientAddress } = whoAsks(exchange);
    try {
      await this.#deps.master.judge({ headers, clientAddress, operation: 'admin' });
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.kind !== 'unavailable') throw cause;
      throw silentMaster(cause, 'Start it again: it judges who may see this.');
    }
  }

  async #permitOf(exchange: HttpExchange): Promise<ReadPermit | undefined> {
    const answer = await this.#deps.permits.find(questionOf(exchange));
    return answer.kind === 'read' ? answer : undefined;
  }

  async #sendFile(exchange: HttpExchange, { file, opening }: ReadPermit): Promise<void> {
    const { files, permits, clock, onRead } = this.#deps;
    const { signal } = exchange;
    const refresh = async () => {
      const answer = await permits.findAnew(questionOf(exchange));
      return answer.kind === 'read' && answer.file.id === file.id ? answer.file.blobs : undefined;
    };
    const letBe = this.#cutWhenTakenBack(exchange, opening, file.id);
    let isCounted = exchange.isHead;
    try {
      await serveFile(exchange, file, {
        isDownload: file.isDownload,
        isById: file.isById,
        nowMs: clock.now(),
        downloadIdleMs,
        open: async (range) => {
          const opened = await files.open({ file, range, signal, refresh });
          // Once, however many ranges it asks for.
          if (!isCounted) onRead(file.id);
          isCounted = true;
          return opened;
        },
      });
    } finally {
      letBe();
    }
  }

  /**
   * Ends the answer in the middle when the link or grant that it runs under is taken back, or nobody could be asked about it for too long; until the function that it gives is
   * called.
   */
  #cutWhenTakenBack({ response }: HttpExchange, opening: Opening, fileId: FileId): () => void {
    if (opening.kind === 'right' || opening.kind === 'public') return () => undefined;
    const { master, clock, offlineRightsMs, askEveryMs: everyMs = askEveryMs } = this.#deps;
    let heardAtMs = clock.monotonic();
    const ask = async () => {
      const answer = await master.isOpen({ opening, fileId }).catch(() => undefined);
      if (answer) heardAtMs = clock.monotonic();
      const isDoubtful = clock.monotonic() - heardAtMs > offlineRightsMs;
      if (answer?.isOpen === false || isDoubtful) response.destroy();
    };
    const timer = setInterval(() => void ask(), everyMs);
    return () => clearInterval(timer);
  }
}

function isRead({ request, target }: HttpExchange): boolean {
  const { path } = target;
  const isGet = request.method === 'GET' || request.method === 'HEAD';
  return isGet && !path.endsWith('/') && readMounts.some((mount) => path.startsWith(mount));
}

function questionOf(exchange: HttpExchange): ReadQuestion {
  const { request, isHead } = exchange;
  return { ...whoAsks(exchange), method: isHead ? 'HEAD' : 'GET', target: request.url ?? '' };
}

function whoAsks({ request, clientAddress, target }: HttpExchange) {
  const { authorization, origin } = request.headers;
  // A target in absolute form says which host counts (RFC 9112 section 3.2.2).
  const host = target.authority ?? request.headers.host;
  const shardKey = request.headers['shard-key'];
  const site = request.headers['sec-fetch-site'];
  return {
    clientAddress,
    headers: {
      authorization,
      host,
      origin,
      'shard-key': shardKey === undefined ? undefined : String(shardKey),
      'sec-fetch-site': site === undefined ? undefined : String(site),
    },
  };
}
