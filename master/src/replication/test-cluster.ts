import {
  type BlobId,
  decideRetry,
  fileIdOfFirstBlob,
  jobIdOf,
  type NodeId,
  type NodeState,
  newBlobId,
  parseFilePath,
  type ReplicationAttempt,
  type ReplicationJob,
  StoreError,
} from '@dfs/shared';
import { networkCodeOf } from '@dfs/shared/cluster';
import {
  FakeClock,
  MemoryBlobStore,
  makeDescription,
  md5Of,
  patternBytes,
  recordingLogger,
  seededRandom,
  temporaryDirectory,
} from '@dfs/shared/testing';
import type { NodeDirectory, NodeSnapshot } from '../cluster/node-directory.ts';
import { BlobsInUse } from '../files/blobs-in-use.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { openMetadataRepository } from '../metadata/open-metadata-repository.ts';
import { Collector } from './collector.ts';
import { GracePeriod } from './grace-period.ts';
import { InventoryCheck } from './inventory-check.ts';
import { LeasedReplicationQueue } from './leased-replication-queue.ts';
import { RepairLoop } from './repair-loop.ts';
import type { ReplicationQueue } from './replication-queue.ts';
import { makeNode } from './test-fixtures.ts';

export const nodeTimeoutMs = 15_000;
export const replaceAfterMs = 60_000;
export const gcGraceMs = 15 * 60_000;

type ChangeListener = Parameters<NodeDirectory['onChange']>[0];

/** A node of the test: a map with a state that the test sets. */
export interface TestNode {
  readonly id: NodeId;
  readonly store: MemoryBlobStore;
  state: NodeState;
  silentForMs: number;
  freeBytes: number;
  zone: string | undefined;
  isDraining: boolean;
  /** When set, used and free bytes are those of what it holds. */
  capacityBytes: number | undefined;
}

/** The master's node directory as the test tells it. */
class TestDirectory implements NodeDirectory {
  readonly nodes: TestNode[] = [];
  readonly #listeners = new Set<ChangeListener>();
  recoveryReason: string | undefined;
  confirmed = true;
  readonly removedIds: NodeId[] = [];

  snapshots(): readonly NodeSnapshot[] {
    return this.nodes.map((node) => {
      const { id, silentForMs, zone, isDraining, capacityBytes, store } = node;
      const { usedBytes } = store;
      return makeNode({
        id,
        silentForMs,
        state: node.state === 'up' && isDraining ? 'draining' : node.state,
        freeBytes: capacityBytes === undefined ? node.freeBytes : capacityBytes - usedBytes,
        ...(capacityBytes === undefined ? {} : { capacityBytes, usedBytes }),
        ...(zone ? { zone } : {}),
        ...(isDraining ? { isDraining } : {}),
      });
    });
  }

  find(id: NodeId): NodeSnapshot | undefined {
    return this.snapshots().find((node) => node.id === id);
  }

  storeOf(id: NodeId): MemoryBlobStore {
    const node = this.nodes.find((each) => each.id === id);
    if (!node) throw new StoreError('unavailable', `No node with the id ${id} is known.`);
    return node.store;
  }

  reserve(): () => void {
    return () => {};
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(id: NodeId, state: NodeState, isNew = false): void {
    for (const listener of this.#listeners) listener({ id, state, isNew });
  }

  removed(): readonly NodeId[] {
    return this.removedIds;
  }

  recovery(): string | undefined {
    return this.recoveryReason;
  }

  isConfirmed(): boolean {
    return this.confirmed;
  }

  async close(): Promise<void> {}
}

const noAnswer = () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  throw new StoreError('unavailable', 'The node gave no answer.', { cause });
};

export interface TestClusterOptions {
  readonly nodes: number;
  readonly queue?: (clock: FakeClock) => ReplicationQueue;
  /** Takes the jobs that wait, as a replicator does; by default those of the leased queue. */
  readonly takeJobs?: () => Promise<readonly ReplicationJob[]>;
  readonly loops?: { readonly repairBytesPerSecond?: number };
}

/** The real repair loop and collector over a real database, with nodes in memory and a clock that the test moves. */
export class TestCluster {
  readonly clock: FakeClock;
  readonly directory = new TestDirectory();
  readonly blobsInUse: BlobsInUse;
  readonly random = seededRandom(11);
  readonly recorded = recordingLogger();
  readonly metadata: MetadataRepository;
  readonly queue: ReplicationQueue;
  readonly inventories: InventoryCheck;
  readonly grace: GracePeriod;
  repair: RepairLoop;
  readonly collector: Collector;
  /** While true, no replicator works. */
  isReplicatorDown = false;
  readonly #takeJobs: () => Promise<readonly ReplicationJob[]>;
  readonly #close: () => Promise<void>;
  readonly #loops: NonNullable<TestClusterOptions['loops']>;
  /** Copies that the replicator made, by the node that took them. */
  readonly copiesMade = new Map<NodeId, number>();
  /** In the order in which they were made. */
  readonly blobsCopied: BlobId[] = [];
  #files = 0;

  private constructor(
    {
      metadata,
      clock,
      close,
    }: { metadata: MetadataRepository; clock: FakeClock; close: () => Promise<void> },
    options: TestClusterOptions,
  ) {
    this.metadata = metadata;
    this.clock = clock;
    this.blobsInUse = new BlobsInUse(clock);
    this.#close = close;
    this.#loops = options.loops ?? {};
    const { directory, blobsInUse } = this;
    const { logger } = this.recorded;
    const leased = new LeasedReplicationQueue({ clock });
    this.queue = options.queue?.(clock) ?? leased;
    this.#takeJobs = options.takeJobs ?? (() => takeLeased(leased));
    this.grace = new GracePeriod(clock, gcGraceMs);
    const { grace } = this;
    this.inventories = new InventoryCheck({
      metadata,
      nodes: directory,
      clock,
      logger,
      grace,
      blobsInUse,
    });
    for (let i = 0; i < options.nodes; i += 1) this.addNode();
    this.repair = this.makeRepair();
    this.collector = new Collector({
      metadata,
      nodes: directory,
      blobsInUse,
      inventories: this.inventories,
      grace,
      clock,
      logger,
      random: this.random,
      config: { gcGraceMs, logKeepMs: 30 * 86_400_000, copies: 2 },
    });
  }

  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const folder = await temporaryDirectory();
    const clock = new FakeClock();
    // Each file says how many it wants.
    const sqliteFile = `${folder.path}/db/m.db`;
    const metadata = await openMetadataRepository({ sqliteFile, clock, copies: 1 });
    const close = async () => {
      await metadata.close();
      await folder.remove();
    };
    return new TestCluster({ metadata, clock, close }, options);
  }

  /** A loop as after a restart of the master; its timers do not run, `round` makes its steps. */
  makeRepair(): RepairLoop {
    const repair = new RepairLoop({
      metadata: this.metadata,
      nodes: this.directory,
      queue: this.queue,
      inventories: this.inventories,
      clock: this.clock,
      logger: this.recorded.logger,
      random: this.random,
      config: { nodeTimeoutMs, replaceAfterMs, everyMs: 3_600_000, ...this.#loops },
    });
    repair.listen();
    return repair;
  }

  addNode(overrides: Partial<TestNode> = {}): TestNode {
    const { id } = makeNode();
    const peerOf = (peer: NodeId) => {
      const node = this.directory.nodes.find((each) => each.id === peer);
      return node?.state === 'up' || node?.state === 'suspect' ? node.store : undefined;
    };
    const node: TestNode = {
      id,
      store: new MemoryBlobStore({ clock: this.clock, peerOf }),
      state: 'up',
      silentForMs: 0,
      freeBytes: 1e9,
      zone: undefined,
      isDraining: false,
      capacityBytes: undefined,
      ...overrides,
    };
    this.directory.nodes.push(node);
    this.directory.tell(id, 'up', true);
    return node;
  }

  /** No request reaches the node any more. Its silence grows with the clock, in `pass`. */
  kill(node: TestNode): void {
    node.store.fault = noAnswer;
    node.state = 'suspect';
    this.directory.tell(node.id, 'suspect');
  }

  revive(node: TestNode): void {
    node.store.fault = undefined;
    node.state = 'up';
    node.silentForMs = 0;
    this.directory.tell(node.id, 'up');
  }

  drain(node: TestNode, isDraining = true): void {
    node.isDraining = isDraining;
    this.directory.tell(node.id, isDraining && node.state === 'up' ? 'draining' : node.state);
  }

  /** Lets time pass for everybody, in steps that a running process has: nodes that are dead grow silent. */
  pass(ms: number): void {
    for (let rest = ms; rest > 0; rest -= 1_000) {
      this.clock.advance(Math.min(1_000, rest));
      this.repair.tick();
      this.collector.tick();
      for (const node of this.directory.nodes) {
        if (node.store.fault !== noAnswer) continue;
        node.silentForMs += Math.min(1_000, rest);
        if (node.silentForMs <= nodeTimeoutMs || node.state === 'down') continue;
        node.state = 'down';
        this.directory.tell(node.id, 'down');
      }
    }
  }

  /** Stores a file with its first copy on the first node and wanted ones on the others, as an upload does. */
  async put(
    holders: readonly TestNode[],
    options: {
      copiesWanted?: number;
      storedOn?: readonly TestNode[];
      path?: string;
      sizeBytes?: number;
    } = {},
  ): Promise<BlobId> {
    const { storedOn = [] } = options;
    const blobId = newBlobId();
    this.#files += 1;
    const bytes = patternBytes(options.sizeBytes ?? 500 + this.#files, this.#files);
    const path = parseFilePath(options.path ?? `/file-${this.#files}`);
    const description = makeDescription({ ...this.metadata.identity(), blobId, path });
    for (const node of [...holders.slice(0, 1), ...storedOn]) {
      await node.store.put(blobId, bytes, { description });
    }
    const { sizeBytes, md5 } = { sizeBytes: bytes.byteLength, md5: md5Of(bytes) };
    await this.metadata.bindFiles([
      {
        path,
        onConflict: 'replace',
        minCopies: options.copiesWanted ?? 3,
        file: {
          id: fileIdOfFirstBlob(blobId),
          sizeBytes,
          md5,
          contentType: 'text/plain',
          attributes: {},
          createdAtMs: this.clock.now(),
        },
        blobs: [
          {
            blobId,
            sizeBytes,
            md5,
            offsetBytes: 0,
            primary: holders[0]?.id as NodeId,
            storedOn: storedOn.map((node) => node.id),
            wantedOn: holders
              .slice(1)
              .filter((node) => !storedOn.includes(node))
              .map((node) => node.id),
          },
        ],
      },
    ]);
    return blobId;
  }

  /** Some time, a look of the repair loop, and the work of a replicator. */
  async round(ms = 2_000): Promise<void> {
    this.pass(ms);
    await this.repair.step();
    await this.repair.verified();
    if (!this.isReplicatorDown) await this.replicate();
  }

  /** Rounds until nothing changes any more, at most `max` of them. */
  async settle(max = 60): Promise<void> {
    let before = '';
    let same = 0;
    for (let i = 0; i < max && same < 4; i += 1) {
      await this.round();
      await this.collector.step();
      const now = JSON.stringify([
        await this.metadata.counts(),
        this.directory.nodes.map((node) => node.store.ids),
      ]);
      same = now === before ? same + 1 : 0;
      before = now;
    }
  }

  /** What a replicator does with the jobs that wait. */
  async replicate(): Promise<void> {
    const jobs = await this.#takeJobs();
    const attempts: ReplicationAttempt[] = [];
    for (const job of jobs) attempts.push(...(await this.#copy(job)));
    if (attempts.length === 0) return;
    await this.metadata.recordReplications(attempts, (attempt, made) => {
      const failure = { code: attempt.errorCode ?? 'internal', attempt: made };
      return this.clock.now() + decideRetry(failure, 0).delayMs;
    });
    this.repair.reported(attempts);
  }

  async #copy(job: ReplicationJob): Promise<ReplicationAttempt[]> {
    const attempts: ReplicationAttempt[] = [];
    for (const source of job.sources) {
      const { blobId, target, sizeBytes, md5 } = job;
      const facts = { blobId, source, target, startedAtMs: this.clock.now(), durationMs: 1 };
      try {
        const store = this.directory.storeOf(target);
        await store.pull({ blobId, source: { nodeId: source, url: '' }, sizeBytes, md5 });
        attempts.push({ ...facts, outcome: 'stored' });
        this.blobsCopied.push(blobId);
        this.copiesMade.set(target, (this.copiesMade.get(target) ?? 0) + 1);
        return attempts;
      } catch (error) {
        const errorCode = networkCodeOf(error);
        const sourceIsBad =
          errorCode === 'not-found' ? 'missing' : errorCode === 'corrupt' ? 'corrupt' : undefined;
        attempts.push({
          ...facts,
          outcome: 'failed',
          errorCode,
          ...(sourceIsBad ? { sourceIsBad } : {}),
        });
      }
    }
    return attempts;
  }

  /** The rows of a blob as `0:stored* 1:wanted`, nodes by their position. */
  async rowsOf(blobId: BlobId): Promise<string> {
    const rows = (await this.metadata.replicasOf([blobId])).get(blobId) ?? [];
    return rows
      .map(
        ({ nodeId, state, role }) =>
          `${this.#position(nodeId)}:${state}${role === 'primary' ? '*' : ''}`,
      )
      .toSorted()
      .join(' ');
  }

  /** Positions of the nodes that hold the blob's bytes. */
  holdersOf(blobId: BlobId): number[] {
    return this.directory.nodes.flatMap((node, index) =>
      node.store.ids.includes(blobId) ? [index] : [],
    );
  }

  async close(): Promise<void> {
    await this.repair.stop();
    await this.collector.stop();
    await this.queue.close();
    await this.#close();
  }

  #position(id: NodeId): number {
    return this.directory.nodes.findIndex((node) => node.id === id);
  }
}

const never = new AbortController().signal;

/** Takes all that waits, and ends it: the next call says that it is done. */
async function takeLeased(queue: LeasedReplicationQueue): Promise<readonly ReplicationJob[]> {
  const request = { workerId: 'w', maxJobs: 1_000, waitMs: 0, done: [], running: [] };
  const { jobs } = await queue.lease(request, never);
  await queue.lease({ ...request, maxJobs: 0, done: jobs.map(jobIdOf) }, never);
  return jobs;
}
