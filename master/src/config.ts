import { hostname } from 'node:os';
import { EnvironmentReader } from '@dfs/shared';
import { type LogLevel, logLevels, whyNotListenAt } from '@dfs/shared/cluster';
import { readOrigins, readTrustedProxies, type TrustedProxies } from '@dfs/shared/serving';

/** Everything the master is told, read once. Durations in ms, sizes in bytes. */
export interface MasterConfig {
  readonly dataDir: string;
  /** A PostgreSQL URL; absent: SQLite in `dataDir`. */
  readonly databaseUrl: string | undefined;
  readonly redisUrl: string | undefined;
  /** Undefined: all addresses. */
  readonly host: string | undefined;
  readonly port: number;
  readonly managementPort: number;
  readonly instanceName: string;
  /** Where nodes reach the management port; undefined: at the host that they reached the public port by. */
  readonly managementUrl: string | undefined;
  /** Origins whose pages may use the public port; `*`: all. */
  readonly corsOrigins: readonly string[];
  /** The base of the links that are made; undefined: the address that each request was sent to. */
  readonly publicUrl: string | undefined;
  readonly copies: number;
  readonly minCopies: number;
  readonly segmentBytes: number;
  readonly nodeTimeoutMs: number;
  readonly heartbeatEveryMs: number;
  readonly replaceAfterMs: number;
  /** What copies made by repair and rebalancing may take per second together; undefined: no limit. */
  readonly repairBytesPerSecond: number | undefined;
  readonly gcGraceMs: number;
  /** 0: what is removed or replaced is gone at once. */
  readonly trashTtlMs: number;
  readonly logKeepMs: number;
  /** A file that is read more often per minute is cached on further nodes; 0: none is. */
  readonly hotReadsPerMinute: number;
  /** Whose `X-Forwarded-` headers count. */
  readonly trustedProxies: TrustedProxies;
  readonly logLevel: LogLevel;
}

const portLimits = { min: 0, max: 65_535 };
const hotReadsLimits = { min: 0, max: 1_000_000_000 };
const copiesLimits = { min: 1, max: 16 };

/** Reads the master's settings from the environment. Throws `ConfigurationError` with every fault. */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  hasClusterKey: boolean,
): MasterConfig {
  const read = new EnvironmentReader(environment);
  const hasRepairLimit = read.optional('DFS_REPAIR_BYTES_PER_SECOND') !== undefined;
  const config: MasterConfig = {
    dataDir: read.directory('DFS_DATA', './dfs-master'),
    databaseUrl: read.optional('DFS_DATABASE_URL'),
    redisUrl: read.optional('DFS_REDIS_URL'),
    host: read.optional('DFS_HOST') ?? (hasClusterKey ? undefined : '127.0.0.1'),
    port: read.integer('DFS_PORT', 7040, portLimits),
    managementPort: read.integer('DFS_MANAGEMENT_PORT', 7041, portLimits),
    instanceName: read.optional('DFS_INSTANCE_NAME', 'INSTANCE_NAME') ?? hostname(),
    managementUrl: read.url('DFS_MANAGEMENT_URL'),
    corsOrigins: readOrigins(read),
    publicUrl: read.url('DFS_PUBLIC_URL'),
    copies: read.integer('DFS_COPIES', 3, copiesLimits),
    minCopies: read.integer('DFS_MIN_COPIES', 1, copiesLimits),
    segmentBytes: read.bytes('DFS_SEGMENT_BYTES', 2 ** 30, { min: 1 }),
    nodeTimeoutMs: read.durationMs('DFS_NODE_TIMEOUT', 15_000, { min: 500 }),
    heartbeatEveryMs: read.durationMs('DFS_HEARTBEAT_EVERY', 3_000, { min: 50 }),
    replaceAfterMs: read.durationMs('DFS_REPLACE_AFTER', 60_000),
    repairBytesPerSecond: hasRepairLimit
      ? read.bytes('DFS_REPAIR_BYTES_PER_SECOND', 0, { min: 1 })
      : undefined,
    gcGraceMs: read.durationMs('DFS_GC_GRACE', 15 * 60_000),
    trashTtlMs: read.durationMs('DFS_TRASH_TTL', 24 * 3_600_000),
    logKeepMs: read.durationMs('DFS_LOG_KEEP', 30 * 86_400_000, { min: 1_000 }),
    trustedProxies: readTrustedProxies(read),
    hotReadsPerMinute: read.integer('DFS_HOT_READS', 60, hotReadsLimits),
    logLevel: read.choice('DFS_LOG_LEVEL', 'info', logLevels),
  };
  if (config.minCopies > config.copies) {
    read.fault(
      `DFS_MIN_COPIES is ${config.minCopies}, more than DFS_COPIES (${config.copies}): it must not be.`,
    );
  }
  if (config.databaseUrl !== undefined && !/^postgres(ql)?:\/\//.test(config.databaseUrl)) {
    read.fault('DFS_DATABASE_URL must be a postgres:// URL; leave it out for SQLite.');
  }
  const openHost = whyNotListenAt(config.host, hasClusterKey);
  if (openHost !== undefined) read.fault(openHost);
  read.finish();
  return Object.freeze(config);
}
