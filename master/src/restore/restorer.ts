import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Clock,
  type ClusterId,
  type NodeId,
  type RestoreProgress,
  type RestoreReport,
  StoreError,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { chooseCluster } from './choose-cluster.ts';
import { type JournalBase, type JournalPlan, planJournal, runsAt } from './journal-plan.ts';
import { isCorrupt, withRetries } from './read-journal.ts';
import { Restoration } from './restoration.ts';
import { type ReachedSource, type RestoreSource, reachSources } from './restore-source.ts';
import { readSnapshot, type SnapshotFacts } from './snapshot-lines.ts';

/** A backup that was given: read twice, first to prove that it is whole. */
export interface GivenBackup {
  open(): Readable;
}

export interface RestoreRequest {
  /** When several clusters are found. */
  readonly cluster?: ClusterId;
  /** A new SQLite file on this machine instead of the master's own database. */
  readonly into?: string;
  readonly backup?: GivenBackup;
  /** Goes on although nodes told of later changes, or announced some, that cannot be read. */
  readonly acceptLoss?: boolean;
}

export interface RestorerDependencies {
  readonly metadata: MetadataRepository;
  readonly nodes: {
    recovery(): string | undefined;
    /** Every node that was heard, accepted or not. */
    restoreSources(): readonly RestoreSource[];
    isAnyoneHeard(): boolean;
    /** When the last one was heard for the first time, by the monotonic clock. */
    newcomerAtMs(): number;
    /** The highest epoch that any of them said it saw. */
    highestEpoch(): number;
    /** The latest change of a cluster that nodes which were refused told of. */
    latestHeard(clusterId: ClusterId): { readonly epoch: number; readonly journal: number };
    endRecovery(): void;
    /** Whether it can be read from: it reported since. */
    isUp(id: NodeId): boolean;
  };
  /** Makes a new SQLite database. Rejects with `conflict` when something is there. */
  readonly openAside: (file: string) => Promise<MetadataRepository>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: {
    readonly heartbeatEveryMs: number;
    readonly trashTtlMs: number;
  };
}

/** A master that runs for so long and heard of no node will not soon. */
const awaitMaxMs = 20_000;

type Tell = (progress: RestoreProgress) => void;

/** Rebuilds the database from what the nodes keep: one restore at a time. */
export class Restorer {
  readonly #deps: RestorerDependencies;
  readonly #startedAtMs: number;
  #isRunning = false;

  constructor(dependencies: RestorerDependencies) {
    this.#deps = dependencies;
    this.#startedAtMs = dependencies.clock.monotonic();
  }

  /**
   * Rejects before anything is changed: `conflict` (another restore runs; the database is neither empty nor behind its nodes; several clusters were found; `into` exists),
   * `not-found` (nothing to restore from), `invalid-request` (the backup is not whole), `unavailable` (nodes told of later changes that none of those that answer keeps).
   * After that, a failure leaves the database unfinished, in recovery, and the restore can be run again.
   */
  async run(request: RestoreRequest, tell: Tell): Promise<RestoreReport> {
    if (this.#isRunning) throw new StoreError('conflict', 'Another restore is running.');
    this.#isRunning = true;
    let sources: readonly RestoreSource[] = [];
    try {
      await this.#awaitNodes(tell);
      sources = this.#deps.nodes.restoreSources();
      return await this.#restore(request, sources, tell);
    } catch (error) {
      this.#deps.logger.error('restore failed', { error });
      throw error;
    } finally {
      this.#isRunning = false;
      await Promise.allSettled(sources.map((source) => source.close()));
    }
  }

  /** Shortly after the start not every node has reported yet: waits until no new one came for two heartbeats. */
  async #awaitNodes(tell: Tell): Promise<void> {
    const { clock, config, nodes } = this.#deps;
    const quietMs = 2 * config.heartbeatEveryMs + 1_000;
    const giveUpAtMs = this.#startedAtMs + awaitMaxMs;
    for (;;) {
      const now = clock.monotonic();
      const sinceMs = now - Math.max(this.#startedAtMs, nodes.newcomerAtMs());
      const isAnyone = nodes.isAnyoneHeard() || now > giveUpAtMs;
      if (sinceMs >= quietMs && isAnyone) return;
      tell({ step: 'nodes', message: 'Waiting for the storage nodes to report.', done: 0 });
      await delay(200);
    }
  }

  /** What was restored can be read once its nodes reported; they are given a moment for it. */
  async #awaitReports(members: readonly ReachedSource[]): Promise<void> {
    const { clock, config, nodes } = this.#deps;
    const untilMs = clock.monotonic() + 2 * config.heartbeatEveryMs + 2_000;
    while (clock.monotonic() < untilMs && members.some(({ id }) => !nodes.isUp(id))) {
      await delay(50);
    }
  }

  async #restore(
    request: RestoreRequest,
    sources: readonly RestoreSource[],
    tell: Tell,
  ): Promise<RestoreReport> {
    const { metadata, nodes, logger } = this.#deps;
    const { reached, missed } = await reachSources(sources);
    const found = `${reached.length} of ${sources.length} storage nodes answer.`;
    tell({ step: 'nodes', message: found, done: reached.length, of: sources.length });
    const backup = request.backup && (await readSnapshot(request.backup.open(), async () => {}));
    const clusterId = this.#clusterOf(request, reached, backup);
    const members = reached.filter(({ nodeStatus }) => nodeStatus.clusterId === clusterId);
    const own = await this.#ownBases(request, clusterId, members);
    const plan = planJournal(
      members.map((node) => ({ nodeId: node.id, status: node.journalStatus })),
      [...own.bases, ...(backup ? [backupBase(backup)] : [])],
    );
    if (own.isFork && plan.base === undefined) throw forked();
    const gap = gapOf(plan, nodes.latestHeard(clusterId));
    // A file beside the database takes nobody's place.
    if (gap !== undefined && !request.acceptLoss && request.into === undefined) throw missing(gap);
    const target = request.into === undefined ? metadata : await this.#deps.openAside(request.into);
    const parts = { target, clusterId, members, missed, plan, gap, tell };
    const work = new Restoration(this.#deps, parts);
    try {
      logger.warn('restore begins', { clusterId, base: plan.base?.kind ?? 'blobs' });
      const report = await work.run(request, backup, reached);
      if (target === metadata) {
        nodes.endRecovery();
        await this.#awaitReports(members);
      }
      logger.warn('restore ended', {
        clusterId,
        epoch: report.epoch,
        files: report.files,
        directories: report.directories,
        warnings: report.warnings,
      });
      return report;
    } finally {
      if (target !== metadata) await target.close();
    }
  }

  #clusterOf(
    { cluster }: RestoreRequest,
    reached: readonly ReachedSource[],
    backup: SnapshotFacts | undefined,
  ): ClusterId {
    const claims = reached.flatMap(({ name, nodeStatus, journalStatus }) => {
      const { clusterId, blobCount } = nodeStatus;
      const holdsSomething =
        blobCount > 0 || journalStatus.snapshots.length > 0 || journalStatus.runs.length > 0;
      return clusterId !== undefined && holdsSomething
        ? [{ who: `node ${name}`, clusterId: clusterId as ClusterId }]
        : [];
    });
    if (backup) claims.push({ who: 'the backup', clusterId: backup.head.clusterId });
    const clusterId = chooseCluster(claims, cluster);
    if (clusterId === undefined) {
      throw new StoreError('not-found', 'No storage node that answers holds anything.', {
        hint: 'Start the storage nodes with the cluster key and the address of this master, and try again.',
      });
    }
    if (backup && backup.head.clusterId !== clusterId) {
      throw new StoreError(
        'conflict',
        `The backup is of cluster ${backup.head.clusterId}, not of ${clusterId}.`,
        { hint: 'Give a backup of the same cluster.' },
      );
    }
    return clusterId;
  }

  /** The database as a base to go on from, where it is one. Rejects with `conflict` when it must not be touched. */
  async #ownBases(
    { into }: RestoreRequest,
    clusterId: ClusterId,
    members: readonly ReachedSource[],
  ): Promise<{ bases: Extract<JournalBase, { kind: 'database' }>[]; isFork: boolean }> {
    const { metadata, nodes, config } = this.#deps;
    const none = { bases: [], isFork: false };
    if (into !== undefined) return none;
    const { unfinished } = metadata.restore;
    const identity = metadata.identity();
    const isSame = identity.clusterId === clusterId;
    if (unfinished === 'whole' || (await metadata.isEmpty())) return none;
    if (isSame && (unfinished === 'replay' || nodes.recovery() !== undefined)) {
      const number = metadata.journalNumber();
      if (await isForked(metadata, members, config.heartbeatEveryMs))
        return { bases: [], isFork: true };
      const base = { kind: 'database', epoch: identity.epoch, from: number, to: number } as const;
      return { bases: [base], isFork: false };
    }
    throw new StoreError(
      'conflict',
      isSame
        ? "The master's database is not empty, and no node knows of later changes: there is nothing to restore."
        : `The master's database is not empty, and it is of another cluster (${identity.clusterId}) than the nodes (${clusterId}).`,
      {
        hint: 'To see what the nodes would give, write it beside the database: dfs restore --into <a new file on the master>.',
      },
    );
  }
}

/**
 * Whether a node keeps another record under the number of the database's own last one: the database went on by itself after it was copied, and
 * the records that follow are not meant for it. Rejects when a node that keeps that record does
 * not give it, but for damage where another one does.
 */
async function isForked(
  metadata: MetadataRepository,
  members: readonly ReachedSource[],
  heartbeatEveryMs: number,
): Promise<boolean> {
  const number = metadata.journalNumber();
  const [own] = await metadata.journalRecords(number - 1, 1);
  if (!own) return false;
  let isConfirmed = false;
  let damage: unknown;
  for (const { journal, journalStatus } of members) {
    const isKept = journalStatus.runs.some(
      ({ epoch, first, last }) => epoch === own.epoch && first <= number && last >= number,
    );
    if (!isKept) continue;
    try {
      const [kept] = await withRetries(
        () => journal.readRecords(number - 1),
        Math.min(500, heartbeatEveryMs),
      );
      if (kept?.number !== number || kept.epoch !== own.epoch) continue;
      if (kept.at !== own.at) return true;
      isConfirmed = true;
    } catch (error) {
      if (!isCorrupt(error)) throw error;
      damage = error;
    }
  }
  // One damaged record says nothing where another node keeps the same one.
  if (damage !== undefined && !isConfirmed) throw damage;
  return false;
}

/** What nodes told of beyond the plan, in a sentence. */
function gapOf(
  { base, runs, last }: JournalPlan,
  heard: { readonly epoch: number; readonly journal: number },
): string | undefined {
  const [run] = runsAt(runs, last);
  const epoch = base === undefined ? 0 : Math.max(base.epoch, run?.epoch ?? 0);
  const isBehind = heard.epoch > epoch || (heard.epoch === epoch && heard.journal > last);
  // Without any change nothing can be missing.
  if (!isBehind || heard.journal === 0) return undefined;
  const kept =
    base === undefined ? 'keep no journal' : `keep changes up to ${last} (epoch ${epoch})`;
  const lost =
    heard.epoch > epoch
      ? 'How many changes are missing is not known.'
      : `${heard.journal - last} of the latest changes are missing.`;
  return `Storage nodes told of changes up to ${heard.journal} (epoch ${heard.epoch}), but those that answer ${kept}. ${lost}`;
}

const missing = (gap: string) =>
  new StoreError('unavailable', `${gap} Nothing was changed.`, {
    hint: 'Start the storage nodes that are missing and try again. Where all of them run, the master died before it had sent these changes: "dfs restore --accept-loss" goes on without them. New files among them come back from their blobs; deletions, moves and new directories among them are lost.',
  });

const forked = () =>
  new StoreError(
    'conflict',
    'The database went on by itself after it was copied, and the nodes keep no snapshot that could take its place.',
    {
      hint: 'Put back a newer copy of the database, or write what the nodes know beside it with --into.',
    },
  );

const backupBase = ({ head, end }: SnapshotFacts): Extract<JournalBase, { kind: 'backup' }> => ({
  kind: 'backup',
  epoch: head.epoch,
  from: head.from,
  to: end.to,
});
