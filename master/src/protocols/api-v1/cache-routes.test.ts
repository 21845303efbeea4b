import { type FileId, type FilePath, newBlobId } from '@dfs/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { snapshotOf, TestPublicServer } from '../testing/test-public-server.ts';

let server: TestPublicServer;
const attic = snapshotOf({ name: 'attic' });

beforeAll(async () => {
  server = await new TestPublicServer().start();
  server.nodes.push(attic);
  server.cacheOutcomes = [{ node: { id: attic.id, name: 'attic' }, outcome: 'ordered' }];
});
afterAll(() => server.stop());
beforeEach(() => {
  server.asked.length = 0;
});

const post = (path: string, body?: unknown) =>
  server.fetch(path, {
    method: 'POST',
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  });

describe('caches over HTTP', () => {
  it.each([
    { body: undefined, asked: 'cache /a b on all, priority usual' },
    { body: { on: 'all', priority: -20 }, asked: 'cache /a b on all, priority -20' },
    { body: { on: 2, priority: 20 }, asked: 'cache /a b on 2, priority 20' },
    { body: { on: 'attic' }, asked: `cache /a b on ${attic.id}, priority usual` },
    { body: { on: attic.id }, asked: `cache /a b on ${attic.id}, priority usual` },
  ])('has nodes cache a file: $body', async ({ body, asked }) => {
    const answer = await post('/api/v1/caches/a%20b', body);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual(server.cacheOutcomes);
    expect(server.asked).toEqual([asked]);
  });

  it('has nodes let go of a file', async () => {
    const answer = await server.fetch('/api/v1/caches/a', { method: 'DELETE' });
    expect([answer.status, await answer.json()]).toEqual([200, server.cacheOutcomes]);
    expect(server.asked).toEqual(['drop caches of /a']);
  });

  it.each([
    [{ on: 0 }, 400],
    [{ on: 1.5 }, 400],
    [{ on: -1 }, 400],
    [{ on: true }, 400],
    [{ on: null }, 400],
    [{ on: ['attic'] }, 400],
    [{ on: 'cellar' }, 404],
    [{ priority: 21 }, 400],
    [{ priority: -21 }, 400],
    [{ priority: 0.5 }, 400],
    [{ priority: '5' }, 400],
  ])('refuses %j', async (body, status) => {
    expect((await post('/api/v1/caches/a', body)).status).toBe(status);
    expect(server.asked).toEqual([]);
  });

  it('lists hot files with the names of the nodes that have them', async () => {
    const fileId = newBlobId() as string as FileId;
    server.hotFiles = [
      {
        ...{ fileId, path: '/a' as FilePath, sizeBytes: 5, readsPerMinute: 99 },
        ...{ storedOn: [server.files.node.id], cachedOn: [attic.id] },
      },
    ];
    const answer = await server.fetch('/api/v1/hot');
    expect(await answer.json()).toEqual({
      limit: 60,
      files: [
        {
          ...{ path: '/a', id: fileId, size: 5, readsPerMinute: 99 },
          stored: [{ id: server.files.node.id, name: server.files.node.name }],
          cached: [{ id: attic.id, name: 'attic' }],
        },
      ],
    });
  });

  it('is for those who may write there, and the list of hot files for administrators', async () => {
    const send = async (key: string | null, method: string, path: string) =>
      (await server.raw(`${method} ${path}`, { key })).status;
    const [reader, writer, admin] = await Promise.all([
      server.keyFor('read', '/films'),
      server.keyFor('write', '/films'),
      server.keyFor('admin', '/'),
    ]);
    const path = '/api/v1/caches/films/a';
    for (const method of ['POST', 'DELETE']) {
      expect(await send(null, method, path)).toBe(401);
      expect(await send(reader, method, path)).toBe(403);
      expect(await send(writer, method, path)).toBe(200);
      expect(await send(writer, method, '/api/v1/caches/other')).toBe(403);
    }
    expect(await send(null, 'GET', '/api/v1/hot')).toBe(401);
    expect(await send(writer, 'GET', '/api/v1/hot')).toBe(403);
    expect(await send(admin, 'GET', '/api/v1/hot')).toBe(200);
  });

  it('knows no other methods, and serves nothing in recovery', async () => {
    expect((await server.fetch('/api/v1/caches/a', { method: 'PUT' })).status).toBe(405);
    expect((await server.fetch('/api/v1/hot', { method: 'POST' })).status).toBe(405);
    server.recovery = 'The database is gone.';
    expect((await post('/api/v1/caches/a')).status).toBe(503);
    expect((await server.fetch('/api/v1/hot')).status).toBe(503);
    server.recovery = undefined;
    expect(server.asked).toEqual([]);
  });
});
