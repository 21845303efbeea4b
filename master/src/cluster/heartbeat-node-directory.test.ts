import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Heartbeat, type NodeId, newClusterId, newNodeId, nodeHeaders } from '@dfs/shared';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { FakeClock, type RecordedLine, recordingLogger } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MetadataRepository, NodeRecord } from '../metadata/metadata-repository.ts';
import {
  HeartbeatNodeDirectory,
  type NodeDirectoryDependencies,
} from './heartbeat-node-directory.ts';

const clusterId = newClusterId();
const config = { nodeTimeoutMs: 15_000, heartbeatEveryMs: 3_000 };

let clock: FakeClock;
let saved: Map<NodeId, NodeRecord>;
let isEmpty: boolean;
let lines: readonly RecordedLine[];
let directory: HeartbeatNodeDirectory;
const servers: Server[] = [];

function makeDirectory(more: Partial<NodeDirectoryDependencies> = {}): HeartbeatNodeDirectory {
  // Of the repository the directory needs these few.
  const metadata = {
    restore: {} as MetadataRepository['restore'],
    identity: () => ({ clusterId, epoch: 1 }),
    journalNumber: () => 10,
    isEmpty: async () => isEmpty,
    listNodes: async () => [...saved.values()],
    saveNode: async (node: NodeRecord) => {
      saved.set(node.id, node);
    },
  } as Partial<MetadataRepository> as MetadataRepository;
  const { logger, lines: recorded } = recordingLogger();
  lines = recorded;
  return new HeartbeatNodeDirectory({
    metadata,
    clock,
    logger,
    keyring: ClusterKeyring.of(),
    config,
    ...more,
  });
}

beforeEach(async () => {
  clock = new FakeClock();
  saved = new Map();
  isEmpty = false;
  directory = makeDirectory();
  await directory.start();
});

afterEach(async () => {
  await directory.close();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A process that answers for one node id, as a storage node's port does. */
async function serve(id: NodeId, port = 0): Promise<{ url: string; port: number; server: Server }> {
  const server = createServer((request, response) => {
    const isMeant = request.headers[nodeHeaders.node] === id;
    response.statusCode = isMeant ? 200 : 421;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ nodeId: id }));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  servers.push(server);
  const { port: actual } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${actual}`, port: actual, server };
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

const heartbeatOf = (overrides: Partial<Heartbeat> = {}): Heartbeat => ({
  nodeId: newNodeId(),
  instanceId: 'instance-1',
  name: 'attic',
  url: 'http://127.0.0.1:1',
  port: 1,
  version: '0',
  clusterId,
  epoch: 1,
  journal: 0,
  capacityBytes: 1_000,
  freeBytes: 600,
  usedBytes: 400,
  blobCount: 3,
  reserveBytes: 100,
  loopAgeMs: 0,
  diskWriteAgeMs: 0,
  dataDir: '/data',
  pid: 1,
  ...overrides,
});

const pass = (ms: number) => {
  for (let passed = 0; passed < ms; passed += 1_000) {
    clock.advance(1_000);
    directory.tick();
  }
};

describe('HeartbeatNodeDirectory', () => {
  it('tells by how much this clock is ahead of at least half of the nodes', async () => {
    expect(directory.aheadOfNodesMs()).toBeUndefined();
    const nodeIds = [newNodeId(), newNodeId(), newNodeId()];
    const twoDaysMs = 2 * 86_400_000;
    for (const [index, nodeId] of nodeIds.entries()) {
      const nodeTimeMs = clock.now() - (index === 0 ? twoDaysMs : 0);
      await directory.heartbeat(heartbeatOf({ nodeId, name: `node-${index}`, nodeTimeMs }), '');
    }
    // One node of three that is wrong says nothing.
    expect(directory.aheadOfNodesMs()).toBe(0);
    // A clock that is set after the nodes were heard is noticed before they are heard again.
    clock.set(clock.now() + twoDaysMs);
    clock.advance(1_000);
    expect(directory.aheadOfNodesMs()).toBe(twoDaysMs);
  });

  it('writes down for a heartbeat the time that is trusted', async () => {
    await directory.close();
    const rightMs = clock.now() - 86_400_000;
    directory = makeDirectory({ trustedNowMs: () => rightMs });
    await directory.start();
    await directory.heartbeat(heartbeatOf(), '');
    expect([...saved.values()]).toMatchObject([{ lastHeartbeatAtMs: rightMs }]);
  });

  it('remembers the newest time at which a node was heard before a start', async () => {
    expect(directory.newestRecordedMs).toBe(0);
    await directory.heartbeat(heartbeatOf(), '');
    const heardAtMs = clock.now();
    await directory.close();
    clock.advance(3_600_000);
    directory = makeDirectory();
    await directory.start();
    expect(directory.newestRecordedMs).toBe(heardAtMs);
  });

  it('registers a node at its first heartbeat, remembers it and tells its listeners', async () => {
    const changes: unknown[] = [];
    directory.onChange((change) => changes.push(change));
    const heartbeat = heartbeatOf();
    const answer = await directory.heartbeat(heartbeat, '127.0.0.1');
    expect(answer).toMatchObject({ clusterId, epoch: 1, journal: 10, masterTimeMs: clock.now() });
    expect(directory.find(heartbeat.nodeId)).toMatchObject({ state: 'up', freeBytes: 500 });
    expect(saved.get(heartbeat.nodeId)?.url).toBe(heartbeat.url);
    expect(changes).toEqual([{ id: heartbeat.nodeId, state: 'up', isNew: true }]);
  });

  it.each([
    ['::ffff:10.0.0.7', 'http://10.0.0.7:7050'],
    ['10.0.0.7', 'http://10.0.0.7:7050'],
    ['fd00::7', 'http://[fd00::7]:7050'],
  ])('takes the address of the connection %s where none is announced', async (address, url) => {
    const heartbeat = heartbeatOf({ url: '', port: 7050 });
    await directory.heartbeat(heartbeat, address);
    expect(directory.find(heartbeat.nodeId)?.url).toBe(url);
  });

  it('counts a silent node as down, and as up when it is heard again', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    pass(15_000);
    expect(directory.find(heartbeat.nodeId)?.state).toBe('up');
    pass(1_000);
    expect(directory.find(heartbeat.nodeId)?.state).toBe('down');
    await directory.heartbeat(heartbeat, '');
    expect(directory.find(heartbeat.nodeId)).toMatchObject({ state: 'up', silentForMs: 0 });
  });

  it('holds nobody silent for the time in which it stood still itself', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    pass(10_000);
    clock.advance(60_000);
    directory.tick();
    expect(directory.find(heartbeat.nodeId)).toMatchObject({ state: 'up', silentForMs: 0 });
    pass(16_000);
    expect(directory.find(heartbeat.nodeId)?.state).toBe('down');
  });

  it('is not disturbed by a wall clock that jumps', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    clock.set(clock.now() + 86_400_000);
    directory.tick();
    expect(directory.find(heartbeat.nodeId)?.state).toBe('up');
  });

  it('gives no new blobs to a node whose disk or main loop stands still', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    await directory.heartbeat({ ...heartbeat, diskWriteAgeMs: 120_000 }, '');
    expect(directory.find(heartbeat.nodeId)?.state).toBe('suspect');
    await directory.heartbeat({ ...heartbeat, loopAgeMs: 14_000 }, '');
    expect(directory.find(heartbeat.nodeId)?.state).toBe('suspect');
  });

  it('counts a node as down whose main loop hangs though it is heard, and as up when it turns again', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    for (let loopAgeMs = 3_000; loopAgeMs <= 30_000; loopAgeMs += 3_000) {
      pass(3_000);
      await directory.heartbeat({ ...heartbeat, loopAgeMs }, '');
      const state = loopAgeMs > 15_000 ? 'down' : loopAgeMs > 10_000 ? 'suspect' : 'up';
      expect(directory.find(heartbeat.nodeId)?.state, `${loopAgeMs}`).toBe(state);
    }
    // As long as it hangs it is silent: its copies are made up for in the end.
    expect(directory.find(heartbeat.nodeId)?.silentForMs).toBe(30_000);
    await directory.heartbeat(heartbeat, '');
    expect(directory.find(heartbeat.nodeId)).toMatchObject({ state: 'up', silentForMs: 0 });
  });

  it('follows a node to another address once the old one does not answer for it', async () => {
    const id = newNodeId();
    const old = await serve(id);
    await directory.heartbeat(heartbeatOf({ nodeId: id, url: old.url }), '');
    await stop(old.server);
    const moved = await serve(id);
    await directory.heartbeat(
      heartbeatOf({ nodeId: id, url: moved.url, instanceId: 'instance-2' }),
      '',
    );
    expect(directory.find(id)?.url).toBe(moved.url);
  });

  it('lets two nodes swap their addresses', async () => {
    const [first, second] = [newNodeId(), newNodeId()];
    const a = await serve(first);
    const b = await serve(second);
    await directory.heartbeat(heartbeatOf({ nodeId: first, url: a.url }), '');
    await directory.heartbeat(heartbeatOf({ nodeId: second, url: b.url }), '');
    await stop(a.server);
    await stop(b.server);
    await serve(second, a.port);
    await serve(first, b.port);
    const swapped = { instanceId: 'instance-2' };
    await directory.heartbeat(heartbeatOf({ nodeId: first, url: b.url, ...swapped }), '');
    await directory.heartbeat(heartbeatOf({ nodeId: second, url: a.url, ...swapped }), '');
    expect(directory.find(first)?.url).toBe(b.url);
    expect(directory.find(second)?.url).toBe(a.url);
  });

  it('keeps a copied disk out while the first process answers', async () => {
    const id = newNodeId();
    const original = await serve(id);
    const copy = await serve(id);
    await directory.heartbeat(heartbeatOf({ nodeId: id, url: original.url }), '');
    const claim = heartbeatOf({ nodeId: id, url: copy.url, instanceId: 'instance-2' });
    await expect(directory.heartbeat(claim, '')).rejects.toMatchObject({ kind: 'fenced' });
    expect(directory.find(id)?.url).toBe(original.url);
  });

  it('suspects a node at the first request without an answer, until it answers a probe', async () => {
    const id = newNodeId();
    const { url, port, server } = await serve(id);
    await directory.heartbeat(heartbeatOf({ nodeId: id, url }), '');
    await stop(server);
    await expect(directory.storeOf(id).inventory(undefined, 1)).rejects.toMatchObject({
      kind: 'unavailable',
    });
    expect(directory.find(id)?.state).toBe('suspect');
    const isUp = new Promise<void>((resolve) => {
      directory.onChange(({ state }) => state === 'up' && resolve());
    });
    await serve(id, port);
    await isUp;
    expect(directory.find(id)?.state).toBe('up');
  });

  it('refuses a node of another cluster', async () => {
    const stranger = heartbeatOf({ clusterId: newClusterId() });
    await expect(directory.heartbeat(stranger, '')).rejects.toMatchObject({
      kind: 'wrong-cluster',
    });
    expect(directory.snapshots()).toEqual([]);
    expect(directory.recovery()).toBeUndefined();
  });

  it('goes into recovery when its database is empty and a node is full', async () => {
    isEmpty = true;
    const full = heartbeatOf({ clusterId: newClusterId() });
    await expect(directory.heartbeat(full, '')).rejects.toMatchObject({ kind: 'in-recovery' });
    expect(directory.recovery()).toContain('database is empty');
  });

  it('remembers the latest change that refused nodes of one cluster told of', async () => {
    isEmpty = true;
    const theirs = newClusterId();
    for (const [epoch, journal] of [
      [1, 900],
      [2, 70],
      [2, 80],
    ] as const) {
      const full = heartbeatOf({ nodeId: newNodeId(), clusterId: theirs, epoch, journal });
      await expect(directory.heartbeat(full, '')).rejects.toMatchObject({ kind: 'in-recovery' });
    }
    expect(directory.refused.latestHeard(theirs)).toEqual({ epoch: 2, journal: 80 });
    expect(directory.refused.latestHeard(newClusterId())).toEqual({ epoch: 0, journal: 0 });
    directory.endRecovery();
    expect(directory.refused.latestHeard(theirs)).toEqual({ epoch: 0, journal: 0 });
  });

  it('says so when two nodes have one name', async () => {
    const first = heartbeatOf({ name: 'attic' });
    const second = heartbeatOf({ name: 'attic', url: 'http://127.0.0.1:2' });
    await directory.heartbeat(first, '');
    await directory.heartbeat(first, '');
    expect(lines.filter(({ message }) => message.includes('one name'))).toEqual([]);
    await directory.heartbeat(second, '');
    expect(lines.filter(({ message }) => message.includes('one name'))).toHaveLength(1);
    expect(directory.snapshots()).toHaveLength(2);
  });

  it('counts the room of an upload that is on its way as taken', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    const release = directory.reserve(heartbeat.nodeId, 450);
    expect(directory.find(heartbeat.nodeId)?.freeBytes).toBe(50);
    release();
    release();
    expect(directory.find(heartbeat.nodeId)?.freeBytes).toBe(500);
  });

  it('knows its nodes after a restart, and trusts none as up before it is heard', async () => {
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    await directory.close();
    directory = makeDirectory();
    await directory.start();
    expect(directory.find(heartbeat.nodeId)).toMatchObject({ state: 'suspect', name: 'attic' });
  });

  it('takes its database for confirmed when a node is heard that saw nothing newer', async () => {
    expect(directory.isConfirmed()).toBe(true);
    const heartbeat = heartbeatOf();
    await directory.heartbeat(heartbeat, '');
    await directory.close();
    directory = makeDirectory();
    await directory.start();
    expect(directory.isConfirmed()).toBe(false);
    const ahead = { ...heartbeat, clusterId, journal: 1_000_000 };
    await expect(directory.heartbeat(ahead, '')).rejects.toMatchObject({ kind: 'in-recovery' });
    expect(directory.isConfirmed()).toBe(false);
    await directory.heartbeat(heartbeat, '');
    expect(directory.isConfirmed()).toBe(true);
  });
});

describe('a node that is drained or removed', () => {
  const restart = async () => {
    await directory.close();
    directory = makeDirectory();
    await directory.start();
  };

  it('stays drained over heartbeats, silence and a restart of the master, until that is called off', async () => {
    const heartbeat = heartbeatOf();
    const { nodeId } = heartbeat;
    await directory.heartbeat(heartbeat, '');
    await directory.drain(nodeId, true);
    await directory.heartbeat(heartbeat, '');
    expect(directory.find(nodeId)).toMatchObject({ state: 'draining', isDraining: true });
    pass(16_000);
    expect(directory.find(nodeId)).toMatchObject({ state: 'down', isDraining: true });
    await restart();
    expect(directory.find(nodeId)).toMatchObject({ state: 'suspect', isDraining: true });
    await directory.heartbeat(heartbeat, '');
    expect(directory.find(nodeId)).toMatchObject({ state: 'draining' });
    await directory.drain(nodeId, false);
    expect(directory.find(nodeId)).toMatchObject({ state: 'up' });
    await restart();
    await directory.heartbeat(heartbeat, '');
    expect(directory.find(nodeId)?.isDraining).toBeUndefined();
  });

  it('is suspected like any other when a request fails, and drained again when it answers', async () => {
    const id = newNodeId();
    const { url, port, server } = await serve(id);
    await directory.heartbeat(heartbeatOf({ nodeId: id, url }), '');
    await directory.drain(id, true);
    await stop(server);
    await expect(directory.storeOf(id).inventory(undefined, 1)).rejects.toThrow();
    expect(directory.find(id)).toMatchObject({ state: 'suspect', isDraining: true });
    const isBack = new Promise<void>((resolve) => {
      directory.onChange(({ state }) => state === 'draining' && resolve());
    });
    await serve(id, port);
    await isBack;
  });

  it('is refused with one line once it is removed, also after a restart of the master', async () => {
    const changes: unknown[] = [];
    const heartbeat = heartbeatOf();
    const { nodeId } = heartbeat;
    await directory.heartbeat(heartbeat, '');
    directory.onChange((change) => changes.push(change));
    await directory.remove(nodeId);
    expect(changes).toEqual([{ id: nodeId, state: 'removed', isNew: false }]);
    expect(directory.snapshots()).toEqual([]);
    expect(directory.removed()).toEqual([nodeId]);
    const refusal = {
      kind: 'forbidden',
      message: expect.stringContaining('was removed from this cluster'),
    };
    for (let i = 0; i < 3; i += 1) {
      await expect(directory.heartbeat(heartbeat, '')).rejects.toMatchObject(refusal);
    }
    expect(lines.filter(({ message }) => message.includes('was removed'))).toHaveLength(1);
    await restart();
    await expect(directory.heartbeat(heartbeat, '')).rejects.toMatchObject(refusal);
    expect(directory.removed()).toEqual([nodeId]);
    // Under the old name with an empty disk, it is a new node.
    const fresh = heartbeatOf({ blobCount: 0 });
    await directory.heartbeat(fresh, '');
    expect(directory.find(fresh.nodeId)).toMatchObject({ state: 'up', name: heartbeat.name });
  });

  it('does not come back by a heartbeat that was on its way', async () => {
    const id = newNodeId();
    const { url } = await serve(id);
    await directory.heartbeat(heartbeatOf({ nodeId: id, url }), '');
    // Its old address is asked first, which takes a moment.
    const moved = heartbeatOf({ nodeId: id, url: 'http://127.0.0.1:1', instanceId: 'other' });
    const late = directory.heartbeat(moved, '').catch((error) => error);
    await directory.remove(id);
    expect(await late).toMatchObject({ kind: expect.stringMatching(/forbidden|fenced/) });
    expect(directory.snapshots()).toEqual([]);
    expect(saved.get(id)?.state).toBe('removed');
  });
});
