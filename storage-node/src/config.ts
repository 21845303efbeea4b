import { EnvironmentReader, senderPauses } from '@dfs/shared';
import { type LogLevel, logLevels, whyNotListenAt } from '@dfs/shared/cluster';
import { readOrigins, readTrustedProxies, type TrustedProxies } from '@dfs/shared/serving';

/** Everything a storage node is told, read once. Durations in ms, sizes in bytes. */
export interface StorageNodeConfig {
  readonly dataDir: string;
  /** The data directory is shared: the node takes the first free slot in it. */
  readonly hasSlots: boolean;
  /** Absent: the name that the disk has, or one made from the host's. */
  readonly name: string | undefined;
  /** The master's management port. */
  readonly masterUrl: string;
  /** A public listener of the cluster, which tells the management port's address; undefined where that is set. */
  readonly gossipUrl: string | undefined;
  /** Where master and nodes reach this one; absent: the address of its connection to the master. */
  readonly nodeUrl: string | undefined;
  /** Where clients reach it, for redirects; absent: not published. */
  readonly publicUrl: string | undefined;
  readonly zone: string | undefined;
  /** Undefined: all addresses. */
  readonly host: string | undefined;
  readonly port: number;
  /** Absent: 1 % of the disk, 1 GiB at most. */
  readonly reserveBytes: number | undefined;
  /** What cached blobs may take; 0: none are kept. Absent: 10 % of the disk, 10 GiB at most. */
  readonly cacheBytes: number | undefined;
  /** Until the master names another interval. */
  readonly heartbeatEveryMs: number;
  readonly uploadIdleMs: number;
  /** Each blob is read again within this time; 0: only when asked. */
  readonly scrubEveryMs: number;
  /** The listener for users; absent: none. */
  readonly edge: EdgeConfig | undefined;
  readonly logLevel: LogLevel;
}

/** The public listener of a node. */
export interface EdgeConfig {
  /** Undefined: all addresses. */
  readonly host: string | undefined;
  /** 0: any free one. */
  readonly port: number;
  /** How long what the master permitted counts while it is silent, ms. */
  readonly offlineRightsMs: number;
  /** Whose `X-Forwarded-` headers count. */
  readonly proxies: TrustedProxies;
  /** Pages of these may use it; `*`: all. */
  readonly corsOrigins: readonly string[];
}

/** It stands in tables, log lines and answers. */
const nameMaxBytes = 255;

/**
 * Reads a storage node's settings from the environment. Throws `ConfigurationError` with every
 * fault.
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  hasClusterKey: boolean,
): StorageNodeConfig {
  const read = new EnvironmentReader(environment);
  const logLevel = read.text('DFS_LOG_LEVEL', 'info');
  const hasReserve = read.optional('DFS_RESERVE_BYTES') !== undefined;
  const hasCacheLimit = read.optional('DFS_CACHE_BYTES') !== undefined;
  const config: StorageNodeConfig = {
    dataDir: read.directory('DFS_DATA', './dfs-node'),
    hasSlots: read.flag('DFS_SLOTS', false),
    name: read.optional('DFS_NODE_NAME', 'INSTANCE_NAME'),
    masterUrl: read.url('DFS_MASTER_URL') ?? 'http://127.0.0.1:7041',
    gossipUrl: readGossip(read),
    nodeUrl: read.url('DFS_NODE_URL'),
    publicUrl:
      read.optional('DFS_NODE_PUBLIC_URL') === 'self' ? 'self' : read.url('DFS_NODE_PUBLIC_URL'),
    zone: read.optional('DFS_ZONE'),
    host: read.optional('DFS_HOST') ?? (hasClusterKey ? undefined : '127.0.0.1'),
    port: read.integer('DFS_PORT', 7050, { min: 0, max: 65_535 }),
    reserveBytes: hasReserve ? read.bytes('DFS_RESERVE_BYTES', 0) : undefined,
    cacheBytes: hasCacheLimit ? read.bytes('DFS_CACHE_BYTES', 0) : undefined,
    heartbeatEveryMs: read.durationMs('DFS_HEARTBEAT_EVERY', 3_000, { min: 50 }),
    uploadIdleMs: read.durationMs('DFS_UPLOAD_IDLE', senderPauses.nodeMs, { min: 50 }),
    scrubEveryMs: read.durationMs('DFS_SCRUB_EVERY', 30 * 86_400_000),
    edge: readEdge(read, hasClusterKey),
    logLevel: logLevel as LogLevel,
  };
  if (!logLevels.includes(config.logLevel)) {
    read.fault(
      `DFS_LOG_LEVEL is ${JSON.stringify(logLevel)}: it must be one of ${logLevels.join(', ')}.`,
    );
  }
  const openHost = whyNotListenAt(config.host, hasClusterKey);
  if (openHost !== undefined) read.fault(openHost);
  if (/\p{Cc}/u.test(config.name ?? '') || Buffer.byteLength(config.name ?? '') > nameMaxBytes) {
    read.fault(
      `DFS_NODE_NAME is ${JSON.stringify(config.name)}: it may hold up to ${nameMaxBytes} bytes and no control characters.`,
    );
  }
  read.finish();
  return Object.freeze(config);
}

/** `GOSSIP_INSTANCE`: `host` or `host:port`, 80 when left out, perhaps with a scheme. A node that is told about certificates speaks TLS where nothing else is said. */
function readGossip(read: EnvironmentReader): string | undefined {
  const name = 'GOSSIP_INSTANCE';
  const text = read.optional(name);
  if (text === undefined || read.optional('DFS_MASTER_URL') !== undefined) return undefined;
  const isTls = read.optional('DFS_TLS_CERT', 'DFS_TLS_CA') !== undefined;
  const url = /^https?:\/\//.test(text) ? text : `${isTls ? 'https' : 'http'}://${text}`;
  const hasPort = /:\d+\/?$/.test(url);
  const withPort = hasPort || url !== `https://${text}` ? url : `${url}:80`;
  if (URL.canParse(withPort) && /^https?:\/\/[^/@?#]+\/?$/.test(withPort)) {
    return withPort.replace(/\/$/, '');
  }
  read.fault(`${name} is ${JSON.stringify(text)}: it must be host or host:port.`);
  return undefined;
}

function readEdge(read: EnvironmentReader, hasClusterKey: boolean): EdgeConfig | undefined {
  const isOn = read.optional('DFS_NODE_PUBLIC_PORT') !== undefined;
  const config: EdgeConfig = {
    host:
      read.optional('DFS_NODE_PUBLIC_HOST') ??
      read.optional('DFS_HOST') ??
      (hasClusterKey ? undefined : '127.0.0.1'),
    port: read.integer('DFS_NODE_PUBLIC_PORT', 0, { min: 0, max: 65_535 }),
    offlineRightsMs: read.durationMs('DFS_OFFLINE_RIGHTS', 15 * 60_000),
    proxies: readTrustedProxies(read),
    corsOrigins: readOrigins(read),
  };
  if (!isOn) return undefined;
  const openHost = whyNotListenAt(config.host, hasClusterKey, 'DFS_NODE_PUBLIC_HOST');
  if (openHost !== undefined) read.fault(openHost);
  return config;
}
