import { cp, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { type NodeId, newBlobId, newNodeId, type RestoreProgress, StoreError } from '@dfs/shared';
import { journalLineOf } from '@dfs/shared/cluster';
import {
  FakeClock,
  MemoryBlobStore,
  MemoryJournal,
  makeDescription,
  md5Of,
  recordingLogger,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { makeMetadataAside, openMetadataRepository } from '../metadata/open-metadata-repository.ts';
import { bindRequest, kindOf, path } from '../metadata/testing/metadata-fixtures.ts';
import type { RestoreSource } from './restore-source.ts';
import { Restorer } from './restorer.ts';

/** A node in memory: its blobs, its part of the journal. */
class Node {
  readonly id: NodeId = newNodeId();
  readonly store: MemoryBlobStore;
  readonly journal: MemoryJournal;
  readonly #metadata: MetadataRepository;
  isAway = false;

  constructor(metadata: MetadataRepository, clock: FakeClock) {
    this.#metadata = metadata;
    this.store = new MemoryBlobStore({ clock });
    this.journal = new MemoryJournal({ clusterId: metadata.identity().clusterId });
  }

  /** Everything of this database's journal is here. */
  async keep(from = this.#metadata): Promise<void> {
    const { epoch } = from.identity();
    const records = await from.journalRecords(0, 10_000);
    await this.journal.appendRecords(
      records.map(({ number, at, images }) =>
        journalLineOf({ number, epoch, at, imagesText: JSON.stringify(images) }),
      ),
    );
  }

  source(blobCount = 1): RestoreSource {
    const { id, store, journal } = this;
    const { clusterId } = this.#metadata.identity();
    return {
      id,
      name: `node-${id.slice(-4)}`,
      url: 'http://127.0.0.1:1',
      store,
      journal,
      status: async () => {
        if (this.isAway) throw new Error('It is away.');
        const sizes = { capacityBytes: 1, freeBytes: 1, usedBytes: 0, blobCount };
        return { nodeId: id, name: 'node', version: '0', clusterId, epoch: 1, ...sizes };
      },
      close: async () => {},
    };
  }
}

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let clock: FakeClock;
let live: MetadataRepository;
let own: MetadataRepository;
let nodes: Node[];
let recovery: string | undefined;
let heard: { epoch: number; journal: number };

const openIn = (name: string) =>
  openMetadataRepository({ sqliteFile: `${folder.path}/${name}/metadata.sqlite`, clock });

beforeEach(async () => {
  folder = await temporaryDirectory();
  clock = new FakeClock();
  live = await openIn('live');
  own = await openIn('own');
  nodes = [new Node(live, clock), new Node(live, clock)];
  recovery = 'The database is empty.';
  heard = { epoch: 0, journal: 0 };
});

afterEach(async () => {
  await Promise.all([live.close(), own.close()]);
  await folder.remove();
});

/** Binds a file in a database; its blob lies on the first node. */
async function store(metadata: MetadataRepository, at: string, content = at): Promise<void> {
  const blobId = newBlobId();
  const [node] = nodes as [Node, ...Node[]];
  const description = {
    ...makeDescription({ blobId, path: at, createdAtMs: clock.now() }),
    ...live.identity(),
  };
  await node.store.put(blobId, Buffer.from(content), { description });
  const request = bindRequest(at, { content, blobId, nodes: [node.id] });
  await metadata.bindFiles([request]);
}

function restorer(): Restorer {
  const made = new Restorer({
    metadata: own,
    nodes: {
      recovery: () => recovery,
      restoreSources: () => nodes.map((node) => node.source()),
      isAnyoneHeard: () => true,
      newcomerAtMs: () => 0,
      highestEpoch: () => 0,
      latestHeard: () => heard,
      endRecovery: () => {
        recovery = undefined;
      },
      isUp: () => true,
    },
    openAside: (sqliteFile) => makeMetadataAside({ sqliteFile, clock }),
    clock,
    logger: recordingLogger().logger,
    config: { heartbeatEveryMs: 10, trashTtlMs: 0 },
  });
  // Nobody has to be waited for.
  clock.advance(10_000);
  return made;
}

const restore = (request = {}) => restorer().run(request, () => {});

it('rebuilds an empty database and ends the recovery', async () => {
  await store(live, '/a');
  await nodes[1]?.keep();
  const told: RestoreProgress['step'][] = [];
  const report = await restorer().run({}, ({ step }) => told.push(step));
  expect(report).toMatchObject({ base: 'journal', files: 1, epoch: 2, journal: { last: 1 } });
  expect(own.identity()).toEqual({ clusterId: live.identity().clusterId, epoch: 2 });
  expect((await own.findFile(path('/a')))?.file.md5).toBe(md5Of(Buffer.from('/a')));
  expect(recovery).toBeUndefined();
  expect(new Set(told)).toEqual(new Set(['nodes', 'records', 'copies', 'deriving']));
});

it('leaves a database alone that is not behind its nodes, and runs once at a time', async () => {
  await store(own, '/mine');
  recovery = undefined;
  await expect(restore()).rejects.toMatchObject(kindOf('conflict'));
  const one = restorer();
  const runs = await Promise.allSettled([one.run({}, () => {}), one.run({}, () => {})]);
  for (const run of runs) expect(run).toMatchObject({ reason: kindOf('conflict') });
  expect(await own.findFile(path('/mine'))).toBeDefined();
});

it('refuses when no node that answers holds anything', async () => {
  for (const node of nodes) node.isAway = true;
  await expect(restore()).rejects.toMatchObject(kindOf('not-found'));
  expect(own.restore.unfinished).toBeUndefined();
});

it('tells of a node that did not answer, and of one that broke off', async () => {
  await store(live, '/a');
  for (const node of nodes) await node.keep();
  const [first, second] = nodes as [Node, Node];
  second.isAway = true;
  first.store.fault = (operation) => {
    if (operation === 'inventory') throw new Error('The disk is bad.');
  };
  const report = await restore();
  expect(report.warnings.join('\n')).toMatch(/did not answer/);
  expect(report.warnings.join('\n')).toMatch(/not read to its end/);
  expect(report.withoutCopy).toEqual({ count: 1, paths: ['/a'] });
  expect(report.nodes.map(({ problem }) => problem !== undefined)).toEqual([true, true]);
});

it('tells all that it put aside and that has no content, beyond what it names', async () => {
  await store(live, '/a');
  await nodes[0]?.keep();
  const { restore: ownRestore } = own;
  const mend = ownRestore.mend.bind(ownRestore);
  ownRestore.mend = async () => ({
    ...(await mend()),
    namesWithoutContent: { count: 1_234, names: ['x'] },
    orphans: { count: 2_345, paths: ['/.restored/lost-1'] },
  });
  const report = await restore();
  expect(report.doubtful).toEqual({
    count: 2_345,
    files: [{ path: '/.restored/lost-1', why: 'its directory is not known' }],
  });
  expect(report.warnings.join('\n')).toMatch(/1234 names had no content/);
});

it('stays unfinished when it fails midway, and succeeds the next time', async () => {
  await store(live, '/a');
  const [node] = nodes as [Node, Node];
  await node.keep();
  const failing = own.restore.mend;
  own.restore.mend = async () => {
    throw new Error('The master dies here.');
  };
  await expect(restore()).rejects.toThrow('dies here');
  expect(own.restore.unfinished).toBe('whole');
  expect(recovery).toBeDefined();
  own.restore.mend = failing;
  expect(await restore()).toMatchObject({ files: 1 });
  expect(own.restore.unfinished).toBeUndefined();
});

/** The master's own database becomes a copy of the live one as it is now. */
async function copyLive(): Promise<void> {
  await Promise.all([live.close(), own.close()]);
  await rm(`${folder.path}/own`, { recursive: true });
  await cp(`${folder.path}/live`, `${folder.path}/own`, { recursive: true });
  live = await openIn('live');
  own = await openIn('own');
  nodes = [new Node(live, clock), new Node(live, clock)];
  recovery = 'The database is older than its nodes.';
}

it('goes on from an older copy by the records that it lacks', async () => {
  await store(live, '/a');
  await copyLive();
  await store(live, '/b');
  await nodes[0]?.keep();
  expect(await restore()).toMatchObject({ base: 'database', journal: { last: 2, records: 1 } });
  expect(await own.findFile(path('/a'))).toBeDefined();
  expect(await own.findFile(path('/b'))).toBeDefined();
});

it('does not build upon a copy that went on by itself', async () => {
  await store(live, '/a');
  await copyLive();
  clock.advance(1_000);
  await store(live, '/b');
  await store(live, '/c');
  clock.advance(1_000);
  await store(own, '/stray');
  await nodes[0]?.keep();
  expect(await restore()).toMatchObject({ base: 'journal', journal: { last: 3 } });
  expect(await own.findFile(path('/b'))).toBeDefined();
  // What was written to the copy is known from its blob alone.
  expect(await own.findFile(path('/stray'))).toBeDefined();
});

/** A snapshot of the live database as one has it that began at change `from`: what was named since has its content there, but no name. */
async function fuzzySnapshot(from: number): Promise<Readable> {
  const { epoch } = live.identity();
  const [begun] = await live.journalRecords(from - 1, 1);
  const late = (await live.journalRecords(from, 100)).flatMap(({ images }) =>
    images.filter(({ table }) => table === 'entries').map(({ key }) => key['id']),
  );
  const lines = (await text(Readable.from(live.snapshot({ isConsistent: true }))))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter((line) => !(line.table === 'entries' && late.includes(line.key.id)));
  Object.assign(lines[0].snapshot, { epoch, from, at: begun?.at });
  Object.assign(lines.at(-1).end, { from, images: lines.length - 2 });
  const bytes = gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  return Readable.from([bytes]);
}

it('gives no acknowledged bytes away when a record that a snapshot needs turns out to be damaged', async () => {
  await store(live, '/early');
  clock.advance(60_000);
  await store(live, '/x');
  clock.advance(60_000);
  await store(live, '/d/late');
  const [node] = nodes as [Node, Node];
  await node.keep();
  await node.journal.putSnapshot({ epoch: 1, from: 1 }, await fuzzySnapshot(1));
  // Announced as whole, and found to be damaged when it is read.
  node.journal.intercept = (request) => {
    if (request === 'readRecords') node.journal.damage(2);
  };
  const report = await restore();
  expect(report).toMatchObject({ base: 'snapshot', journal: { last: 1 }, files: 3 });
  expect([...report.found.paths].sort()).toEqual(['/d/late', '/x']);
  expect(report.warnings.join('\n')).toMatch(/contents without a name/);
  for (const name of ['/early', '/x', '/d/late']) {
    expect((await own.findFile(path(name)))?.file.md5).toBe(md5Of(Buffer.from(name)));
  }
  expect(await own.counts()).toMatchObject({ blobsWithoutCopy: 0, logicalBytes: 6 + 2 + 7 });
  clock.advance(86_400_000);
  const nowMs = clock.now();
  const held = new Set<never>();
  expect(await own.releaseUnreferenced({ beforeMs: nowMs, nowMs, held, limit: 100 })).toBe(0);
});

it('does not take a replay that broke off for a whole one, and can be run again', async () => {
  await store(live, '/a');
  await store(live, '/b');
  const [node] = nodes as [Node, Node];
  await node.keep();
  let failures = Number.POSITIVE_INFINITY;
  node.journal.intercept = (request) => {
    if (request !== 'readRecords' || failures === 0) return;
    failures -= 1;
    throw new StoreError('unavailable', 'It does not answer.');
  };
  const failed = { kind: 'unavailable', message: expect.stringMatching(/change 0 of 2/) };
  await expect(restore()).rejects.toMatchObject(failed);
  expect(own.restore.unfinished).toBe('whole');
  expect(recovery).toBeDefined();
  failures = 2;
  expect(await restore()).toMatchObject({ files: 2, found: { count: 0 }, journal: { last: 2 } });
});

it('goes on without records that nobody gives only when the loss is accepted', async () => {
  await store(live, '/a');
  const [node] = nodes as [Node, Node];
  await node.keep();
  node.journal.intercept = (request) => {
    if (request === 'readRecords') throw new StoreError('unavailable', 'It does not answer.');
  };
  await expect(restore()).rejects.toMatchObject(kindOf('unavailable'));
  expect(await restore({ acceptLoss: true })).toMatchObject({ files: 1, found: { paths: ['/a'] } });
});

it('does not begin without the nodes that keep later changes, unless their loss is accepted', async () => {
  await store(live, '/a');
  const [node] = nodes as [Node, Node];
  heard = { epoch: 1, journal: 1 };
  // Blobs alone are there.
  await expect(restore()).rejects.toMatchObject(kindOf('unavailable'));
  await node.keep();
  heard = { epoch: 1, journal: 9 };
  const behind = {
    kind: 'unavailable',
    message: expect.stringMatching(/up to 9 .*up to 1 .* 8 of the latest changes are missing/),
  };
  const hint = expect.stringContaining('"dfs restore --accept-loss"');
  await expect(restore()).rejects.toMatchObject({ ...behind, hint });
  heard = { epoch: 2, journal: 1 };
  await expect(restore()).rejects.toMatchObject(kindOf('unavailable'));
  expect(own.restore.unfinished).toBeUndefined();
  expect(await own.isEmpty()).toBe(true);
  const report = await restore({ acceptLoss: true });
  expect(report.warnings.join('\n')).toMatch(/told of changes up to 1 \(epoch 2\)/);
  expect(await own.findFile(path('/a'))).toBeDefined();
});

it('needs no consent when everything that nodes told of is there', async () => {
  await store(live, '/a');
  await nodes[0]?.keep();
  heard = { epoch: 1, journal: 1 };
  expect(await restore()).toMatchObject({ files: 1 });
});

it('does not go on from a copy that could not be compared with its nodes', async () => {
  await store(live, '/a');
  await copyLive();
  await store(live, '/b');
  const [node] = nodes as [Node, Node];
  await node.keep();
  node.journal.intercept = (request) => {
    if (request === 'readRecords') throw new StoreError('unavailable', 'It does not answer.');
  };
  await expect(restore()).rejects.toMatchObject(kindOf('unavailable'));
  expect(own.restore.unfinished).toBeUndefined();
  node.journal.intercept = undefined;
  expect(await restore()).toMatchObject({ base: 'database', journal: { last: 2 } });
});

it('takes a damaged record for no answer whether a copy went on by itself, where no other node gives it', async () => {
  await store(live, '/a');
  await copyLive();
  await store(live, '/b');
  const keepers = async (damaged: readonly boolean[]) => {
    nodes = damaged.map(() => new Node(live, clock));
    for (const [index, node] of nodes.entries()) {
      await node.keep();
      // Announced as whole, and found to be damaged when it is read.
      node.journal.intercept = (request) => {
        if (request === 'readRecords' && damaged[index]) node.journal.damage(1);
      };
    }
  };
  await keepers([true, true]);
  await expect(restore()).rejects.toMatchObject(kindOf('corrupt'));
  expect(own.restore.unfinished).toBeUndefined();
  await keepers([true, false]);
  expect(await restore()).toMatchObject({ base: 'database', journal: { last: 2 } });
});
