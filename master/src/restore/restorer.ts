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
import { type JournalBase, planJournal } from './journal-plan.ts';
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
   * `not-found` (nothing to restore from), `invalid-request` (the backup is not whole). After that, a failure leaves the database unfinished, in recovery, and the
   * restore can be run again.
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
    const target = request.into === undefined ? metadata : await this.#deps.openAside(request.into);
    const work = new Restoration(this.#deps, { target, clusterId, members, missed, plan, tell });
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
    const { metadata, nodes } = this.#deps;
    const none = { bases: [], isFork: false };
    if (into !== undefined) return none;
    const { unfinished } = metadata.restore;
    const identity = metadata.identity();
    const isSame = identity.clusterId === clusterId;
    if (unfinished === 'whole' || (await metadata.isEmpty())) return none;
    if (isSame && (unfinished === 'replay' || nodes.recovery() !== undefined)) {
      const number = metadata.journalNumber();
      if (await isForked(metadata, members)) return { bases: [], isFork: true };
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
 * the records that follow are not meant for it.
 */
async function isForked(
  metadata: MetadataRepository,
  members: readonly ReachedSource[],
): Promise<boolean> {
  const number = metadata.journalNumber();
  const [own] = await metadata.journalRecords(number - 1, 1);
  if (!own) return false;
  for (const { journal, journalStatus } of members) {
    const isKept = journalStatus.runs.some(
      ({ epoch, first, last }) => epoch === own.epoch && first <= number && last >= number,
    );
    if (!isKept) continue;
    const [kept] = await journal.readRecords(number - 1).catch(() => []);
    if (kept?.number === number && kept.epoch === own.epoch && kept.at !== own.at) return true;
  }
  return false;
}

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
