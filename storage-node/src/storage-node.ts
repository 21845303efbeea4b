import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  type BlobId,
  type CacheReport,
  type Clock,
  cacheReportLimits,
  type Heartbeat,
  type NodeId,
} from '@dfs/shared';
import {
  type ClusterKeyring,
  type Logger,
  LogRing,
  listen,
  type ProgramTls,
  withoutTls,
} from '@dfs/shared/cluster';
import { BlobFetcher } from './blob-fetcher.ts';
import { BlobTally } from './blob-tally.ts';
import { BlockBuffers } from './block-buffers.ts';
import { CacheFills } from './cache/cache-fills.ts';
import { ReadCache } from './cache/read-cache.ts';
import { ReadCounts } from './cache/read-counts.ts';
import { closeServer } from './close-server.ts';
import type { StorageNodeConfig } from './config.ts';
import { createCounters } from './counters.ts';
import { DamageReporter } from './damage-reporter.ts';
import { formatDataDirectory } from './data-directory.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { DropClock } from './drop-clock.ts';
import { startEdge } from './edge/start-edge.ts';
import { HeartbeatLoop } from './heartbeat-loop.ts';
import { DiskJournal } from './journal/disk-journal.ts';
import { JournalScrub } from './journal/journal-scrub.ts';
import { MasterClient } from './master-client.ts';
import { createMetrics } from './metrics.ts';
import { NodeAccess } from './node-access.ts';
import { hasIdentity, NodeIdentity } from './node-identity.ts';
import { Pulse } from './pulse.ts';
import { Scrubber } from './scrubber.ts';
import { createNodeServer } from './server.ts';
import { takeDataDirectory } from './slots.ts';
import { type MeasureDisk, Space } from './space.ts';
import { VitalSigns } from './vital-signs.ts';

/** Blocks of 1 MiB in memory for readers, at most. */
const blocksMax = 48;
/** What is cached takes at most so much where nobody says it, and no more than a tenth of the disk. */
const cacheMaxBytes = 10 * 2 ** 30;

export interface StorageNodeDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What it logged lately, for those who may ask. */
  readonly log?: LogRing;
  readonly keyring: ClusterKeyring;
  /** Absent: HTTP. */
  readonly tls?: ProgramTls;
  /** How the room on the disk is found; by default the file system is asked. */
  readonly measureDisk?: MeasureDisk;
}

/** A storage node that listens. */
export interface RunningStorageNode {
  readonly nodeId: NodeId;
  readonly name: string;
  /** Where other programs reach it, as far as this one knows. */
  readonly url: () => string;
  readonly port: number;
  /** Of the public listener; undefined: there is none. */
  readonly publicPort: number | undefined;
  readonly dataDir: string;
  /**
   * Resolves with the first accepted heartbeat or when the node stops; rejects when the master
   * refuses this node for good.
   */
  readonly registered: Promise<void>;
  stop(): Promise<void>;
}

/**
 * Puts a storage node together and starts it. Rejects with `ConfigurationError` or `conflict`, in
 * one line, when its disk or port cannot be had.
 */
export async function startStorageNode(
  config: StorageNodeConfig,
  {
    clock,
    logger,
    log = new LogRing(),
    keyring,
    tls = withoutTls,
    measureDisk,
  }: StorageNodeDependencies,
): Promise<RunningStorageNode> {
  const cleanup: (() => unknown)[] = [];
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= (async () => {
      for (const step of cleanup.reverse()) await step();
    })();
    return stopped;
  };
  try {
    const { path, lock, slot } = await takeDataDirectory(config.dataDir, config);
    cleanup.push(() => lock.release());
    const directory = await formatDataDirectory(path, { isFormatted: await hasIdentity(path) });
    cleanup.push(() => directory.close());
    const identity = await NodeIdentity.open(path, config.name ?? slot);
    const measure = measureDisk ? { measure: measureDisk } : {};
    const space = await Space.open({ path, reserveBytes: config.reserveBytes, ...measure });
    cleanup.push(() => space.close());
    const tally = new BlobTally(directory);
    await tally.look();
    const pulse = new Pulse({ masterUrl: config.masterUrl, keyring, ca: tls.ca });
    cleanup.push(() => pulse.close());
    const vitals = new VitalSigns({
      clock,
      probePath: directory.probePath,
      onTick: () => pulse.tick(),
    });
    cleanup.push(() => vitals.close());

    const { nodeId, name } = identity;
    const master = new MasterClient({ url: config.masterUrl, keyring, trust: tls.trust });
    cleanup.push(() => master.close());
    const damages = new DamageReporter({ master, nodeId, clock, logger, random: Math.random });
    cleanup.push(() => damages.close());
    const fetcher = new BlobFetcher({
      keyring,
      trust: tls.trust,
      clusterId: () => identity.clusterId,
      clock,
    });
    cleanup.push(() => fetcher.close());
    const buffers = new BlockBuffers({ blocksMax });
    const cache = new ReadCache({
      path: directory.cachePath,
      limitBytes:
        config.cacheBytes ?? Math.min(cacheMaxBytes, Math.floor(space.capacityBytes / 10)),
      space,
      fetchRange: fetcher.fetchRange,
      buffers,
      clock,
      logger,
    });
    cache.blobs.start();
    cleanup.push(() => cache.close());
    const counters = createCounters();
    const dropClock = new DropClock(clock);
    let scrubber: Scrubber | undefined;
    const store = new DiskBlobStore({
      directory,
      space,
      tally,
      dropClock,
      clock,
      buffers,
      fetchBlob: fetcher.fetch,
      onDamage: (damage) => {
        counters.damageCount += 1;
        damages.report(damage);
      },
      onMended: (id) => {
        damages.mended(id);
        scrubber?.mended(id);
      },
      onWrite: () => vitals.wrote(),
      // What is stored need not be cached.
      onStored: (id) => void cache.blobs.drop(id),
    });
    cleanup.push(() => store.close());
    const isStored = (id: BlobId) =>
      store.describe(id).then(
        (description) => description !== undefined,
        () => false,
      );
    const fills = new CacheFills({ cache, isStored, logger });
    cleanup.push(() => fills.close());
    const reads = new ReadCounts();

    const journal = new DiskJournal({
      path: directory.journalPath,
      stagingPath: directory.stagingPath,
      space,
      clusterId: () => identity.clusterId,
      logger,
    });
    cleanup.push(() => journal.close());
    journal.open();
    const journalScrub = new JournalScrub({
      journal,
      logger,
      random: Math.random,
      everyMs: config.scrubEveryMs,
    });
    journalScrub.start();
    cleanup.push(() => journalScrub.stop());
    const scrubs = await Scrubber.start({
      store,
      directory,
      clock,
      logger,
      requestsNow: () => counters.requestsNow,
      everyMs: config.scrubEveryMs,
    });
    scrubber = scrubs;
    cleanup.push(() => scrubs.stop());
    const metrics = createMetrics({ counters, tally, space, scrubs, cache });
    const disk = () => ({
      capacityBytes: space.capacityBytes,
      freeBytes: space.freeBytes,
      usedBytes: tally.usedBytes,
      blobCount: tally.blobCount,
    });
    const cluster = () => ({
      ...(identity.clusterId === undefined ? {} : { clusterId: identity.clusterId }),
      epoch: identity.epoch,
    });
    const server = createNodeServer({
      tls: tls.server,
      store,
      journal,
      cache,
      fills,
      identity,
      counters,
      scrubber: {
        scrubNow: () => {
          journalScrub.scrubNow();
          return scrubs.scrubNow();
        },
        status: () => scrubs.status(),
      },
      access: new NodeAccess({ nodeId, keyring, clock }),
      uploadIdleMs: config.uploadIdleMs,
      status: () => ({ nodeId, name, version, ...cluster(), ...disk() }),
      metrics: () => metrics.text(),
      logger,
    });
    const port = await listen(server, { host: config.host, port: config.port });
    cleanup.push(() => closeServer(server));
    const { edge } = config;
    const listener =
      edge &&
      (await startEdge(edge, {
        ...{ nodeId, name, version, keyring, tls, store, cache, clock, logger, log },
        ...{ metrics, counters },
        masterUrl: config.masterUrl,
        onRead: (fileId) => reads.count(fileId),
      }));
    cleanup.push(() => listener?.stop());

    const { scheme } = tls.server;
    const instanceId = randomUUID();
    const describe = (): Heartbeat => ({
      nodeId,
      instanceId,
      name,
      url: announcedUrl(config, port, scheme),
      port,
      ...(scheme === 'https' ? { scheme } : {}),
      ...(config.publicUrl === undefined ? {} : { publicUrl: config.publicUrl }),
      ...(listener === undefined ? {} : { publicPort: listener.port }),
      ...(config.zone === undefined ? {} : { zone: config.zone }),
      version,
      ...cluster(),
      // What it keeps of the journal was committed, also when no answer to a heartbeat said so yet.
      journal: Math.max(identity.journal, journal.numberIn(identity.epoch)),
      ...disk(),
      reserveBytes: space.reserveBytes,
      loopAgeMs: vitals.loopAgeMs,
      diskWriteAgeMs: vitals.diskWriteAgeMs,
      nodeTimeMs: clock.now(),
      uptimeSeconds: Math.floor(process.uptime()),
      dataDir: path,
      pid: process.pid,
      ...(cache.blobs.limitBytes === 0 ? {} : { caches: cacheReportOf(cache, reads) }),
    });
    const heartbeats = new HeartbeatLoop({
      master,
      identity,
      vitals,
      dropClock,
      pulse,
      clock,
      logger,
      everyMs: config.heartbeatEveryMs,
      random: Math.random,
      describe,
    });
    cleanup.push(() => heartbeats.stop());
    const counting = new AbortController();
    const counted = tally.count(counting.signal).catch((error) => {
      logger.warn('could not count the blobs', { error });
    });
    cleanup.push(async () => {
      counting.abort();
      await counted;
    });
    const registered = heartbeats.start();
    registered.catch(() => undefined);
    const publicPort = listener?.port;
    const open = publicPort === undefined ? {} : { publicPort };
    logger.info('listening', { node: name, id: nodeId, port, ...open, dataDir: path });
    return {
      nodeId,
      name,
      port,
      publicPort,
      dataDir: path,
      registered,
      stop,
      url: () =>
        announcedUrl(config, port, scheme) || `${scheme}://${hostOf(master.localAddress)}:${port}`,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string };

const cacheReportOf = (cache: ReadCache, reads: ReadCounts): CacheReport => ({
  bytes: cache.blobs.usedBytes,
  count: cache.blobs.count,
  blobs: cache.blobs.mostRead(),
  reads: reads.take(cacheReportLimits.reads),
});

/** The address that the node tells; empty: the master takes that of the connection. */
function announcedUrl(
  { nodeUrl, host }: StorageNodeConfig,
  port: number,
  scheme: 'http' | 'https',
): string {
  if (nodeUrl !== undefined) return nodeUrl;
  if (host === undefined || host === '0.0.0.0' || host === '::') return '';
  return `${scheme}://${hostOf(host)}:${port}`;
}

/** An address as it stands in a URL: IPv4 without its IPv6 mapping, IPv6 in brackets. */
function hostOf(address = '127.0.0.1'): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  return plain.includes(':') ? `[${plain}]` : plain;
}
