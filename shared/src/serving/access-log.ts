import type { Socket } from 'node:net';
import type { StoreErrorKind } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { HttpExchange } from './exchange.ts';

/** One answered (or aborted) request of a server. */
export interface EndedRequest {
  readonly method: string;
  readonly status: number;
  /** On the wire, headers included. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface RequestCounter {
  requestEnded(request: EndedRequest): void;
}

/** Status of a request whose sender left before any answer. */
const clientGoneStatus = 499;
const pathMaxLength = 500;
/** Machines ask for these every few seconds: their lines would bury the others. */
const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz', '/metrics']);

/** The client left, or wants of this server what is another's: whatever the status, nothing is wrong here. */
const faultsOfClients: ReadonlySet<StoreErrorKind> = new Set(['cancelled', 'other-server']);

/** How much had gone over a connection when its last exchange ended: what came since is of the next one. */
const bytesBefore = new WeakMap<Socket, { received: number; sent: number }>();

/**
 * Writes one line for the exchange and counts it, once its answer is out or its connection gone, and what serves it is done and so knows why.
 * The query is left out: it may hold secrets. `served` never rejects.
 */
export function recordExchange(
  exchange: HttpExchange,
  served: Promise<void>,
  { logger, metrics }: { readonly logger: Logger; readonly metrics: RequestCounter },
): void {
  const { request, response } = exchange;
  const { socket } = request;
  const record = () => {
    const method = request.method ?? '';
    const status = response.headersSent ? response.statusCode : clientGoneStatus;
    const { failure } = exchange;
    const isCut = !response.writableFinished;
    const code = failure?.kind ?? (isCut ? 'cancelled' : undefined);
    const isOurFault =
      failure !== undefined && !faultsOfClients.has(failure.kind) && (status >= 500 || isCut);
    const before = bytesBefore.get(socket);
    const receivedBytes = socket.bytesRead - (before?.received ?? 0);
    const sentBytes = socket.bytesWritten - (before?.sent ?? 0);
    bytesBefore.set(socket, { received: socket.bytesRead, sent: socket.bytesWritten });
    metrics.requestEnded({ method, status, receivedBytes, sentBytes });
    const level = isOurFault ? 'warn' : probes.has(exchange.target.path) ? 'debug' : 'info';
    logger[level]('request', {
      requestId: exchange.id,
      method,
      path: exchange.target.path.slice(0, pathMaxLength),
      status,
      ms: Math.round((performance.now() - exchange.startedAtMs) * 10) / 10,
      in: receivedBytes,
      out: sentBytes,
      ...(exchange.nodeId === undefined ? {} : { node: exchange.nodeId }),
      ...(code === undefined ? {} : { code }),
      ...(isCut ? { cut: true } : {}),
      ...(isOurFault ? { reason: failure.message, cause: causeOf(failure) } : {}),
    });
  };
  response.once('close', () => void served.then(record));
}

const causeOf = ({ cause }: Error) => (cause instanceof Error ? cause.message : undefined);
