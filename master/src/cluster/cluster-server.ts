import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import {
  type Clock,
  type DamageReport,
  decideRetry,
  errorBodyOf,
  type Heartbeat,
  httpStatusOf,
  keyOfHeaders,
  type LeaseAnswer,
  type LeaseRequest,
  parseBlobId,
  parseNodeId,
  type ReplicationAttempt,
  type ReplicationReport,
  StoreError,
} from '@dfs/shared';
import { type ClusterKeyring, type Logger, ServerTls } from '@dfs/shared/cluster';
import { plainAddress } from '@dfs/shared/serving';
import express, { type NextFunction, type Request, type Response, type Router } from 'express';
import { faultOfLocalRequest } from '../access/local-request.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { HeartbeatNodeDirectory } from './heartbeat-node-directory.ts';

export interface ClusterServerDependencies {
  readonly metadata: MetadataRepository;
  readonly nodes: HeartbeatNodeDirectory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly keyring: ClusterKeyring;
  /** Called for each request with a wrong cluster key. Nobody is kept out for that: a program with an old key would lock out those beside it. */
  readonly onWrongKey?: (address: string) => void;
  /** Absent: HTTP. */
  readonly tls?: ServerTls;
  readonly random: () => number;
  /** A node's word was accepted. */
  readonly onHeartbeat?: (heartbeat: Heartbeat) => void;
  /** Absent when jobs travel through Redis. */
  readonly lease?: (request: LeaseRequest, signal: AbortSignal) => Promise<LeaseAnswer>;
  /** Outcomes were committed, or a node found damage: the repair loop forgets or looks. */
  readonly onAttempts: (attempts: readonly ReplicationAttempt[]) => void;
  readonly onDamage: () => void;
  /** What nodes ask for their own clients; behind the cluster key. */
  readonly edge?: Router;
  /** Takes a request that a node passes on for its client, and answers it; false: it is the sender's own. */
  readonly takeForwarded?: (
    request: IncomingMessage,
    response: ServerResponse,
    awaitsContinue: boolean,
  ) => boolean;
}

/** Attempts in one report at most; a body is bounded accordingly. */
const attemptsMax = 1_000;
const bodyMax = '2mb';
const headersMaxBytes = 48 * 2 ** 10;

/** The management port: what nodes and replicators tell and ask the master (`shared/src/cluster-messages.ts`). */
export function createClusterServer(dependencies: ClusterServerDependencies): Server {
  const { metadata, nodes, clock, random } = dependencies;
  const app = express().disable('x-powered-by').disable('etag');
  app.get('/healthz', (_request, response) => {
    response.type('text').send('ok\n');
  });
  app.use((request, _response, next) => {
    checkKey(request, dependencies);
    next();
  });
  app.use(express.json({ limit: bodyMax }));

  app.post('/cluster/heartbeat', async (request, response) => {
    const heartbeat = bodyOf<Heartbeat>(request, ['nodeId', 'instanceId', 'name', 'port']);
    parseNodeId(heartbeat.nodeId);
    const answer = await nodes.heartbeat(heartbeat, request.socket.remoteAddress ?? '');
    dependencies.onHeartbeat?.(heartbeat);
    response.json(answer);
  });

  app.get('/cluster/nodes', (_request, response) => {
    response.json(nodes.nodeMap());
  });

  app.post('/cluster/damage', async (request, response) => {
    const { nodeId, damages } = bodyOf<DamageReport>(request, ['nodeId', 'damages']);
    for (const damage of damages) parseBlobId(damage.blobId);
    await metadata.recordDamage(parseNodeId(nodeId), damages, clock.now());
    dependencies.onDamage();
    response.sendStatus(204);
  });

  app.post('/cluster/replications', async (request, response) => {
    const { attempts } = bodyOf<ReplicationReport>(request, ['attempts']);
    if (attempts.length > attemptsMax) {
      throw new StoreError('too-large', `A report holds at most ${attemptsMax} attempts.`, {
        hint: 'Send it in parts.',
      });
    }
    await metadata.recordReplications(attempts, (attempt, attemptsMade) => {
      const failure = { code: attempt.errorCode ?? 'internal', attempt: Math.max(1, attemptsMade) };
      return clock.now() + decideRetry(failure, random()).delayMs;
    });
    dependencies.onAttempts(attempts);
    response.sendStatus(204);
  });

  app.post('/cluster/leases', async (request, response) => {
    const lease = bodyOf<LeaseRequest>(request, ['workerId', 'maxJobs', 'waitMs']);
    if (!dependencies.lease) {
      throw new StoreError('conflict', 'This master hands its replication jobs to Redis.', {
        hint: 'Give the replicator the same DFS_REDIS_URL as the master.',
      });
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.json(await dependencies.lease(lease, gone.signal));
  });

  if (dependencies.edge) app.use(dependencies.edge);

  app.use((request: Request) => {
    throw new StoreError(
      'not-found',
      `The management port has no ${request.method} ${request.path}.`,
      {
        hint: 'Users and the dfs command speak to the public port.',
      },
    );
  });
  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (response.headersSent) return next(error);
    const known = storeErrorOf(error);
    if (!known) dependencies.logger.error('management request failed', { error });
    response.status(known ? httpStatusOf[known.kind] : 500).json(errorBodyOf(known ?? error));
  });

  const take =
    (awaitsContinue: boolean) => (request: IncomingMessage, response: ServerResponse) => {
      if (dependencies.takeForwarded?.(request, response, awaitsContinue)) return;
      if (awaitsContinue) response.writeContinue();
      app(request, response);
    };
  const server = (dependencies.tls ?? ServerTls.none()).createServer(
    // What is passed on may have no host, and headers as long as at the public port beside those of the node.
    { maxHeaderSize: headersMaxBytes, requireHostHeader: false },
    take(false),
  );
  server.on('checkContinue', take(true));
  server.maxHeadersCount = 0;
  // Leases are long polls; keep-alive outlives the clients' own pools.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 65_000;
  return server;
}

function checkKey(
  request: Request,
  { keyring, onWrongKey }: Pick<ClusterServerDependencies, 'keyring' | 'onWrongKey'>,
): void {
  if (keyring.current() === undefined) {
    const fault = faultOfLocalRequest(request.headers);
    if (fault === undefined) return;
    throw new StoreError('forbidden', fault, {
      hint: 'Give every program of the cluster a key, or the address http://127.0.0.1 of the master.',
    });
  }
  const given = keyOfHeaders(request.headers);
  if (given !== undefined && keyring.isOne(given)) return;
  if (given !== undefined) onWrongKey?.(plainAddress(request.socket.remoteAddress ?? ''));
  throw new StoreError(
    'unauthorized',
    given === undefined
      ? 'The management port wants the cluster key.'
      : 'The cluster key is wrong.',
    { hint: 'Give every program of the cluster the same DFS_CLUSTER_KEY or DFS_CLUSTER_KEY_FILE.' },
  );
}

/** The JSON body when it is an object with these members; each caller judges what they hold. */
function bodyOf<T extends object>(request: Request, members: readonly (keyof T & string)[]): T {
  const body: unknown = request.body;
  if (typeof body === 'object' && body !== null) {
    const missing = members.filter((member) => !(member in body));
    if (missing.length === 0) return body as T;
    throw new StoreError('invalid-request', `The message lacks ${missing.join(', ')}.`, {
      hint: 'Run the same version of dfs everywhere.',
    });
  }
  throw new StoreError('invalid-request', 'The message is no JSON object.', {
    hint: 'Send application/json.',
  });
}

/** Our own errors, and those of the JSON parser as ours; undefined for what nobody expected. */
function storeErrorOf(error: unknown): StoreError | undefined {
  if (error instanceof StoreError) return error;
  const status = (error as { status?: number }).status;
  if (status === 413)
    return new StoreError('too-large', 'The message is too large.', { cause: error });
  if (status !== undefined && status < 500) {
    return new StoreError('invalid-request', 'The message cannot be read.', { cause: error });
  }
  return undefined;
}
