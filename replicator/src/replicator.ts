import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, StoreError, systemClock } from '@dfs/shared';
import { type ClusterKeyring, type Logger, type ProgramTls, withoutTls } from '@dfs/shared/cluster';
import { BullmqJobSource } from './bullmq-job-source.ts';
import type { ReplicatorConfig } from './config.ts';
import type { JobSource } from './job-source.ts';
import { LeasedJobSource } from './leased-job-source.ts';
import { MasterClient } from './master-client.ts';
import { NodeStores } from './node-stores.ts';
import { ReplicationReporter } from './replication-reporter.ts';
import { ReplicationWorker } from './replication-worker.ts';
import { serveStatus } from './status-server.ts';

export interface ReplicatorOptions {
  readonly config: ReplicatorConfig;
  readonly keyring: ClusterKeyring;
  /** Absent: HTTP. */
  readonly tls?: ProgramTls;
  readonly logger: Logger;
  /** Aborted when the program shall stop while it still waits for the master. */
  readonly stopping: AbortSignal;
}

const { random } = Math;
const masterPauseMaxMs = 5_000;

/**
 * Starts to work once the master was met; a master that is not there yet is waited for. Rejects with the words of a master that refuses this replicator.
 */
export async function startReplicator(
  options: ReplicatorOptions,
): Promise<{ stop(): Promise<void> }> {
  const { config, keyring, tls = withoutTls, logger } = options;
  const { trust } = tls;
  const { masterUrl, redisUrl } = config;
  // Before the master is there: to wait for it is no illness.
  const statusServer =
    config.statusPort === undefined
      ? undefined
      : await serveStatus({
          host: config.statusHost,
          port: config.statusPort,
          keyring,
          tls: tls.server,
        });
  const master = new MasterClient({ masterUrl, keyring, trust, logger });
  await meet(master, options);
  const stores = new NodeStores({
    find: (id) => master.find(id),
    epoch: () => master.epoch,
    keyring,
    trust,
  });
  const reporter = new ReplicationReporter({
    send: (attempts, signal) => master.report(attempts, signal),
    logger,
    random,
  });
  const source: JobSource =
    redisUrl === undefined
      ? new LeasedJobSource({
          lease: (request, signal) => master.lease(request, signal),
          logger,
          random,
        })
      : new BullmqJobSource({ redisUrl, logger, random });
  const worker = new ReplicationWorker({
    source,
    nodes: master,
    storeOf: (id) => stores.of(id),
    report: (attempt) => reporter.report(attempt),
    clock: systemClock,
    logger,
    random,
    config,
  });
  const work = worker.run();
  const jobs = redisUrl === undefined ? 'leased from the master' : 'from Redis';
  logger.info('replicator works', { master: masterUrl, jobs });
  return {
    stop: async () => {
      await worker.stop();
      await work;
      await reporter.close();
      await stores.close();
      await master.close();
      await statusServer?.close();
    },
  };
}

async function meet(
  master: MasterClient,
  { logger, stopping }: Pick<ReplicatorOptions, 'logger' | 'stopping'>,
): Promise<void> {
  for (let attempt = 1; !stopping.aborted; attempt += 1) {
    try {
      return await master.start();
    } catch (error) {
      if (isRefusal(error)) throw error;
      if (attempt === 1) logger.warn('waiting for the master', { error });
    }
    const pauseMs = Math.min(masterPauseMaxMs, backoffMs(attempt, random()));
    await sleep(pauseMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}

/** Waiting cannot help: the key is wrong, or the address is not that of a master's management port. */
const isRefusal = (error: unknown) =>
  error instanceof StoreError && error.kind !== 'unavailable' && error.kind !== 'internal';
