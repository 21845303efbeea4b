import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { senderPauses, systemClock } from '@dfs/shared';
import {
  ClusterKeyring,
  createLogger,
  type Logger,
  LogRing,
  listen,
  type ProgramTls,
  readTls,
  runProgram,
} from '@dfs/shared/cluster';
import { allowOrigins } from '@dfs/shared/serving';
import { AccessControl } from './access/access-control.ts';
import { AccessKeys } from './access/access-keys.ts';
import { FailureThrottle } from './access/failure-throttle.ts';
import { LinkKeys } from './access/links.ts';
import { Openings } from './access/openings.ts';
import { Caching } from './caching/caching.ts';
import { closeServer } from './close-server.ts';
import { createClusterServer } from './cluster/cluster-server.ts';
import { HeartbeatNodeDirectory } from './cluster/heartbeat-node-directory.ts';
import { ClusterNodeAdmin } from './cluster/node-admin.ts';
import { Scrubs } from './cluster/scrubs.ts';
import { type MasterConfig, readConfig } from './config.ts';
import { BlobsInUse } from './files/blobs-in-use.ts';
import { createFileService } from './files/file-service.ts';
import { defaultFileServiceConfig } from './files/file-service-dependencies.ts';
import { JournalShipper } from './journal/journal-shipper.ts';
import type { MetadataRepository } from './metadata/metadata-repository.ts';
import { makeMetadataAside, openMetadataRepository } from './metadata/open-metadata-repository.ts';
import { createMetrics } from './metrics.ts';
import { removeStagedBackups } from './protocols/api-v1/safekeeping.ts';
import { forwardedTo } from './protocols/edge/forwarded.ts';
import { edgeRoutes } from './protocols/edge/routes.ts';
import { guessContentType } from './protocols/http/content-type.ts';
import { BackgroundLoop } from './replication/background-loop.ts';
import { BullmqReplicationQueue } from './replication/bullmq-replication-queue.ts';
import { Collector } from './replication/collector.ts';
import { type FsckOptions, fsck } from './replication/fsck.ts';
import { GracePeriod } from './replication/grace-period.ts';
import { InventoryCheck } from './replication/inventory-check.ts';
import { LeasedReplicationQueue } from './replication/leased-replication-queue.ts';
import { RepairLoop } from './replication/repair-loop.ts';
import { ReplicationHints } from './replication/replication-hints.ts';
import { nodeSourceOf } from './restore/node-source.ts';
import { Restorer } from './restore/restorer.ts';
import { createPublicServer, type PublicServerDependencies } from './server.ts';
import { TreeUpkeep } from './upkeep/tree-upkeep.ts';

/** How long a reader on the public port may pause: people pause a video. */
const downloadIdleMs = 600_000;
/** What keeps guessing hopeless even when every character is a hexadecimal digit. */
const keyLengthAdvised = 16;
/** Rows of removed nodes are looked for this often, and taken away with such pauses between transactions. */
const removalEveryMs = 5_000;
const removalPauseMs = 50;
/** Access keys that wait for the database to be confirmed are sealed again this often, ms. */
const keyCareEveryMs = 10_000;
/** Transfers that still run are given this long at a stop. */
const transfersEndWithinMs = 5_000;

const clock = systemClock;
const random = Math.random;

await runProgram({
  name: 'master',
  start: async ({ ready }) => {
    const keyring = await ClusterKeyring.read(process.env, 'make');
    const tls = await readTls(process.env);
    const config = readConfig(process.env, keyring.current() !== undefined);
    const log = new LogRing();
    const logger = createLogger({ program: 'master', level: config.logLevel, ring: log });
    keyring.watch(logger);
    tls.server.watch(logger);
    if (keyring.all().some((key) => key.length < keyLengthAdvised)) {
      logger.warn(
        `a cluster key is shorter than ${keyLengthAdvised} characters: it can be guessed`,
      );
    }
    const metadata = await openMetadataRepository({
      ...(config.databaseUrl === undefined
        ? { sqliteFile: join(config.dataDir, 'metadata.sqlite') }
        : { url: config.databaseUrl }),
      clock,
      logger,
      copies: config.copies,
    });
    try {
      const master = await wire(config, metadata, { keyring, tls, log }, logger);
      ready(master.addresses);
      logger.info('master serves', master.addresses);
      return { stop: master.stop };
    } catch (error) {
      await metadata.close();
      throw error;
    }
  },
});

async function wire(
  config: MasterConfig,
  metadata: MetadataRepository,
  {
    keyring,
    tls,
    log,
  }: { readonly keyring: ClusterKeyring; readonly tls: ProgramTls; readonly log: LogRing },
  logger: Logger,
) {
  const { trust } = tls;
  const nodes = new HeartbeatNodeDirectory({
    ...{ metadata, clock, logger, keyring, trust, config },
    trustedNowMs: () => grace.trustedNowMs(),
  });
  await nodes.start();
  const { redisUrl } = config;
  const leased = redisUrl === undefined ? new LeasedReplicationQueue({ clock }) : undefined;
  const queue = leased ?? new BullmqReplicationQueue({ redisUrl: redisUrl ?? '', logger });
  const hints = new ReplicationHints({ queue, logger });
  const inUse = new BlobsInUse(clock);
  const urlKeyNow = () => keyring.blobUrlKeys()[0];
  const caching = new Caching({
    ...{ metadata, nodes, clock, logger, urlKeyNow },
    cacheOf: (id) => nodes.cacheOf(id),
    hotReadsPerMinute: config.hotReadsPerMinute,
  });
  const files = createFileService({
    metadata,
    nodes,
    caching,
    replication: hints,
    inUse,
    clock,
    logger,
    random,
    config: { ...defaultFileServiceConfig, ...config },
    blobUrlKeyNow: urlKeyNow,
    contentTypeOf: guessContentType,
    onTrashExpired: () => upkeep.trash.wake(),
  });
  const shipper = new JournalShipper({ metadata, nodes, clock, logger });
  const journal = () => shipper.state();
  const sizesLagMs = () => upkeep.sizes.lagMs();
  const metrics = createMetrics({ metadata, nodes, journal, sizesLagMs });
  const accessKeys = new AccessKeys({
    ...{ metadata, keyring, clock, logger },
    recovery: () => nodes.recovery(),
    isConfirmed: () => nodes.isConfirmed(),
  });
  await accessKeys.step();
  const keyCare = new BackgroundLoop({
    ...{ name: 'the care of access keys', everyMs: keyCareEveryMs, logger },
    step: async () => void (await accessKeys.step()),
  });
  keyring.onChange(() => keyCare.wake());
  const access = new AccessControl({
    ...{ keyring, accessKeys, logger },
    throttle: new FailureThrottle(clock),
    onFailure: metrics.authenticationFailed,
  });

  const grace = new GracePeriod(clock, config.gcGraceMs, {
    newestRecordedMs: nodes.newestRecordedMs,
    aheadOfNodesMs: () => nodes.aheadOfNodesMs(),
    logger,
  });
  const inventories = new InventoryCheck({
    metadata,
    nodes,
    blobsInUse: inUse,
    grace,
    clock,
    logger,
  });
  const loops = { metadata, nodes, queue, inventories, clock, logger, random, config };
  const repair = new RepairLoop(loops);
  const collector = new Collector({ ...loops, blobsInUse: inUse, grace });
  const upkeep = new TreeUpkeep({ ...loops, repair, grace });

  const scrubs = new Scrubs({ nodes, scrubbing: (id) => nodes.scrubbing(id) });
  const care = {
    startScrub: (node?: string) => scrubs.start(node),
    scrubStatus: (node?: string) => scrubs.status(node),
    fsck: (options: FsckOptions) =>
      fsck(
        {
          ...{ metadata, nodes, clock, grace, blobsInUse: inUse },
          onRepaired: ({ id }) => repair.scan(id),
        },
        options,
      ),
  };
  await removeStagedBackups(config.dataDir);
  const restorer = new Restorer({
    metadata,
    nodes: {
      recovery: () => nodes.recovery(),
      highestEpoch: () => nodes.refused.highestEpoch(),
      latestHeard: (clusterId) => nodes.refused.latestHeard(clusterId),
      isAnyoneHeard: () => nodes.heardNodes().length > 0,
      newcomerAtMs: () => nodes.refused.newcomerAtMs(),
      endRecovery: () => {
        accessKeys.replaced();
        nodes.endRecovery();
        keyCare.wake();
      },
      isUp: (id) => nodes.find(id)?.state === 'up' || nodes.find(id)?.state === 'draining',
      restoreSources: () =>
        nodes.heardNodes().map((node) => nodeSourceOf(node, { metadata, keyring, trust })),
    },
    openAside: (sqliteFile) =>
      makeMetadataAside({ sqliteFile, clock, logger, copies: config.copies }),
    clock,
    logger,
    config,
  });
  const nodeAdmin = new ClusterNodeAdmin({
    metadata,
    nodes,
    uploads: inUse,
    clock,
    logger,
    wait: (ms) => sleep(ms),
    onForgotten: () => repair.lookForShort(),
  });
  const removal = new BackgroundLoop({
    name: 'removal of nodes',
    everyMs: removalEveryMs,
    step: async () => {
      if (nodes.recovery() !== undefined) return undefined;
      return (await nodeAdmin.forgetRemoved()) ? removalPauseMs : undefined;
    },
    logger,
  });

  const front: PublicServerDependencies = {
    tls: tls.server,
    proxies: config.trustedProxies,
    care,
    files,
    access,
    linkKeys: new LinkKeys(keyring),
    openings: new Openings({ metadata, clock }),
    accessKeys,
    metadata,
    nodes,
    nodeAdmin,
    repair,
    caching,
    clockDoubt: () => grace.doubt(),
    journal,
    metrics,
    clock,
    logger,
    version: ownVersion(),
    log,
    managementUrl: (reachedBy) =>
      config.managementUrl ?? `${tls.server.scheme}://${reachedBy}:${managementPort}`,
    ...(config.corsOrigins.length === 0 ? {} : { crossOrigin: allowOrigins(config.corsOrigins) }),
    safekeeping: { metadata, restorer, stagingDir: config.dataDir },
    config: {
      instanceName: config.instanceName,
      copies: config.copies,
      uploadIdleMs: senderPauses.clientMs,
      downloadIdleMs,
      publicUrl: config.publicUrl,
    },
  };
  const publicServer = createPublicServer(front);
  const managementFailures = new FailureThrottle(clock);
  const onWrongKey = (address: string) => {
    metrics.authenticationFailed('wrong-key');
    if (!managementFailures.failed(address)) return;
    logger.warn(
      'a wrong cluster key came to the management port; more from this address are told in a minute',
      { address },
    );
  };
  const clusterServer = createClusterServer({
    tls: tls.server,
    metadata,
    nodes,
    clock,
    logger,
    keyring,
    random,
    ...(leased ? { lease: (request, signal) => leased.lease(request, signal) } : {}),
    onHeartbeat: ({ nodeId, caches }) => caching.heard(nodeId, caches),
    onAttempts: (attempts) => {
      metrics.replicationsAttempted(attempts);
      repair.reported(attempts);
    },
    onDamage: () => repair.wake(),
    edge: edgeRoutes(front),
    takeForwarded: forwardedTo(publicServer, keyring, onWrongKey),
    onWrongKey,
  });
  const { host } = config;
  const managementPort = await listen(clusterServer, { host, port: config.managementPort });
  const port = await listen(publicServer.server, { host, port: config.port });
  keyCare.start();
  repair.start();
  collector.start();
  removal.start();
  shipper.start();
  upkeep.start();
  caching.start();

  const shownHost = host === undefined || host === '0.0.0.0' ? '127.0.0.1' : host;
  return {
    addresses: {
      url: `${tls.server.scheme}://${shownHost}:${port}`,
      managementUrl: `${tls.server.scheme}://${shownHost}:${managementPort}`,
      port,
      managementPort,
    },
    /** No new work first, then the loops, then what they stand on. */
    stop: async () => {
      await closeServer(publicServer.server, transfersEndWithinMs);
      const loops = [repair, collector, removal, upkeep, keyCare, caching];
      await Promise.all(loops.map((loop) => loop.stop()));
      accessKeys.close();
      await closeServer(clusterServer, 0);
      await shipper.stop();
      await queue.close();
      await nodes.close();
      await metadata.close();
    },
  };
}

function ownVersion(): string {
  const file = new URL('../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
