import { Readable } from 'node:stream';
import {
  type BlobId,
  type ByteRange,
  type FilePath,
  parseFilePath,
  rootPath,
  StoreError,
  type StoreErrorKind,
} from '@dfs/shared';
import { bytesOf, patternBytes, seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { OpenedFile, PutOutcome, PutRequest } from './files/file-types.ts';
import type { TestNode } from './files/test-nodes.ts';
import { goodBytesIn } from './files/test-store.ts';
import type { FileRecord, OnConflict } from './metadata/metadata-repository.ts';
import { copies, gcGraceMs, SimulatedCluster } from './simulated-cluster.ts';

/** One seed from the environment repeats a failure: DFS_SIMULATION_SEED=17. */
const onlySeed = process.env['DFS_SIMULATION_SEED'];
const seeds = onlySeed === undefined ? Array.from({ length: 200 }, (_, i) => i + 1) : [+onlySeed];
const stepsPerSeed = 30;
const nodesAtFirst = 4;
const nodesMax = 6;
const neverAborted = () => new AbortController().signal;

describe('a cluster that fails by a seeded plan', () => {
  it.concurrent.each(seeds)('keeps its promises (seed %i)', async (seed) => {
    const simulation = await Simulation.start(seed);
    try {
      for (let step = 0; step < stepsPerSeed; step += 1) await simulation.step();
      await simulation.converge();
    } catch (cause) {
      const trace = simulation.trace.join('\n  ');
      const how = `Repeat with DFS_SIMULATION_SEED=${seed}. What happened:\n  ${trace}`;
      throw new Error(`${(cause as Error).message}\n${how}`, { cause });
    } finally {
      await simulation.close();
    }
  });

  it('does the same again for the same seed', async () => {
    const traces: (readonly string[])[] = [];
    for (let i = 0; i < 2; i += 1) {
      const simulation = await Simulation.start(seeds[0] ?? 1);
      for (let step = 0; step < stepsPerSeed; step += 1) await simulation.step();
      traces.push(simulation.trace);
      await simulation.close();
    }
    expect(traces[0]).toEqual(traces[1]);
  });
});

/** A download that goes on while other things happen. */
interface OpenReader {
  readonly path: FilePath;
  readonly file: FileRecord;
  readonly opened: OpenedFile;
  readonly expected: Buffer;
}

type RandomRequest = Omit<PutRequest, 'body'> & { readonly bytes: Buffer };

const troubleKinds: readonly StoreErrorKind[] = [
  'unavailable',
  'internal',
  'no-room',
  'too-many-requests',
  'wrong-node',
];

class Simulation {
  readonly trace: string[] = [];
  readonly #cluster: SimulatedCluster;
  /** Decides what happens; what the cluster does with it draws from another one. */
  readonly #random: () => number;
  /** The content of every name, as acknowledged. */
  readonly #files = new Map<FilePath, Buffer>();
  readonly #readers: OpenReader[] = [];
  readonly #names = Array.from({ length: 8 }, (_, i) =>
    parseFilePath(i % 2 === 0 ? `/name-${i}` : `/folder/name-${i}`),
  );
  #contents = 0;
  #keys = 0;

  private constructor(seed: number, cluster: SimulatedCluster) {
    this.#cluster = cluster;
    this.#random = seededRandom(seed);
    for (let i = 0; i < nodesAtFirst; i += 1) cluster.addNode();
  }

  static async start(seed: number): Promise<Simulation> {
    return new Simulation(seed, await SimulatedCluster.open(seed));
  }

  async step(): Promise<void> {
    const actions: readonly (readonly [weight: number, act: () => Promise<void>])[] = [
      [6, () => this.#put()],
      [4, () => this.#putInTrouble()],
      [2, () => this.#putWhoseAnswerIsLost()],
      [2, () => this.#putAborted()],
      [2, () => this.#race()],
      [3, () => this.#readInTrouble()],
      [2, () => this.#beginToRead()],
      [2, () => this.#finishToRead()],
      [3, () => this.#remove()],
      [1, () => this.#readWhatIsCollected()],
      [4, () => this.#killOrRevive()],
      [2, () => this.#damage()],
      [4, () => this.#repair()],
      [2, () => this.#repairInTrouble()],
      [3, () => this.#waitLong()],
      [1, () => this.#loseJobs()],
      [1, () => this.#addNode()],
      [2, () => this.#drainOrCancel()],
      [1, () => this.#removeNode()],
      [1, () => this.#flap()],
      [2, () => this.#fillOrEmptyDisk()],
      [1, () => this.#rebalance()],
      [1, () => this.#restartMaster()],
    ];
    let draw = this.#random() * actions.reduce((sum, [weight]) => sum + weight, 0);
    const chosen = actions.find(([weight]) => {
      draw -= weight;
      return draw < 0;
    });
    await chosen?.[1]();
    await this.#cluster.idle();
    await this.#check();
  }

  /** All nodes return and time passes: then every copy is where it belongs, and nothing else is anywhere. */
  async converge(): Promise<void> {
    const cluster = this.#cluster;
    for (const node of cluster.nodes.all) {
      node.isFull = false;
      if (!cluster.isAlive(node)) cluster.revive(node);
    }
    while (this.#readers.length > 0) await this.#finishToRead();
    let before = '';
    for (let round = 0, same = 0; round < 60 && same < 4; round += 1) {
      cluster.pass(round % 2 === 0 ? 20_000 : gcGraceMs);
      await cluster.scrub();
      await cluster.repair();
      await cluster.collect();
      const { counts, held } = await this.#state();
      const now = JSON.stringify([counts, held]);
      same = now === before ? same + 1 : 0;
      before = now;
    }
    await this.#check();
    await this.#checkConverged();
  }

  async close(): Promise<void> {
    for (const { opened } of this.#readers) opened.bytes.destroy();
    await this.#cluster.close();
  }

  // ── what users do ──

  async #put(): Promise<void> {
    const { nodes } = this.#cluster;
    const hasTaker = nodes.all.some(
      (each) =>
        each.snapshot.state === 'up' &&
        each.snapshot.freeBytes > 20_000 &&
        this.#cluster.isAlive(each),
    );
    const isDone = await this.#tryToPut(this.#randomRequest(), 'put');
    // Nodes that are dead and not known to be must not matter while there is another one.
    if (hasTaker) expect(isDone, 'a put while a node takes blobs').toBe(true);
  }

  async #putInTrouble(): Promise<void> {
    const kind = this.#pick(troubleKinds);
    const breaksAfter = this.#below(3) === 0 ? this.#below(3_000) : undefined;
    let rest = 1 + this.#below(6);
    const isLate = this.#below(3) === 0;
    this.#cluster.trouble = (_node, operation) => {
      if (operation !== 'put' || isLate || rest <= 0) return;
      rest -= 1;
      throw new StoreError(kind, 'In trouble.');
    };
    for (const { store } of this.#cluster.nodes.all) {
      store.faultAfterPut = () => {
        if (!isLate || rest <= 0) return;
        rest -= 1;
        throw new StoreError('unavailable', 'The answer got lost.');
      };
      if (breaksAfter !== undefined && this.#below(2) === 0) store.breakPutAfterBytes = breaksAfter;
    }
    await this.#tryToPut(this.#randomRequest(), `put in trouble (${kind})`);
    this.#endTrouble();
  }

  /** Until the sender gets an answer it sends the same again with the same key: the file is there once. */
  async #putWhoseAnswerIsLost(): Promise<void> {
    this.#keys += 1;
    const request = { ...this.#randomRequest(), idempotencyKey: `key-${this.#keys}` };
    this.#cluster.losesNextBind = true;
    const first = await this.#settled(this.#send(request));
    const wasBound = !this.#cluster.losesNextBind;
    this.#cluster.losesNextBind = false;
    this.#log(`put whose answer is lost to ${request.path}: ${first.error?.kind}`);
    if (!wasBound) return;
    const again = await this.#send(request);
    expect(again.repeated, 'the second try found the first').toBe(true);
    this.#accept(again, request.bytes);
  }

  async #putAborted(): Promise<void> {
    const request = this.#randomRequest();
    const gone = new AbortController();
    const at = this.#below(request.bytes.byteLength + 1);
    const chunks = chunksOf(request.bytes, 300);
    const body = Readable.from(
      (function* () {
        let given = 0;
        for (const chunk of chunks) {
          given += chunk.byteLength;
          if (given > at) gone.abort();
          yield chunk;
        }
        gone.abort();
      })(),
      { objectMode: false },
    );
    const { error } = await this.#settled(
      this.#cluster.files.put({ ...request, body, signal: gone.signal }),
    );
    this.#log(`aborted put to ${request.path}: ${error?.kind}`);
    expect(['cancelled', 'unavailable', 'precondition-failed']).toContain(error?.kind);
  }

  /** Several writers and readers of one name at once. */
  async #race(): Promise<void> {
    const path = this.#pick(this.#names);
    const onConflict = this.#pick(['replace', 'rename', 'fail'] as const);
    // Alike but for their bytes, and held: which of them is first must not change what happens next.
    const sizeBytes = this.#below(700);
    const requests = [1, 2, 3].map(() => {
      const bytes = patternBytes(sizeBytes, this.#nextContent());
      return { path, onConflict, bytes, sizeBytes, signal: neverAborted() };
    });
    const before = this.#files.get(path);
    const reads = [1, 2].map(() => this.#settled(this.#get(path)));
    const outcomes = await Promise.all(requests.map((each) => this.#settled(this.#send(each))));
    const written = requests.map(({ bytes }) => bytes);
    for (const { value } of await Promise.all(reads)) {
      if (value) expectOneOf(value, [before, ...written], `a reader of ${path} in a race`);
    }
    // Who of several is last is for the database to say: look what the name holds now.
    for (const [i, { value }] of outcomes.entries()) {
      if (value && onConflict !== 'replace') this.#accept(value, requests[i]?.bytes as Buffer);
    }
    const winners = outcomes.filter(({ value }) => value).length;
    if (onConflict === 'replace' && winners > 0) await this.#learn(path, written);
    if (onConflict === 'fail') expect(winners).toBeLessThanOrEqual(before ? 0 : 1);
    this.#log(`race (${onConflict}) for ${path}`);
  }

  async #readInTrouble(): Promise<void> {
    const path = this.#pick(this.#paths());
    if (path === undefined) return;
    const expected = this.#files.get(path) as Buffer;
    this.#cluster.breaksRead = () => this.#random() < 0.1;
    const start = this.#below(expected.byteLength);
    const range = { start, end: start + 1 + this.#below(expected.byteLength - start) };
    const isPart = expected.byteLength > 0 && this.#below(2) === 0;
    const { value, error } = await this.#settled(this.#get(path, isPart ? range : undefined));
    this.#cluster.breaksRead = undefined;
    if (value) {
      const part = isPart ? expected.subarray(range.start, range.end) : expected;
      expectOneOf(value, [part], `a read of ${path} in trouble`);
    } else expect(['unavailable', 'corrupt']).toContain(error?.kind);
    this.#log(`read in trouble ${path}: ${error?.kind ?? 'fine'}`);
  }

  async #beginToRead(): Promise<void> {
    const path = this.#pick(this.#paths());
    if (path === undefined || this.#readers.length > 3) return;
    const expected = this.#files.get(path) as Buffer;
    const { files } = this.#cluster;
    const { value: opened } = await this.#settled(
      files.find({ path }).then((named) => {
        return files.open(named?.file as FileRecord, { signal: neverAborted() });
      }),
    );
    this.#log(`begin to read ${path}`);
    const file = (await files.find({ path }))?.file as FileRecord;
    if (opened) this.#readers.push({ path, file, opened, expected });
  }

  /** However much happened since it began: the bytes are those of the file as it was then. */
  async #finishToRead(): Promise<void> {
    const reader = this.#readers.splice(this.#below(this.#readers.length), 1)[0];
    if (!reader || (await this.#drain(reader))) return;
    expect(await this.#isReadable(reader.file), `${reader.path} could be read`).toBe(false);
  }

  /** True when it gave all of its bytes. */
  async #drain({ path, opened, expected }: OpenReader): Promise<boolean> {
    const { value } = await this.#settled(bytesOf(opened.bytes));
    this.#log(`finish to read ${path}: ${value ? 'fine' : 'failed'}`);
    if (value) expectOneOf(value, [expected], `a long read of ${path}`);
    return value !== undefined;
  }

  /** A file that is deleted and collected while somebody reads it: its blobs wait for the reader. */
  async #readWhatIsCollected(): Promise<void> {
    await this.#beginToRead();
    const reader = this.#readers.at(-1);
    if (!reader || !this.#files.delete(reader.path)) return;
    await this.#cluster.files.remove(reader.path);
    this.#log(`remove ${reader.path} while it is read`);
    const wasReadable = await this.#isReadable(reader.file);
    for (let i = 0; i < 2; i += 1) {
      this.#cluster.pass(gcGraceMs + 1_000);
      await this.#cluster.collect();
    }
    this.#readers.pop();
    const isRead = await this.#drain(reader);
    if (wasReadable) expect(isRead, `${reader.path} is read to its end`).toBe(true);
  }

  async #remove(): Promise<void> {
    const path = this.#pick(this.#paths());
    if (path === undefined) return;
    await this.#cluster.files.remove(path);
    this.#files.delete(path);
    this.#log(`remove ${path}`);
  }

  // ── what happens to them ──

  async #killOrRevive(): Promise<void> {
    const node = this.#pick(this.#cluster.nodes.all) as TestNode;
    const isAlive = this.#cluster.isAlive(node);
    if (isAlive) this.#cluster.kill(node);
    else this.#cluster.revive(node);
    this.#log(`${isAlive ? 'kill' : 'revive'} ${node.name}`);
  }

  /** Harms one copy of a blob that has two good ones at least. Nobody can save what has no good copy. */
  async #damage(): Promise<void> {
    const node = this.#pick(this.#cluster.nodes.all) as TestNode;
    const id = this.#pick(node.store.ids);
    if (id === undefined || !(await goodBytesIn(node.store, id))) return;
    const { alive, dead } = await this.#cluster.goodHolders(id);
    const rows = (await this.#cluster.metadata.replicasOf([id])).get(id) ?? [];
    const stored = rows.filter(({ state }) => state === 'stored');
    const good = [...alive, ...dead];
    // Not while another bad copy may be hidden: a surplus good one could be dropped in its favour.
    if (good.length < 2 || good.length < stored.length || !good.includes(node)) return;
    const size = (await goodBytesIn(node.store, id))?.byteLength ?? 0;
    const isLost = size === 0 || this.#below(2) === 0;
    if (isLost) node.store.lose(id);
    else node.store.corrupt(id, this.#below(size));
    this.#log(`${isLost ? 'lose' : 'corrupt'} a blob on ${node.name}`);
  }

  async #repair(): Promise<void> {
    this.#cluster.pass(2_000 + this.#below(10_000));
    await this.#cluster.repair();
    await this.#cluster.collect();
    this.#log('repair');
  }

  async #repairInTrouble(): Promise<void> {
    const kind = this.#pick(troubleKinds);
    this.#cluster.trouble = (_node, operation) => {
      if (operation !== 'describe' && this.#random() < 0.4)
        throw new StoreError(kind, 'In trouble.');
    };
    await this.#repair();
    this.#endTrouble();
  }

  async #waitLong(): Promise<void> {
    const ms = this.#pick([5_000, 20_000, 90_000, gcGraceMs + 1_000]);
    this.#cluster.pass(ms);
    await this.#cluster.repair();
    await this.#cluster.collect();
    this.#log(`wait ${ms} ms`);
  }

  async #loseJobs(): Promise<void> {
    const jobs = await this.#cluster.takeJobs();
    this.#cluster.losesHints = !this.#cluster.losesHints;
    this.#log(`lose ${jobs.length} jobs; hints ${this.#cluster.losesHints ? 'lost' : 'heard'}`);
  }

  async #addNode(): Promise<void> {
    if (this.#cluster.nodes.all.length >= nodesMax) return;
    this.#log(`add ${this.#cluster.addNode().name}`);
  }

  /** One at a time, so that three others take blobs; it stays drained until that is called off. */
  async #drainOrCancel(): Promise<void> {
    const { nodes, admin } = this.#cluster;
    const drained = nodes.all.find(({ isDraining }) => isDraining);
    const node = drained ?? (this.#pick(nodes.all) as TestNode);
    if (!drained && nodes.all.length <= copies) return;
    const { error } = await this.#settled(admin.drain(node.id, { cancel: drained !== undefined }));
    if (error) expect(error.kind).toBe('conflict');
    this.#log(`${drained ? 'no longer drain' : 'drain'} ${node.name}: ${error?.kind ?? 'fine'}`);
  }

  /** Without force it is refused, or nothing is lost by it. */
  async #removeNode(): Promise<void> {
    const cluster = this.#cluster;
    if (cluster.nodes.all.length <= copies + 1) return;
    // An admin has all read first: of copies that are bad without anybody's knowledge one may be the last.
    await cluster.scrub();
    const node =
      cluster.nodes.all.find(({ isDraining }) => isDraining) ??
      (this.#pick(cluster.nodes.all) as TestNode);
    const before = await this.#holdersByBlob();
    const { error } = await this.#settled(cluster.admin.remove(node.id, { force: false }));
    this.#log(`remove ${node.name}: ${error?.kind ?? 'gone'}`);
    if (error) {
      expect(error.kind).toBe('conflict');
      expect(cluster.nodes.all).toContain(node);
      return;
    }
    cluster.kill(node);
    for (const [blobId, holders] of before) {
      const others = holders.filter((holder) => holder !== node);
      if (holders.length > 0) expect(others, `copies of ${blobId}`).not.toEqual([]);
    }
  }

  /** Of each blob that a file needs, the nodes with a good copy, living or dead. */
  async #holdersByBlob(): Promise<Map<BlobId, TestNode[]>> {
    const holders = new Map<BlobId, TestNode[]>();
    for (const path of this.#paths()) {
      const file = (await this.#cluster.files.find({ path }))?.file as FileRecord;
      for (const { blobId } of file.blobs) {
        const { alive, dead } = await this.#cluster.goodHolders(blobId);
        holders.set(blobId, [...alive, ...dead]);
      }
    }
    return holders;
  }

  /** Gone and back, gone and back: no reason to copy anything. */
  async #flap(): Promise<void> {
    const cluster = this.#cluster;
    const node = this.#pick(cluster.nodes.all) as TestNode;
    for (let i = 0; i < 4; i += 1) {
      cluster.kill(node);
      cluster.pass(5_000);
      await cluster.repair();
      cluster.revive(node);
      cluster.pass(5_000);
      await cluster.repair();
    }
    this.#log(`${node.name} flaps`);
  }

  async #fillOrEmptyDisk(): Promise<void> {
    const node = this.#pick(this.#cluster.nodes.all) as TestNode;
    node.isFull = !node.isFull;
    this.#log(`${node.isFull ? 'fill' : 'empty'} the disk of ${node.name}`);
  }

  async #rebalance(): Promise<void> {
    this.#cluster.rebalance.start();
    await this.#repair();
    this.#log('rebalance');
  }

  async #restartMaster(): Promise<void> {
    for (const { opened } of this.#readers.splice(0)) opened.bytes.destroy();
    await this.#cluster.restartMaster();
    this.#log('restart the master');
  }

  // ── what must hold ──

  /** After every step: all names are there and no other, each with its whole content if anybody can give it. */
  async #check(): Promise<void> {
    const { files } = this.#cluster;
    const listed = await Promise.all(
      [rootPath, parseFilePath('/folder')].map(async (directory) => {
        const { value } = await this.#settled(files.list(directory, { limit: 1_000 }));
        const entries = value?.entries.filter(({ kind }) => kind === 'file') ?? [];
        return entries.map(({ name }) => `${directory === '/' ? '' : directory}/${name}`);
      }),
    );
    expect(listed.flat().sort()).toEqual([...this.#files.keys()].sort());
    for (const [path, expected] of this.#files) {
      const { value, error } = await this.#settled(this.#get(path));
      if (value) expectOneOf(value, [expected], `${path}`);
      else {
        expect(['unavailable', 'corrupt'], error?.message).toContain(error?.kind);
        const file = (await files.find({ path }))?.file as FileRecord;
        expect(await this.#isReadable(file), `${path}: ${error?.message}`).toBe(false);
      }
    }
    await this.#cluster.idle();
  }

  async #isReadable(file: FileRecord): Promise<boolean> {
    for (const { blobId } of file.blobs) {
      const { alive } = await this.#cluster.goodHolders(blobId);
      if (alive.length === 0) return false;
    }
    return true;
  }

  async #checkConverged(): Promise<void> {
    const { metadata, nodes, files } = this.#cluster;
    const wanted = new Map<string, string[]>(nodes.all.map(({ name }) => [name, []]));
    for (const path of this.#files.keys()) {
      const file = (await files.find({ path }))?.file as FileRecord;
      for (const { blobId } of file.blobs) {
        const rows = (await metadata.replicasOf([blobId])).get(blobId) ?? [];
        expect(rows.map(({ state }) => state)).toEqual(Array(copies).fill('stored'));
        expect(rows.filter(({ role }) => role === 'primary')).toHaveLength(1);
        const { alive } = await this.#cluster.goodHolders(blobId);
        expect(alive, `good copies of ${path}`).toHaveLength(copies);
        for (const { name } of alive) wanted.get(name)?.push(blobId);
      }
    }
    const { counts, held } = await this.#state();
    expect(counts).toMatchObject({
      replicas: { wanted: 0, corrupt: 0, dropping: 0 },
      blobsShort: 0,
      blobsWithoutCopy: 0,
    });
    const expected = Object.fromEntries([...wanted].map(([name, ids]) => [name, ids.sort()]));
    expect(held, 'nodes hold what they should and nothing else').toEqual(expected);
  }

  async #state() {
    const counts = await this.#cluster.metadata.counts();
    const { all } = this.#cluster.nodes;
    const held = Object.fromEntries(all.map(({ name, store }) => [name, [...store.ids].sort()]));
    return { counts, held };
  }

  // ── small change ──

  /** False when the cluster was not able to. */
  async #tryToPut(request: RandomRequest, what: string): Promise<boolean> {
    const { value, error } = await this.#settled(this.#send(request));
    this.#log(
      `${what} ${request.path} (${request.onConflict}): ${value?.info.path ?? error?.kind}`,
    );
    if (value) this.#accept(value, request.bytes);
    else if (error?.kind === 'precondition-failed') {
      expect(request.onConflict).toBe('fail');
      expect(this.#files.has(request.path)).toBe(true);
    } else expect(['unavailable', 'no-room']).toContain(error?.kind);
    return value !== undefined || error?.kind === 'precondition-failed';
  }

  #randomRequest(): RandomRequest {
    const sizes = [0, 1, 100, 700, 1_499, 1_500, 1_501, 3_000, this.#below(6_000)];
    const bytes = patternBytes(this.#pick(sizes), this.#nextContent());
    const onConflict: OnConflict = this.#pick(['replace', 'replace', 'rename', 'fail']);
    const isDeclared = this.#below(2) === 0;
    return {
      path: this.#pick(this.#names),
      bytes,
      onConflict,
      ...(isDeclared ? { sizeBytes: bytes.byteLength } : {}),
      signal: neverAborted(),
    };
  }

  #nextContent(): number {
    this.#contents += 1;
    return this.#contents;
  }

  #send({ bytes, ...request }: RandomRequest): Promise<PutOutcome> {
    const body = Readable.from(chunksOf(bytes, 400), { objectMode: false });
    return this.#cluster.files.put({ ...request, body });
  }

  async #get(path: FilePath, range?: ByteRange): Promise<Buffer> {
    const named = await this.#cluster.files.find({ path });
    if (!named) throw new StoreError('not-found', `There is no ${path}.`);
    const { bytes } = await this.#cluster.files.open(named.file, {
      signal: neverAborted(),
      ...(range ? { range } : {}),
    });
    return bytesOf(bytes);
  }

  #accept({ info }: PutOutcome, bytes: Buffer): void {
    this.#files.set(info.path, bytes);
  }

  /** One of these contents has the name now, and stays with it. */
  async #learn(path: FilePath, possible: readonly Buffer[]): Promise<void> {
    const named = await this.#cluster.files.find({ path });
    const sizes = possible.filter(({ byteLength }) => byteLength === named?.file.sizeBytes);
    const { value } = await this.#settled(this.#get(path));
    const content = value ? sizes.find((bytes) => bytes.equals(value)) : sizes[0];
    expect(content, `${path} after a race`).toBeDefined();
    this.#files.set(path, content as Buffer);
  }

  async #settled<T>(work: Promise<T>): Promise<{ value?: T; error?: StoreError }> {
    try {
      return { value: await work };
    } catch (error) {
      if (error instanceof StoreError) return { error };
      throw error;
    }
  }

  #endTrouble(): void {
    this.#cluster.trouble = undefined;
    for (const { store } of this.#cluster.nodes.all) {
      store.faultAfterPut = undefined;
      store.breakPutAfterBytes = undefined;
    }
  }

  #paths(): FilePath[] {
    return [...this.#files.keys()].sort();
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)] as T;
  }

  #log(line: string): void {
    this.trace.push(line);
  }
}

function chunksOf(bytes: Buffer, chunkBytes: number): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
    chunks.push(bytes.subarray(at, at + chunkBytes));
  }
  return chunks;
}

function expectOneOf(given: Buffer, possible: readonly (Buffer | undefined)[], what: string): void {
  const isOne = possible.some((bytes) => bytes?.equals(given));
  expect(isOne, `${what}: ${given.byteLength} bytes that nobody put there`).toBe(true);
}
