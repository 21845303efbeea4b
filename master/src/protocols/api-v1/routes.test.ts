import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { type BlobId, type LogAnswer, newBlobId, newNodeId, type StatusAnswer } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../../cluster/node-directory.ts';
import type { FileRecord, LogEntry } from '../../metadata/metadata-repository.ts';
import { snapshotOf, TestPublicServer, testKey } from '../testing/test-public-server.ts';
import { healthOf } from './status.ts';

let server: TestPublicServer;
let file: FileRecord;

beforeAll(async () => {
  server = await new TestPublicServer().start();
  file = await server.files.add('/dir/ø.txt', 'hello', { attributes: { a: 'b' } });
});
afterAll(() => server.stop());

const json = async (path: string) => {
  const answer = await server.fetch(path);
  return { status: answer.status, body: await answer.json() };
};
const iso = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

describe('stat', () => {
  it('tells all of a file', async () => {
    const { status, body } = await json('/api/v1/stat/dir/%C3%B8.txt');
    expect(status).toBe(200);
    expect(body).toEqual({
      path: '/dir/ø.txt',
      kind: 'file',
      created: iso,
      modified: iso,
      public: false,
      id: file.id,
      size: 5,
      md5: file.md5,
      contentType: 'application/octet-stream',
      attributes: { a: 'b' },
      primary: server.files.node,
      copies: { stored: 1, wanted: 3 },
      blobs: [{ id: file.blobs[0]?.blobId, offset: 0, size: 5, md5: file.md5 }],
    });
  });

  it.each(['/api/v1/stat/dir', '/api/v1/stat/dir/'])('tells of a directory: %s', async (path) => {
    const { body } = await json(path);
    expect(body).toEqual({
      path: '/dir',
      kind: 'directory',
      created: iso,
      modified: iso,
      public: false,
    });
  });

  it.each(['/api/v1/stat', '/api/v1/stat/'])('tells of the root: %s', async (path) => {
    expect((await json(path)).body).toMatchObject({ path: '/', kind: 'directory' });
  });

  it('of nothing is 404', async () => {
    expect((await json('/api/v1/stat/nowhere')).status).toBe(404);
  });
});

describe('replicas', () => {
  it('shows node, role, state and place of each copy', async () => {
    expect((await json('/api/v1/replicas/dir/%C3%B8.txt')).body).toEqual([
      {
        node: server.files.node,
        role: 'primary',
        state: 'stored',
        path: `/data/${file.blobs[0]?.blobId}`,
        blob: file.blobs[0]?.blobId,
        sequence: 0,
      },
    ]);
  });

  it('of a directory is 409, of nothing 404', async () => {
    expect((await json('/api/v1/replicas/dir')).status).toBe(409);
    expect((await json('/api/v1/replicas/nowhere')).status).toBe(404);
  });
});

describe('nodes and status', () => {
  it('shows every node', async () => {
    const { body } = await json('/api/v1/nodes');
    expect(body).toEqual([
      {
        ...server.files.node,
        url: 'http://127.0.0.1:7050',
        state: 'up',
        capacity: 1_000,
        used: 100,
        free: 900,
        silentFor: 1,
        dataDir: '/data',
      },
    ]);
  });

  it('sums up the store', async () => {
    server.counts = { ...server.counts, files: 2, directories: 1, logicalBytes: 10 };
    const { body } = await json('/api/v1/status');
    expect(body).toEqual({
      version: '1.2.3',
      clusterId: expect.any(String),
      epoch: 1,
      uptimeSeconds: expect.any(Number),
      health: 'whole',
      files: 2,
      directories: 1,
      bytes: 10,
      nodes: { up: 1, all: 1 },
      replicas: { wanted: 0, stored: 0, corrupt: 0, dropping: 0 },
      blobsShort: 0,
      blobsWithoutCopy: 0,
      blobsUnreachable: 0,
      blobsInDoubt: 0,
      healing: { copies: 0, bytes: 0, bytesPerSecond: 0, copiesPerSecond: 0, etaSeconds: 0 },
      away: [],
      draining: [],
      shortOfRoom: [],
      roomIsShort: false,
      rebalance: { running: false, movedCopies: 0, movedBytes: 0, spread: 0.25 },
    });
  });

  it('tells what is missing and how long that takes, by what was made lately', async () => {
    const { counts } = server;
    const replicas = { ...counts.replicas, wanted: 3, corrupt: 1 };
    server.counts = { ...counts, replicas, blobsShort: 1, missingBytes: 5_000 };
    server.copiedPerSecond = { copies: 2.04, bytes: 99.6 };
    const { body } = await json('/api/v1/status');
    expect(body).toMatchObject({
      health: 'healing',
      healing: { copies: 5, bytes: 5_000, bytesPerSecond: 100, copiesPerSecond: 2, etaSeconds: 51 },
    });
    server.copiedPerSecond = { copies: 0, bytes: 0 };
    const later = (await json('/api/v1/status')).body as StatusAnswer;
    expect(later.healing).not.toHaveProperty('etaSeconds');
    server.counts = counts;
  });

  it('tells of nodes that are away, drained or short of room, and what cannot be reached', async () => {
    const [waited, replaced] = ['waited', 'replaced'].map((name) => {
      return snapshotOf({ name, state: 'down', silentForMs: 20_000 });
    }) as [NodeSnapshot, NodeSnapshot];
    const drained = snapshotOf({ name: 'drained', state: 'draining', isDraining: true });
    const full = snapshotOf({ name: 'full', freeBytes: 9 });
    server.nodes.push(waited, replaced, drained, full);
    server.awaited = new Map([[waited.id, 1_500]]);
    server.lastCopies = 4;
    const nameOf = ({ id, name }: NodeSnapshot) => ({ id, name });
    const { body } = await json('/api/v1/status');
    expect(body).toMatchObject({
      health: 'lost',
      blobsUnreachable: 4,
      nodes: { up: 3, all: 5 },
      away: [
        { node: nameOf(waited), silentFor: 20, isReplaced: false, replacedIn: 2 },
        { node: nameOf(replaced), silentFor: 20, isReplaced: true },
      ],
      healing: { copies: 10, bytes: 700 },
      draining: [{ node: nameOf(drained), copiesLeft: 12 }],
      shortOfRoom: [{ node: nameOf(full), free: 9 }],
      // Two that are away have not taken their room with them.
      roomIsShort: false,
    });
    const listed = (await json('/api/v1/nodes')).body as { copiesLeft?: number }[];
    expect(listed.flatMap(({ copiesLeft }) => copiesLeft ?? [])).toEqual([12]);
    server.nodes.splice(1);
    server.awaited.clear();
  });

  it('does not call whole what only a node in doubt holds', async () => {
    server.nodes.push(snapshotOf({ name: 'odd', state: 'suspect' }));
    server.lastCopies = 3;
    const { body } = await json('/api/v1/status');
    expect(body).toMatchObject({ health: 'healing', blobsUnreachable: 0, blobsInDoubt: 3 });
    server.nodes.splice(1);
    server.lastCopies = 0;
  });

  it('takes the word of an admin on nodes, and of nobody else', async () => {
    const post = (path: string, body?: string) =>
      server.fetch(path, { method: 'POST', ...(body === undefined ? {} : { body }) });
    const { name, id } = server.files.node;
    expect((await post(`/api/v1/nodes/${name}/drain`)).status).toBe(200);
    expect((await post(`/api/v1/nodes/${id}/drain`, '{"cancel":true}')).status).toBe(200);
    expect((await post('/api/v1/rebalance', '{}')).status).toBe(200);
    expect((await post('/api/v1/rebalance', '{"cancel":true}')).status).toBe(200);
    const remove = (query: string) =>
      server.fetch(`/api/v1/nodes/${name}${query}`, { method: 'DELETE' });
    expect(await (await remove('')).json()).toEqual({ id, name });
    await remove('?force=1');
    expect(server.asked.splice(0)).toEqual([
      `drain ${name}`,
      `stop draining ${id}`,
      'rebalance',
      'stop rebalancing',
      `remove ${name}`,
      `remove ${name} by force`,
    ]);
    expect((await post('/api/v1/nodes/nobody/drain')).status).toBe(404);
    expect((await post('/api/v1/rebalance', '{"cancel":"yes"}')).status).toBe(400);
    expect((await post('/api/v1/rebalance', 'cancel')).status).toBe(400);
    expect((await server.fetch('/api/v1/rebalance')).status).toBe(405);
    expect((await server.fetch(`/api/v1/nodes/${name}`)).status).toBe(405);
    server.asked.length = 0;
    const stranger = { headers: { authorization: '' } };
    for (const [method, path] of [
      ['POST', `/api/v1/nodes/${name}/drain`],
      ['DELETE', `/api/v1/nodes/${name}`],
      ['POST', '/api/v1/rebalance'],
    ] as const) {
      expect((await server.fetch(path, { method, ...stranger })).status).toBe(401);
    }
    expect(server.asked).toEqual([]);
  });

  it('is told in recovery too', async () => {
    server.recovery = 'The database is empty.';
    const { body } = await json('/api/v1/status');
    server.recovery = undefined;
    expect(body).toMatchObject({ health: 'recovery', recovery: 'The database is empty.' });
  });

  it.each([
    ['whole', {}, {}],
    ['healing', { wanted: 1 }, {}],
    ['healing', { corrupt: 1 }, {}],
    ['whole', { dropping: 1 }, {}],
    ['healing', {}, { blobsShort: 1 }],
    ['lost', { wanted: 1 }, { blobsWithoutCopy: 1 }],
  ])('is %s with %j copies and %j', (health, replicas, more) => {
    const none = { wanted: 0, stored: 0, corrupt: 0, dropping: 0 };
    const counts = { ...server.counts, files: 1, replicas: { ...none, ...replicas }, ...more };
    const state = {
      recovery: undefined,
      counts,
      nodes: [snapshotOf()],
      blobsUnreachable: 0,
      blobsInDoubt: 0,
      awaitedNodes: 0,
    };
    expect(healthOf(state)).toBe(health);
    if (health === 'whole') {
      expect(healthOf({ ...state, awaitedNodes: 1 })).toBe('healing');
      expect(healthOf({ ...state, blobsInDoubt: 1 })).toBe('healing');
    }
    expect(healthOf({ ...state, blobsUnreachable: 1 })).toBe('lost');
    expect(healthOf({ ...state, recovery: 'why' })).toBe('recovery');
    expect(healthOf({ ...state, nodes: [snapshotOf({ state: 'down' })] })).toBe('lost');
  });
});

describe('the log', () => {
  const entryOf = (id: number, more: Partial<LogEntry> = {}): LogEntry => ({
    id,
    blobId: newBlobId(),
    path: '/dir/ø.txt',
    target: server.files.node.id,
    outcome: 'stored',
    startedAtMs: 1_700_000_000_000 + id,
    durationMs: 12,
    ...more,
  });

  it('gives the last hundred, newest last, with names of nodes', async () => {
    const source = newNodeId();
    server.log.push(...Array.from({ length: 150 }, (_none, n) => entryOf(n + 1)));
    server.log.push(
      entryOf(151, { source, outcome: 'failed', errorCode: 'ECONNRESET', message: 'It broke.' }),
    );
    const entries = (await json('/api/v1/log')).body as LogAnswer[];
    expect(entries.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_none, n) => n + 52));
    expect(entries.at(-1)).toEqual({
      id: 151,
      time: '2023-11-14T22:13:20.151Z',
      path: '/dir/ø.txt',
      blob: server.log.at(-1)?.blobId as BlobId,
      source: { id: source, name: source },
      target: server.files.node,
      milliseconds: 12,
      outcome: 'failed',
      error: 'ECONNRESET',
      message: 'It broke.',
    });
  });

  it('of a path gives all of it, or as many as asked', async () => {
    server.log.push(entryOf(152, { path: '/other' }));
    const of = async (query: string) => ((await json(`/api/v1/log?${query}`)).body as []).length;
    expect(await of('path=/dir/%C3%B8.txt')).toBe(151);
    expect(await of('path=other')).toBe(1);
    expect(await of('path=/none')).toBe(0);
    expect(await of('limit=3')).toBe(3);
  });

  it('is followed line by line until the follower leaves', async () => {
    const request = httpRequest(`${server.url}/api/v1/log?follow=1&limit=1`, {
      headers: { 'shard-key': testKey },
    });
    request.end();
    const [response] = await once(request, 'response');
    expect(response.headers['content-type']).toMatch(/^application\/x-ndjson/);
    const lines: LogAnswer[] = [];
    let rest = '';
    response.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      lines.push(...parts.map((line) => JSON.parse(line)));
    });
    await expect.poll(() => lines.map(({ id }) => id)).toEqual([152]);
    server.log.push(entryOf(153), entryOf(154));
    await expect.poll(() => lines.map(({ id }) => id)).toEqual([152, 153, 154]);
    response.on('error', () => undefined);
    request.destroy();
    await expect
      .poll(() => server.lines.at(-1)?.fields)
      .toMatchObject({ path: '/api/v1/log', cut: true });
    expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
  });

  it('takes so many followers and no more', async () => {
    const follow = async () => {
      const request = httpRequest(`${server.url}/api/v1/log?follow=1`, {
        headers: { 'shard-key': testKey },
        agent: false,
      });
      request.on('error', () => undefined);
      request.end();
      const [response] = await once(request, 'response');
      response.on('error', () => undefined);
      response.resume();
      return { request, status: response.statusCode };
    };
    const followers = await Promise.all(Array.from({ length: 33 }, follow));
    expect(followers.filter(({ status }) => status === 429).length).toBe(1);
    for (const { request } of followers) request.destroy();
    await expect
      .poll(async () => {
        const { request, status } = await follow();
        request.destroy();
        return status;
      })
      .toBe(200);
  });
});
