import { EnvironmentReader } from '@dfs/shared';
import { type LogLevel, logLevels } from '@dfs/shared/cluster';

/** Everything the replicator is told but secrets, read once. */
export interface ReplicatorConfig {
  /** The master's management address. */
  readonly masterUrl: string;
  /** Absent: jobs are leased from the master. */
  readonly redisUrl: string | undefined;
  /** Where `/healthz` and `/metrics` are served; without a port nowhere, without a host as the cluster key allows. */
  readonly statusPort: number | undefined;
  readonly statusHost: string | undefined;
  readonly copyConcurrency: number;
  readonly copyConcurrencyPerNode: number;
  readonly logLevel: LogLevel;
}

const concurrencyLimits = { min: 1, max: 1_024 };

/** Reads the replicator's settings from the environment. Throws `ConfigurationError` with every fault. */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
): ReplicatorConfig {
  const read = new EnvironmentReader(environment);
  const redisUrl = read.optional('DFS_REDIS_URL');
  if (redisUrl !== undefined && !/^rediss?:\/\//.test(redisUrl)) {
    read.fault('DFS_REDIS_URL must be a redis:// URL; leave it out to take jobs from the master.');
  }
  const logLevel = read.text('DFS_LOG_LEVEL', 'info') as LogLevel;
  if (!logLevels.includes(logLevel)) {
    read.fault(
      `DFS_LOG_LEVEL is ${JSON.stringify(logLevel)}: it must be one of ${logLevels.join(', ')}.`,
    );
  }
  const copyConcurrency = read.integer('DFS_COPY_CONCURRENCY', 16, concurrencyLimits);
  const config: ReplicatorConfig = {
    masterUrl: read.url('DFS_MASTER_URL') ?? 'http://127.0.0.1:7041',
    redisUrl,
    statusPort:
      read.optional('DFS_PORT') === undefined
        ? undefined
        : read.integer('DFS_PORT', 0, { min: 0, max: 65_535 }),
    statusHost: read.optional('DFS_HOST'),
    copyConcurrency,
    copyConcurrencyPerNode: Math.ceil(copyConcurrency / 2),
    logLevel,
  };
  read.finish();
  return Object.freeze(config);
}
