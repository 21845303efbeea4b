import { join } from 'node:path';
import {
  type BlobId,
  decideRetry,
  jobIdOf,
  type NodeId,
  type ReplicationAttempt,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import { FakeClock, recordingLogger, seededRandom, temporaryDirectory } from '@dfs/shared/testing';
import { ClusterNodeAdmin } from './cluster/node-admin.ts';
import { BlobsInUse } from './files/blobs-in-use.ts';
import { createFileService } from './files/file-service.ts';
import type { FileService } from './files/file-types.ts';
import { type TestNode, TestNodes } from './files/test-nodes.ts';
import { goodBytesIn } from './files/test-store.ts';
import type { MetadataRepository } from './metadata/metadata-repository.ts';
import { openMetadataRepository } from './metadata/open-metadata-repository.ts';
import { Collector } from './replication/collector.ts';
import { GracePeriod } from './replication/grace-period.ts';
import { InventoryCheck } from './replication/inventory-check.ts';
import { LeasedReplicationQueue } from './replication/leased-replication-queue.ts';
import { RepairLoop } from './replication/repair-loop.ts';
import { TreeUpkeep } from './upkeep/tree-upkeep.ts';

const nodeTimeoutMs = 15_000;
const replaceAfterMs = 60_000;
export const gcGraceMs = 5 * 60_000;
export const copies = 3;

/** What a node does instead of an operation. */
export type Trouble = (node: TestNode, operation: string) => void;

interface Parts {
  readonly seed: number;
  readonly clock: FakeClock;
  readonly metadata: MetadataRepository;
  readonly remove: () => Promise<void>;
  readonly trashTtlMs: number;
}

/** What a running master consists of, besides its database and its nodes. */
interface Master {
  readonly inUse: BlobsInUse;
  readonly queue: LeasedReplicationQueue;
  readonly repair: RepairLoop;
  readonly collector: Collector;
  readonly upkeep: TreeUpkeep;
  readonly files: FileService;
  readonly admin: ClusterNodeAdmin;
}

/**
 * The real file service, repair loop, collector and database, over nodes in memory that fail on command, with a clock that moves on command.
 * All that is random comes from the seed.
 */
export class SimulatedCluster {
  readonly clock: FakeClock;
  readonly metadata: MetadataRepository;
  readonly nodes: TestNodes;
  readonly #random: () => number;
  readonly #remove: () => Promise<void>;
  readonly #trashTtlMs: number;
  readonly #dead = new Set<NodeId>();
  readonly #logger = recordingLogger().logger;
  #master: Master;
  /** Reports that reads made and nobody waits for. */
  readonly #reports = new Set<Promise<void>>();
  /** Asked before each operation at a living node. */
  trouble: Trouble | undefined;
  /** Asked before each chunk of a read from a living node: true breaks it off. */
  breaksRead: (() => boolean) | undefined;
  /** Hints get lost while this is true. */
  losesHints = false;
  /** The answer of the next bind gets lost after its commit. */
  losesNextBind = false;

  private constructor({ seed, clock, metadata, remove, trashTtlMs }: Parts) {
    this.#trashTtlMs = trashTtlMs;
    this.clock = clock;
    this.metadata = metadata;
    this.#remove = remove;
    this.#random = seededRandom(seed ^ 0x5eed);
    this.nodes = new TestNodes(clock);
    this.#interceptMetadata();
    this.#master = this.#startMaster();
  }

  /** Without a time what is removed or replaced is gone at once. */
  static async open(seed: number, trashTtlMs = 0): Promise<SimulatedCluster> {
    const clock = new FakeClock();
    const { path, remove } = await temporaryDirectory();
    const metadata = await openMetadataRepository({
      sqliteFile: join(path, 'm.sqlite'),
      clock,
      copies,
    });
    return new SimulatedCluster({ seed, clock, metadata, remove, trashTtlMs });
  }

  get admin(): ClusterNodeAdmin {
    return this.#master.admin;
  }

  get rebalance() {
    return this.#master.repair.rebalance;
  }

  get files(): FileService {
    return this.#master.files;
  }

  addNode(): TestNode {
    const node = this.nodes.add(2 ** 18, this.#newId() as NodeId);
    const { store } = node;
    store.fault = (operation) => {
      if (!this.isAlive(node)) this.#giveNoAnswer(node);
      if (node.isFull && (operation === 'put' || operation === 'pull')) {
        throw new StoreError('no-room', 'Somebody else filled this disk.');
      }
      this.trouble?.(node, operation);
    };
    store.fateOfRead = () => (!this.isAlive(node) || this.breaksRead?.() ? 'break' : 700);
    return node;
  }

  isAlive(node: TestNode): boolean {
    return !this.#dead.has(node.id);
  }

  /** The node's process dies; its disk stays. The master learns of it by requests that fail and by silence. */
  kill(node: TestNode): void {
    this.#dead.add(node.id);
  }

  revive(node: TestNode): void {
    this.#dead.delete(node.id);
    node.silentForMs = 0;
    this.nodes.become(node, 'up');
  }

  /** The master's process dies and starts again on its database: what it had in memory is gone. */
  async restartMaster(): Promise<void> {
    await this.#stopMaster();
    this.#master = this.#startMaster();
  }

  /** Lets time pass for everybody in steps that a running process has; dead nodes grow silent. */
  pass(ms: number): void {
    for (let restMs = ms; restMs > 0; restMs -= 1_000) {
      const stepMs = Math.min(1_000, restMs);
      this.clock.advance(stepMs);
      this.#master.repair.tick();
      this.#master.collector.tick();
      for (const node of this.nodes.all) {
        if (this.isAlive(node)) {
          node.silentForMs = 0;
          if (node.state !== 'up') this.nodes.become(node, 'up');
          continue;
        }
        node.silentForMs += stepMs;
        if (node.silentForMs > nodeTimeoutMs && node.state !== 'down') {
          this.nodes.become(node, 'down');
        }
      }
    }
  }

  /** A look of the repair loop, and what a replicator does with the jobs. */
  async repair(): Promise<void> {
    await this.#master.repair.step();
    await this.#master.repair.verified();
    await this.#replicate(await this.takeJobs());
  }

  /** Directories know what is below them; what follows a number or expires is left to `collect`. */
  async foldSizes(): Promise<void> {
    await this.#master.upkeep.sizes.step();
  }

  async collect(): Promise<void> {
    await this.#master.upkeep.step();
    while (await this.#master.admin.forgetRemoved());
    await this.#master.collector.step();
  }

  /** Takes all jobs out of the queue: without a replicator they are lost. */
  async takeJobs(): Promise<readonly ReplicationJob[]> {
    const { queue } = this.#master;
    const { signal } = new AbortController();
    const request = { workerId: 'w', maxJobs: 1_000, waitMs: 0, done: [], running: [] };
    const { jobs } = await queue.lease(request, signal);
    await queue.lease({ ...request, maxJobs: 0, done: jobs.map(jobIdOf) }, signal);
    return jobs;
  }

  /** Living nodes read all they hold and report what is bad, as their scrubbers do. */
  async scrub(): Promise<void> {
    for (const node of this.nodes.all.filter((each) => this.isAlive(each))) {
      const bad: BlobId[] = [];
      for (const id of node.store.ids) if (!(await goodBytesIn(node.store, id))) bad.push(id);
      const damages = bad.map(
        (blobId) => ({ blobId, kind: 'corrupt', detail: 'scrubbed' }) as const,
      );
      if (bad.length > 0) await this.metadata.recordDamage(node.id, damages, this.clock.now());
    }
  }

  /** Resolves when nothing runs in the background that a read began. */
  async idle(): Promise<void> {
    while (this.#reports.size > 0) {
      await Promise.all(this.#reports);
      // What follows a report reads from the database once or twice.
      await this.metadata.counts();
      await this.metadata.counts();
    }
  }

  /** Nodes with a row that says stored and good bytes, by whether they live. */
  async goodHolders(blobId: BlobId): Promise<{ alive: TestNode[]; dead: TestNode[] }> {
    const rows = (await this.metadata.replicasOf([blobId])).get(blobId) ?? [];
    const stored = rows.filter(({ state }) => state === 'stored').map((row) => row.nodeId);
    const good: TestNode[] = [];
    for (const node of this.nodes.all.filter(({ id }) => stored.includes(id))) {
      if (await goodBytesIn(node.store, blobId)) good.push(node);
    }
    return {
      alive: good.filter((node) => this.isAlive(node)),
      dead: good.filter((node) => !this.isAlive(node)),
    };
  }

  async close(): Promise<void> {
    await this.#stopMaster();
    await this.metadata.close();
    await this.#remove();
  }

  #startMaster(): Master {
    const { clock, metadata, nodes } = this;
    const logger = this.#logger;
    const random = this.#random;
    const inUse = new BlobsInUse(clock);
    const queue = new LeasedReplicationQueue({ clock });
    const grace = new GracePeriod(clock, gcGraceMs);
    const blobsInUse = inUse;
    const inventories = new InventoryCheck({ metadata, nodes, clock, logger, grace, blobsInUse });
    const common = { metadata, nodes, inventories, clock, logger, random };
    const loops = { nodeTimeoutMs, replaceAfterMs, everyMs: 3_600_000 };
    const repair = new RepairLoop({ ...common, queue, config: loops });
    repair.listen();
    const keep = { gcGraceMs, logKeepMs: 86_400_000, copies };
    const collector = new Collector({ ...common, blobsInUse, grace, config: keep });
    const upkeep = new TreeUpkeep({ ...common, repair, grace, config: { copies, gcGraceMs } });
    const admin = new ClusterNodeAdmin({
      ...{ metadata, nodes, clock, logger },
      uploads: inUse,
      wait: async (ms) => clock.advance(ms),
      onForgotten: () => repair.lookForShort(),
    });
    const files = createFileService({
      metadata,
      nodes,
      inUse,
      clock,
      logger,
      random,
      replication: { hint: (jobs) => this.#hint(queue, jobs) },
      config: {
        copies,
        minCopies: 1,
        trashTtlMs: this.#trashTtlMs,
        segmentBytes: 1_500,
        heldBodyBytes: 800,
        heldTotalBytes: 10_000,
        readAheadBytes: 500,
        shortReadBytes: 1_000,
      },
      contentTypeOf: () => 'application/octet-stream',
      newBlobId: () => this.#newId() as BlobId,
      wait: async (ms, signal) => {
        signal?.throwIfAborted();
        clock.advance(ms);
      },
    });
    return { inUse, queue, repair, collector, upkeep, files, admin };
  }

  async #stopMaster(): Promise<void> {
    await this.idle();
    await this.#master.repair.stop();
    await this.#master.collector.stop();
    await this.#master.upkeep.stop();
    await this.#master.queue.close();
  }

  #hint(queue: LeasedReplicationQueue, jobs: readonly ReplicationJob[]): void {
    if (!this.losesHints) queue.enqueue(jobs).catch(() => undefined);
  }

  #interceptMetadata(): void {
    const { metadata } = this;
    const recordDamage = metadata.recordDamage.bind(metadata);
    metadata.recordDamage = (...args) => {
      const report = recordDamage(...args).finally(() => this.#reports.delete(report));
      this.#reports.add(report);
      return report;
    };
    const bindFiles = metadata.bindFiles.bind(metadata);
    metadata.bindFiles = async (requests) => {
      const outcomes = await bindFiles(requests);
      if (!this.losesNextBind) return outcomes;
      this.losesNextBind = false;
      throw new StoreError('unavailable', 'The database went away after the commit.');
    };
  }

  #giveNoAnswer(node: TestNode): never {
    if (node.state === 'up') this.nodes.become(node, 'suspect');
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    throw new StoreError('unavailable', `${node.name} gave no answer.`, { cause });
  }

  async #replicate(jobs: readonly ReplicationJob[]): Promise<void> {
    const attempts: ReplicationAttempt[] = [];
    for (const job of jobs) attempts.push(...(await this.#copy(job)));
    if (attempts.length === 0) return;
    await this.metadata.recordReplications(attempts, (attempt, made) => {
      const failure = { code: attempt.errorCode ?? 'internal', attempt: made };
      return this.clock.now() + decideRetry(failure, 0).delayMs;
    });
    this.#master.repair.reported(attempts);
  }

  async #copy({ blobId, target, sizeBytes, md5, sources }: ReplicationJob) {
    const attempts: ReplicationAttempt[] = [];
    for (const source of sources) {
      const facts = { blobId, source, target, startedAtMs: this.clock.now(), durationMs: 1 };
      try {
        const pull = { blobId, source: { nodeId: source, url: '' }, sizeBytes, md5 };
        await this.nodes.storeOf(target).pull(pull);
        attempts.push({ ...facts, outcome: 'stored' });
        return attempts;
      } catch (error) {
        const errorCode = error instanceof StoreError ? error.kind : 'internal';
        const sourceIsBad =
          errorCode === 'not-found' ? 'missing' : errorCode === 'corrupt' ? 'corrupt' : undefined;
        const bad = sourceIsBad ? { sourceIsBad } : {};
        attempts.push({ ...facts, ...bad, outcome: 'failed', errorCode } as ReplicationAttempt);
      }
    }
    return attempts;
  }

  /** A UUIDv7 of the simulated time. */
  #newId(): string {
    const time = this.clock.now().toString(16).padStart(12, '0');
    const hex = (digits: number) =>
      Math.floor(this.#random() * 16 ** digits)
        .toString(16)
        .padStart(digits, '0');
    return `${time.slice(0, 8)}-${time.slice(8)}-7${hex(3)}-8${hex(3)}-${hex(6)}${hex(6)}`;
  }
}
