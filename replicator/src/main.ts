import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs, readClusterKey, StoreError, systemClock } from '@dfs/shared';
import { createLogger, type Logger, runProgram } from '@dfs/shared/cluster';
import { BullmqJobSource } from './bullmq-job-source.ts';
import { readConfig } from './config.ts';
import type { JobSource } from './job-source.ts';
import { LeasedJobSource } from './leased-job-source.ts';
import { MasterClient } from './master-client.ts';
import { NodeStores } from './node-stores.ts';
import { ReplicationReporter } from './replication-reporter.ts';
import { ReplicationWorker } from './replication-worker.ts';

const random = Math.random;
const masterPauseMaxMs = 5_000;

await runProgram({
  name: 'replicator',
  start: async ({ ready, stopping }) => {
    const config = readConfig(process.env);
    const logger = createLogger({ program: 'replicator', level: config.logLevel });
    const clusterKey = await readClusterKey(process.env, 'wait', (file) => {
      logger.info('waiting for the cluster key', { file });
    });
    const master = new MasterClient({ masterUrl: config.masterUrl, clusterKey, logger });
    await meetMaster(master, logger, stopping);

    const stores = new NodeStores({
      find: (id) => master.find(id),
      epoch: () => master.epoch,
      clusterKey,
    });
    const reporter = new ReplicationReporter({
      send: (attempts, signal) => master.report(attempts, signal),
      logger,
      random,
    });
    const source: JobSource =
      config.redisUrl === undefined
        ? new LeasedJobSource({
            lease: (request, signal) => master.lease(request, signal),
            logger,
            random,
          })
        : new BullmqJobSource({ redisUrl: config.redisUrl, logger, random });
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
    logger.info('replicator works', {
      master: config.masterUrl,
      jobs: config.redisUrl === undefined ? 'leased from the master' : 'from Redis',
    });
    ready({});
    return {
      stop: async () => {
        await worker.stop();
        await work;
        await reporter.close();
        await stores.close();
        await master.close();
      },
    };
  },
});

/** The master may start later than its replicator. One that refuses this replicator ends it, with its words. */
async function meetMaster(
  master: MasterClient,
  logger: Logger,
  stopping: AbortSignal,
): Promise<void> {
  for (let attempt = 1; !stopping.aborted; attempt += 1) {
    try {
      await master.start();
      return;
    } catch (error) {
      const isRefusal = error instanceof StoreError && error.kind !== 'unavailable';
      if (isRefusal && error.kind !== 'internal') throw error;
      if (attempt === 1) logger.warn('waiting for the master', { error });
    }
    const pauseMs = Math.min(masterPauseMaxMs, backoffMs(attempt, random()));
    await sleep(pauseMs, undefined, { signal: stopping }).catch(() => undefined);
  }
}
