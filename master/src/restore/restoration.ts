import type { Readable } from 'node:stream';
import {
  type ClusterId,
  type NodeId,
  type RestoreProgress,
  type RestoreReport,
  type RowImage,
  StoreError,
} from '@dfs/shared';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import type { RestoreKind } from '../metadata/restore/restore-types.ts';
import { compareTrees } from './compare-trees.ts';
import type { JournalPlan } from './journal-plan.ts';
import { placeFound } from './place-found.ts';
import { type ReadInventory, readInventory } from './read-inventories.ts';
import { type ReplayedJournal, replayRecords } from './read-journal.ts';
import type { MissedSource, ReachedSource } from './restore-source.ts';
import type { RestoreRequest, RestorerDependencies } from './restorer.ts';
import { readSnapshot, type SnapshotFacts } from './snapshot-lines.ts';

type Tell = (progress: RestoreProgress) => void;

/** What is not chosen can be brought back at least so long, also where there is no trash otherwise. */
const trashMinMs = 86_400_000;
const pathsListedMax = 1_000;

export interface RestorationParts {
  readonly target: MetadataRepository;
  readonly clusterId: ClusterId;
  /** Nodes of this cluster that answered. */
  readonly members: readonly ReachedSource[];
  readonly missed: readonly MissedSource[];
  readonly plan: JournalPlan;
  /** Which later changes nodes told of that none of those that answer keeps; the loss was accepted. */
  readonly gap: string | undefined;
  readonly tell: Tell;
}

/** One restore, from its first change to its report. */
export class Restoration {
  readonly #deps: RestorerDependencies;
  readonly #parts: RestorationParts;
  readonly #byId: ReadonlyMap<NodeId, ReachedSource>;
  readonly #warnings: string[] = [];

  constructor(dependencies: RestorerDependencies, parts: RestorationParts) {
    this.#deps = dependencies;
    this.#parts = parts;
    this.#byId = new Map(parts.members.map((node) => [node.id, node]));
  }

  async run(
    request: RestoreRequest,
    backup: SnapshotFacts | undefined,
    reached: readonly ReachedSource[],
  ): Promise<RestoreReport> {
    const { target, clusterId, plan, tell } = this.#parts;
    const { restore } = target;
    const startedAtMs = this.#deps.clock.monotonic();
    const own = this.#deps.metadata.identity();
    const kind: RestoreKind = plan.base?.kind === 'database' ? 'replay' : 'whole';
    const ownLastAtMs = await this.#ownLastChangeAt(kind);
    await restore.begin(kind);
    const baseAtMs = ownLastAtMs ?? (await this.#loadBase(request, backup));
    const journal = await this.#replay(request);
    const epoch =
      1 +
      Math.max(
        plan.highest.epoch,
        this.#deps.nodes.highestEpoch(),
        own.clusterId === clusterId ? own.epoch : 0,
        ...reached.map(({ nodeStatus }) => nodeStatus.epoch),
      );
    await restore.adopt({ clusterId, epoch }, journal.last);
    const mended = await restore.mend();
    const isTorn = plan.isTorn || journal.last < (plan.base?.to ?? 0);
    const hasHole =
      isTorn ||
      mended.orphans.count + mended.namesWithoutContent.count + mended.contentsWithoutName > 0;
    if (hasHole) await restore.forgetUnreferenced();
    const inventories = await this.#readInventories();
    tell({ step: 'deriving', message: 'Counting copies and sizes.', done: 0 });
    await restore.derive({ isSure: !hasHole });
    await this.#rememberNodes();
    const lastRecordAtMs = journal.lastAtMs ?? baseAtMs;
    const { trashTtlMs } = this.#deps.config;
    let placedCount = 0;
    const placed = await placeFound({
      metadata: target,
      storeOf: (id) => this.#byId.get(id)?.store,
      lastRecordAtMs: plan.base === undefined ? undefined : lastRecordAtMs,
      trashUntilMs: this.#deps.clock.now() + Math.max(trashTtlMs, trashMinMs),
      logger: this.#deps.logger,
      tell: (files) => {
        placedCount += files;
        tell({ step: 'found', message: 'Naming files that no journal knows.', done: placedCount });
      },
    });
    this.#warnOfJournal(journal, lastRecordAtMs, isTorn);
    this.#warnOfNodes(inventories, reached);
    if (mended.namesWithoutContent.count > 0) {
      const { count, names } = mended.namesWithoutContent;
      const first = `${names.slice(0, 10).join(', ')}${count > 10 ? ', …' : ''}`;
      this.#warnings.push(
        `The journal has a hole: ${count} names had no content and are gone (${first}).`,
      );
    }
    if (mended.contentsWithoutName > 0) {
      this.#warnings.push(
        'The journal has a hole: it has contents without a name. They count as unknown, so that their blobs are named by what they say of themselves, where they were written or below /.restored/.',
      );
    }
    if (mended.orphans.count > 0) {
      this.#warnings.push(
        `The journal has a hole: ${mended.orphans.count} files and directories whose place is not known are below /.restored/.`,
      );
    }
    const differences =
      request.into === undefined
        ? undefined
        : await compareTrees(this.#deps.metadata, target, (paths) =>
            tell({ step: 'comparing', message: 'Comparing with the database.', done: paths }),
          );
    const counts = await target.counts();
    const withoutCopy = await restore.filesWithoutCopy(pathsListedMax);
    // Last: from here on the master serves it.
    await restore.end();
    return {
      clusterId,
      epoch,
      ...(request.into === undefined ? {} : { into: request.into }),
      base: baseNames[plan.base?.kind ?? 'blobs'],
      journal: {
        last: journal.last,
        ...(lastRecordAtMs === undefined ? {} : { at: new Date(lastRecordAtMs).toISOString() }),
        records: journal.records,
      },
      nodes: this.#nodesRead(inventories),
      files: counts.files,
      directories: counts.directories,
      bytes: counts.logicalBytes,
      withoutCopy,
      found: { count: placed.found.count, paths: placed.found.items },
      doubtful: {
        count: mended.orphans.count + placed.doubtful.count,
        files: [
          ...mended.orphans.paths.map((path) => ({ path, why: 'its directory is not known' })),
          ...placed.doubtful.items,
        ].slice(0, pathsListedMax),
      },
      contested: { count: placed.contested.count, paths: placed.contested.items },
      unknownBlobs: placed.unknownBlobs,
      seconds: Math.round(this.#deps.clock.monotonic() - startedAtMs) / 1_000,
      warnings: this.#warnings,
      ...(differences === undefined ? {} : { differences }),
    };
  }

  /** Of a database that is gone on from: changes of its own that no record repeats. */
  async #ownLastChangeAt(kind: RestoreKind): Promise<number | undefined> {
    if (kind === 'whole') return undefined;
    const { metadata } = this.#deps;
    const [last] = await metadata.journalRecords(metadata.journalNumber() - 1, 1);
    return last?.at;
  }

  /** Gives the time of the base; undefined where there is none. */
  async #loadBase(
    request: RestoreRequest,
    backup: SnapshotFacts | undefined,
  ): Promise<number | undefined> {
    const { base } = this.#parts.plan;
    if (base?.kind === 'backup' && request.backup && backup) {
      await this.#load(request.backup.open(), backup.end.images);
      return backup.head.at;
    }
    if (request.backup) {
      this.#warnings.push(
        'The nodes keep a later snapshot, and not all records between the backup and it: it was used in place of the backup.',
      );
    }
    if (base?.kind !== 'snapshot') return undefined;
    let failure: unknown;
    for (const nodeId of base.nodeIds) {
      try {
        const node = this.#byId.get(nodeId) as ReachedSource;
        const { bytes } = await node.journal.openSnapshot({ epoch: base.epoch, from: base.from });
        const { head } = await this.#load(bytes);
        return head.at;
      } catch (error) {
        // Another node keeps it, too; loading it again over what came so far does no harm.
        failure = error;
        this.#deps.logger.warn('a snapshot could not be read', { nodeId, error });
      }
    }
    throw failure;
  }

  #load(bytes: Readable, of?: number): Promise<SnapshotFacts> {
    const { target, tell } = this.#parts;
    return readSnapshot(bytes, async (rows, done) => {
      const images = rows.map((row): RowImage => ({ ...row, op: 'upsert' }));
      await target.restore.applyImages(images);
      tell({
        step: 'base',
        message: 'Loading the snapshot.',
        done,
        ...(of === undefined ? {} : { of }),
      });
    });
  }

  /** Rejects with `unavailable` when it ends early for a reason that may pass: then the restore is to be run again. */
  async #replay({ acceptLoss }: RestoreRequest): Promise<ReplayedJournal> {
    const { plan, target, tell } = this.#parts;
    const after = plan.base?.from ?? 0;
    const journal = await replayRecords({
      runs: plan.base === undefined ? [] : plan.runs,
      after,
      keeperOf: (id) => (this.#byId.get(id) as ReachedSource).journal,
      apply: async (images, last) => {
        await target.restore.applyImages(images);
        const message = 'Replaying the journal.';
        tell({ step: 'records', message, done: last - after, of: plan.last - after });
      },
      retryAfterMs: Math.min(500, this.#deps.config.heartbeatEveryMs),
    });
    if (journal.problem !== undefined && !journal.isDamaged && !acceptLoss) {
      throw new StoreError(
        'unavailable',
        `The journal could be read up to change ${journal.last} of ${plan.last}: ${journal.problem}`,
        {
          hint: 'Nothing is lost by that. See to it that all storage nodes run, and repeat "dfs restore"; "dfs restore --accept-loss" does without what cannot be read.',
        },
      );
    }
    return journal;
  }

  async #readInventories(): Promise<ReadonlyMap<NodeId, ReadInventory>> {
    const { members, clusterId, target, tell } = this.#parts;
    const of = members.reduce((sum, { nodeStatus }) => sum + nodeStatus.blobCount, 0);
    let done = 0;
    const read = await Promise.all(
      members.map(async (source) => {
        const inventory = await readInventory({
          source,
          clusterId,
          restore: target.restore,
          tell: (blobs) => {
            done += blobs;
            tell({ step: 'copies', message: 'Reading what the nodes hold.', done, of });
          },
        });
        return [source.id, inventory] as const;
      }),
    );
    return new Map(read);
  }

  /** So that the nodes whose copies are counted are known before they report. */
  async #rememberNodes(): Promise<void> {
    const { target, members } = this.#parts;
    const known = new Set((await target.listNodes()).map((node) => node.id));
    for (const { id, name, url, nodeStatus } of members) {
      if (known.has(id)) continue;
      await target.saveNode({
        id,
        name,
        url,
        state: 'down',
        dataDir: '',
        capacityBytes: nodeStatus.capacityBytes,
        usedBytes: nodeStatus.usedBytes,
        lastHeartbeatAtMs: this.#deps.clock.now(),
      });
    }
  }

  #warnOfJournal(
    journal: ReplayedJournal,
    lastRecordAtMs: number | undefined,
    isTorn: boolean,
  ): void {
    const { plan, gap } = this.#parts;
    const warnings = this.#warnings;
    if (gap !== undefined) warnings.push(gap);
    if (plan.base === undefined) {
      warnings.push(
        'No node keeps a journal: names are those under which each file was written. Renames, empty directories, visibility, copies wanted and the trash are lost, and deleted files whose bytes were still there have returned.',
      );
      return;
    }
    if (isTorn) {
      warnings.push(
        `The snapshot was taken while changes went on, and the records up to ${plan.base.to} that make it right are missing: it may show parts of changes. Contents that seem unreferenced are not collected.`,
      );
    }
    if (journal.problem !== undefined) warnings.push(journal.problem);
    const { highest } = plan;
    if (highest.number > journal.last) {
      warnings.push(
        `Nodes know of changes up to number ${highest.number} (epoch ${highest.epoch}); those after ${journal.last} could not be read.`,
      );
    }
    if (lastRecordAtMs !== undefined) {
      warnings.push(
        `Changes after ${new Date(lastRecordAtMs).toISOString()} (number ${journal.last}) that were not shipped to the nodes are lost: what was deleted since may have returned, what was renamed since has its old name.`,
      );
    }
  }

  #warnOfNodes(
    inventories: ReadonlyMap<NodeId, ReadInventory>,
    reached: readonly ReachedSource[],
  ): void {
    const { missed, clusterId } = this.#parts;
    for (const { name, url, problem } of missed) {
      this.#warnings.push(
        `Node ${name} at ${url} did not answer (${problem}): what only it knew is missing, and its copies count when it returns.`,
      );
    }
    for (const { id, name, nodeStatus } of reached) {
      const inventory = inventories.get(id);
      if (inventory?.problem !== undefined) {
        this.#warnings.push(`Node ${name} was not read to its end: ${inventory.problem}`);
      }
      if (inventory && inventory.damaged + inventory.different > 0) {
        this.#warnings.push(
          `Node ${name} holds ${inventory.damaged + inventory.different} blobs whose description is damaged or wrong: they do not count as copies.`,
        );
      }
      if (nodeStatus.clusterId !== undefined && nodeStatus.clusterId !== clusterId) {
        this.#warnings.push(
          `Node ${name} belongs to cluster ${nodeStatus.clusterId} and was left out; with an empty data directory it can join this one.`,
        );
      }
    }
  }

  #nodesRead(inventories: ReadonlyMap<NodeId, ReadInventory>): RestoreReport['nodes'] {
    const { members, missed } = this.#parts;
    return [
      ...members.map(({ id, name, url }) => {
        const inventory = inventories.get(id);
        const problem = inventory?.problem;
        const blobs = inventory?.blobs ?? 0;
        return { id, name, url, blobs, ...(problem === undefined ? {} : { problem }) };
      }),
      ...missed.map((node) => ({ ...node, blobs: 0 })),
    ];
  }
}

const baseNames = {
  nothing: 'journal',
  snapshot: 'snapshot',
  backup: 'backup',
  database: 'database',
  blobs: 'blobs',
} as const;
