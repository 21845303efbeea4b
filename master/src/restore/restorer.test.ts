import { cp, rm } from 'node:fs/promises';
import { type NodeId, newBlobId, newNodeId, type RestoreProgress } from '@dfs/shared';
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

const openIn = (name: string) =>
  openMetadataRepository({ sqliteFile: `${folder.path}/${name}/metadata.sqlite`, clock });

beforeEach(async () => {
  folder = await temporaryDirectory();
  clock = new FakeClock();
  live = await openIn('live');
  own = await openIn('own');
  nodes = [new Node(live, clock), new Node(live, clock)];
  recovery = 'The database is empty.';
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
