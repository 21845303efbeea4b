import { join } from 'node:path';
import {
  type BlobId,
  decideRetry,
  fileIdOfFirstBlob,
  type Heartbeat,
  jobIdOf,
  type NodeId,
  newBlobId,
  newNodeId,
  parseFilePath,
  type ReplicationAttempt,
  StoreError,
} from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
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
import { afterEach, describe, expect, it } from 'vitest';
import { HeartbeatNodeDirectory } from '../cluster/heartbeat-node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { openMetadataRepository } from '../metadata/open-metadata-repository.ts';
import { GracePeriod } from './grace-period.ts';
import { InventoryCheck } from './inventory-check.ts';
import { LeasedReplicationQueue } from './leased-replication-queue.ts';
import { placeBlob } from './placement.ts';
import { RepairLoop } from './repair-loop.ts';

const nodeTimeoutMs = 15_000;
const replaceAfterMs = 60_000;
const heartbeatEveryMs = 3_000;
const tickMs = 500;
const copiesWanted = 2;

interface Node {
  readonly id: NodeId;
  readonly store: MemoryBlobStore;
  isAlive: boolean;
  starts: number;
  beatAtMs: number;
}

/** The real node directory and the real repair loop over a real database, with a clock that the test moves and heartbeats that it sends. */
class Flapping {
  readonly clock = new FakeClock();
  readonly nodes: Node[] = [];
  readonly blobs: BlobId[] = [];
  copiesMade = 0;
  statesOfFlapper = new Set<string>();
  readonly #random = seededRandom(5);
  readonly #metadata: MetadataRepository;
  readonly #directory: HeartbeatNodeDirectory;
  readonly #repair: RepairLoop;
  readonly #queue: LeasedReplicationQueue;
  readonly #remove: () => Promise<void>;

  private constructor(clock: FakeClock, metadata: MetadataRepository, remove: () => Promise<void>) {
    this.clock = clock;
    this.#metadata = metadata;
    this.#remove = remove;
    const { logger } = recordingLogger();
    const config = { nodeTimeoutMs, replaceAfterMs, heartbeatEveryMs, everyMs: 3_600_000 };
    const directory = new HeartbeatNodeDirectory({
      ...{ metadata, clock, logger, config },
      keyring: ClusterKeyring.of(),
    });
    this.#directory = directory;
    this.#queue = new LeasedReplicationQueue({ clock });
    const inventories = new InventoryCheck({
      ...{ metadata, clock, logger },
      nodes: {
        find: (id) => directory.find(id),
        storeOf: (id) => this.#node(id).store,
      },
      grace: new GracePeriod(clock, 900_000),
      blobsInUse: { uploadingNow: () => new Set() },
    });
    this.#repair = new RepairLoop({
      ...{ metadata, clock, logger, config, inventories },
      nodes: directory,
      queue: this.#queue,
      random: this.#random,
    });
    this.#repair.listen();
  }

  static async start(nodes: number): Promise<Flapping> {
    const { path, remove } = await temporaryDirectory();
    const clock = new FakeClock();
    const metadata = await openMetadataRepository({
      sqliteFile: join(path, 'm.sqlite'),
      clock,
      copies: copiesWanted,
    });
    const flapping = new Flapping(clock, metadata, remove);
    await flapping.#directory.start();
    for (let i = 0; i < nodes; i += 1) flapping.#addNode();
    return flapping;
  }

  /** Half a second for everybody. */
  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += tickMs) {
      this.clock.advance(tickMs);
      for (const node of this.nodes) await this.#beat(node);
      this.#directory.tick();
      this.#repair.tick();
      this.statesOfFlapper.add(this.#directory.find(this.nodes[0]?.id as NodeId)?.state ?? '');
      if (passed % 2_000 === 0) await this.#look();
    }
  }

  /** A file whose second copy is left to the repair loop. */
  async put(): Promise<void> {
    const up = this.#directory.snapshots().filter((node) => this.#node(node.id).isAlive);
    const [primary] = placeBlob(up, { copies: 1, sizeBytes: 100, random: this.#random });
    const [other] = placeBlob(this.#directory.snapshots(), {
      ...{ copies: 1, sizeBytes: 100, random: this.#random },
      exclude: new Set(primary ? [primary] : []),
    });
    if (!primary) return;
    const blobId = newBlobId();
    const bytes = patternBytes(100, this.blobs.length);
    const path = parseFilePath(`/${this.blobs.length}`);
    const description = makeDescription({ ...this.#metadata.identity(), blobId, path });
    await this.#node(primary).store.put(blobId, bytes, { description });
    const facts = { sizeBytes: bytes.byteLength, md5: md5Of(bytes) };
    const file = {
      ...{ id: fileIdOfFirstBlob(blobId), ...facts, contentType: 'text/plain' },
      ...{ attributes: {}, createdAtMs: this.clock.now() },
    };
    const wantedOn = other ? [other] : [];
    const blob = {
      blobId,
      ...facts,
      offsetBytes: 0,
      copiesWanted,
      primary,
      storedOn: [],
      wantedOn,
    };
    await this.#metadata.bindFiles([{ path, onConflict: 'replace', file, blobs: [blob] }]);
    this.blobs.push(blobId);
  }

  kill(node: Node): void {
    node.isAlive = false;
  }

  revive(node: Node, { isNewProcess }: { isNewProcess: boolean }): void {
    node.isAlive = true;
    node.beatAtMs = 0;
    if (isNewProcess) node.starts += 1;
  }

  counts() {
    return this.#metadata.counts();
  }

  async close(): Promise<void> {
    await this.#repair.stop();
    await this.#queue.close();
    await this.#directory.close();
    await this.#metadata.close();
    await this.#remove();
  }

  async #look(): Promise<void> {
    await this.#repair.step();
    await this.#repair.verified();
    const request = { workerId: 'w', maxJobs: 1_000, waitMs: 0, done: [], running: [] };
    const { signal } = new AbortController();
    const { jobs } = await this.#queue.lease(request, signal);
    await this.#queue.lease({ ...request, maxJobs: 0, done: jobs.map(jobIdOf) }, signal);
    const attempts: ReplicationAttempt[] = [];
    for (const { blobId, target, sources, sizeBytes, md5 } of jobs) {
      const source = sources[0] as NodeId;
      const facts = { blobId, source, target, startedAtMs: this.clock.now(), durationMs: 1 };
      try {
        const pull = { blobId, source: { nodeId: source, url: '' }, sizeBytes, md5 };
        await this.#node(target).store.pull(pull);
        this.copiesMade += 1;
        attempts.push({ ...facts, outcome: 'stored' });
      } catch {
        attempts.push({ ...facts, outcome: 'failed', errorCode: 'ECONNREFUSED' });
      }
    }
    await this.#metadata.recordReplications(attempts, (attempt, made) => {
      const failure = { code: attempt.errorCode ?? '', attempt: made };
      return this.clock.now() + decideRetry(failure, 0).delayMs;
    });
    this.#repair.reported(attempts);
  }

  async #beat(node: Node): Promise<void> {
    if (!node.isAlive || this.clock.monotonic() < node.beatAtMs) return;
    node.beatAtMs = this.clock.monotonic() + heartbeatEveryMs;
    const { clusterId, epoch } = this.#metadata.identity();
    const heartbeat: Heartbeat = {
      ...{ nodeId: node.id, instanceId: `${node.starts}`, name: node.id, version: '1', pid: 1 },
      ...{ url: `http://${node.id}`, port: 1, clusterId, epoch, journal: 0, dataDir: '/' },
      ...{ capacityBytes: 1e9, freeBytes: 1e9, usedBytes: 0, reserveBytes: 0 },
      ...{ blobCount: node.store.ids.length, loopAgeMs: 0, diskWriteAgeMs: 0 },
    };
    await this.#directory.heartbeat(heartbeat, '');
  }

  #addNode(): void {
    const peerOf = (id: NodeId) => (this.#node(id).isAlive ? this.#node(id).store : undefined);
    const store = new MemoryBlobStore({ clock: this.clock, peerOf });
    const node: Node = { id: newNodeId(), store, isAlive: true, starts: 0, beatAtMs: 0 };
    store.fault = () => {
      if (!node.isAlive) throw new StoreError('unavailable', 'It gave no answer.');
    };
    this.nodes.push(node);
  }

  #node(id: NodeId): Node {
    return this.nodes.find((node) => node.id === id) as Node;
  }
}

let flapping: Flapping;
afterEach(() => flapping.close());

describe('a node that comes and goes for ten minutes', () => {
  it.each([
    { name: 'every 5 s, a new process each time', upMs: 5_000, downMs: 5_000, isNewProcess: true },
    {
      name: 'every 5 s, cut off from the network',
      upMs: 5_000,
      downMs: 5_000,
      isNewProcess: false,
    },
    { name: 'and is taken for down each time', upMs: 5_000, downMs: 20_000, isNewProcess: true },
    { name: 'and is nearly lost each time', upMs: 5_000, downMs: 70_000, isNewProcess: true },
  ])('causes no copy but those of new files: $name', async ({ upMs, downMs, isNewProcess }) => {
    flapping = await Flapping.start(4);
    await flapping.pass(4_000);
    for (let i = 0; i < 40; i += 1) await flapping.put();
    await flapping.pass(10_000);
    expect((await flapping.counts()).replicas).toMatchObject({ stored: 80, wanted: 0 });
    const { copiesMade: before } = flapping;
    const [flapper] = flapping.nodes as [Node];
    for (let passedMs = 0; passedMs < 600_000; passedMs += upMs + downMs) {
      flapping.kill(flapper);
      await flapping.put();
      await flapping.pass(downMs);
      flapping.revive(flapper, { isNewProcess });
      await flapping.put();
      await flapping.pass(upMs);
    }
    await flapping.pass(60_000);
    const files = flapping.blobs.length;
    expect((await flapping.counts()).replicas).toMatchObject({
      stored: files * copiesWanted,
      wanted: 0,
      dropping: 0,
    });
    // One for each new file; those of the 40 that were there stay where they are.
    expect(flapping.copiesMade - before).toBe(files - 40);
  });

  it('is made up for when it stays away longer than a node is waited for', async () => {
    flapping = await Flapping.start(4);
    await flapping.pass(4_000);
    for (let i = 0; i < 40; i += 1) await flapping.put();
    await flapping.pass(10_000);
    const { copiesMade: before } = flapping;
    flapping.kill(flapping.nodes[0] as Node);
    await flapping.pass(120_000);
    expect(flapping.copiesMade - before).toBe(flapping.nodes[0]?.store.ids.length);
  });
});
