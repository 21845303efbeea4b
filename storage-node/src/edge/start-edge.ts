import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type {
  Clock,
  FileId,
  JudgementQuestion,
  NodeId,
  OpeningAnswer,
  OpeningQuestion,
  ReadAnswer,
  ReadQuestion,
} from '@dfs/shared';
import { StoreError } from '@dfs/shared';
import {
  type ClusterKeyring,
  type Logger,
  type LogRing,
  listen,
  type ProgramTls,
} from '@dfs/shared/cluster';
import { allowOrigins } from '@dfs/shared/serving';
import type { ReadCache } from '../cache/read-cache.ts';
import { closeServer } from '../close-server.ts';
import type { EdgeConfig } from '../config.ts';
import type { NodeCounters } from '../counters.ts';
import type { DiskBlobStore } from '../disk-blob-store.ts';
import { MasterClient } from '../master-client.ts';
import type { NodeMetrics } from '../metrics.ts';
import { createEdgeServer } from './edge-server.ts';
import { FileBytes } from './file-bytes.ts';
import { Forwarder } from './forwarder.ts';
import { Permits } from './permits.ts';

/** Questions on their way to the master at the same time. */
const questionsMax = 32;

export interface EdgeDependencies {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly version: string;
  readonly masterUrl: string;
  readonly keyring: ClusterKeyring;
  readonly tls: ProgramTls;
  readonly store: DiskBlobStore;
  readonly cache: ReadCache;
  readonly metrics: Pick<NodeMetrics, 'requestEnded'>;
  readonly counters: Pick<NodeCounters, 'requestsNow'>;
  readonly onRead: (fileId: FileId) => void;
  readonly log: LogRing;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A public listener that serves. */
export interface RunningEdge {
  readonly port: number;
  stop(): Promise<void>;
}

/** Puts the public listener of a node together and starts it. Rejects with `ConfigurationError`, in one line, when its port cannot be had. */
export async function startEdge(
  config: EdgeConfig,
  dependencies: EdgeDependencies,
): Promise<RunningEdge> {
  const { nodeId, masterUrl, keyring, tls, clock } = dependencies;
  const { trust } = tls;
  const { offlineRightsMs, proxies, corsOrigins } = config;
  const master = new MasterClient({ url: masterUrl, keyring, trust, connections: questionsMax });
  const forwarder = new Forwarder({ masterUrl, nodeId, keyring, trust });
  const server = createEdgeServer({
    ...dependencies,
    tls: tls.server,
    proxies,
    offlineRightsMs,
    crossOrigin: corsOrigins.length === 0 ? undefined : allowOrigins(corsOrigins),
    files: new FileBytes(dependencies),
    forwarder,
    permits: new Permits({
      ask: (question: ReadQuestion) => ask<ReadAnswer>(master, '/cluster/reads', question),
      clock,
      offlineRightsMs,
      hasKey: () => keyring.current() !== undefined,
    }),
    master: {
      judge: async (question: JudgementQuestion) => {
        await master.post('/cluster/judgements', question);
      },
      isOpen: (question: OpeningQuestion) =>
        ask<OpeningAnswer>(master, '/cluster/openings', question),
    },
  }).server;
  countRequests(server, dependencies.counters);
  const port = await listen(server, config);
  return {
    port,
    stop: async () => {
      await closeServer(server);
      forwarder.close();
      await master.close();
    },
  };
}

/** What reads the disk in the background is to know of readers here, too. */
function countRequests(server: Server, counters: Pick<NodeCounters, 'requestsNow'>): void {
  const count = (_request: IncomingMessage, response: ServerResponse) => {
    counters.requestsNow += 1;
    response.once('close', () => {
      counters.requestsNow -= 1;
    });
  };
  server.on('request', count).on('checkContinue', count);
}

async function ask<Answer>(master: MasterClient, path: string, question: unknown): Promise<Answer> {
  const answer = await master.post<Answer>(path, question);
  if (answer !== undefined) return answer;
  throw new StoreError('unavailable', 'The master answers nothing.', {
    hint: 'Run the same version of dfs everywhere.',
  });
}
