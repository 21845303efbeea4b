import type {
  AccessKeyAnswer,
  AccessKeysAnswer,
  AccessRole,
  NewAccessKeyAnswer,
} from '@dfs/shared';
import { TrustedProxies } from '@dfs/shared/serving';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;
beforeEach(async () => {
  server = await new TestPublicServer({ proxies: TrustedProxies.of('loopback') }).start();
});
afterEach(() => server.stop());

/** Sends JSON with this key; null: without any. */
const ask = (method: string, path: string, key: string | null = testKey, json?: unknown) =>
  fetch(`${server.url}${path}`, {
    method,
    headers: {
      ...(key === null ? {} : { 'shard-key': key }),
      ...(json === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
  });

async function add(request: object, key = testKey): Promise<NewAccessKeyAnswer> {
  const answer = await ask('POST', '/api/v1/keys', key, request);
  expect(answer.status).toBe(201);
  return (await answer.json()) as NewAccessKeyAnswer;
}

async function list(key = testKey): Promise<readonly AccessKeyAnswer[]> {
  const answer = await ask('GET', '/api/v1/keys', key);
  expect(answer.status).toBe(200);
  return ((await answer.json()) as AccessKeysAnswer).keys;
}

describe('access keys over HTTP', () => {
  it('are made, count in each way they can be sent, are listed without their secret, and are removed', async () => {
    const made = await add({ name: 'Kamera ü', role: 'write', prefix: 'photos/' });
    expect(made).toMatchObject({
      name: 'Kamera ü',
      role: 'write',
      prefix: '/photos',
      usable: true,
    });
    expect(made.key).toMatch(/^dk[a-z2-7]{18}\.[A-Za-z0-9_-]{40}$/);
    const [id, secret] = made.key.split('.') as [string, string];
    expect(id).toBe(made.id);
    const { key: _, ...shown } = made;
    expect(await list()).toEqual([shown]);
    const put = (headers: Record<string, string>) =>
      fetch(`${server.url}/fs/photos/a.txt`, { method: 'PUT', headers, body: 'a' });
    const basic = Buffer.from(`${id}:${secret}`).toString('base64');
    for (const headers of [
      { 'shard-key': made.key },
      { authorization: `Bearer ${made.key}` },
      { authorization: `Basic ${basic}` },
    ]) {
      expect((await put(headers)).status).toBe(201);
    }
    expect((await ask('DELETE', `/api/v1/keys/${id}`)).status).toBe(204);
    expect((await put({ 'shard-key': made.key })).status).toBe(401);
    expect((await ask('DELETE', `/api/v1/keys/${id}`)).status).toBe(404);
    expect(await list()).toEqual([]);
    expect(JSON.stringify(server.lines)).not.toContain(secret);
  });

  it('open all for reading where nothing else is said', async () => {
    expect(await add({})).toMatchObject({ name: '', role: 'read', prefix: '/' });
  });

  it.each([
    [{ role: 'owner' }, 'role'],
    [{ role: 1 }, 'role'],
    [{ name: 'x'.repeat(101) }, 'name'],
    [{ name: 'a\nb' }, 'name'],
    [{ prefix: '/a/../b' }, '..'],
    [{ prefix: ['/a'] }, 'prefix'],
  ])('are not made from %j', async (request, part) => {
    const answer = await ask('POST', '/api/v1/keys', testKey, request);
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain(part);
    expect(await list()).toEqual([]);
  });

  it('are administered by whoever administers what they open, and seen by nobody else', async () => {
    const team = await server.keyFor('admin', '/team');
    const below = await add({ role: 'admin', prefix: '/team/a' }, team);
    const beside = await add({ role: 'read', prefix: '/teams' });
    expect((await list(team)).map(({ prefix }) => prefix).sort()).toEqual(['/team', '/team/a']);
    expect((await list(below.key)).map(({ id }) => id)).toEqual([below.id]);
    for (const prefix of ['/', '/teams', '/other']) {
      const answer = await ask('POST', '/api/v1/keys', team, { prefix });
      expect(answer.status).toBe(403);
      expect(await answer.text()).toContain('(role admin, prefix /team)');
    }
    expect((await ask('DELETE', `/api/v1/keys/${beside.id}`, team)).status).toBe(404);
    expect((await ask('DELETE', `/api/v1/keys/${below.id}`, team)).status).toBe(204);
    expect((await list()).map(({ id }) => id)).toContain(beside.id);
  });

  it.each<[string, AccessRole | null, number]>([
    ['a stranger', null, 401],
    ['a read key of everything', 'read', 403],
    ['a write key of everything', 'write', 403],
  ])('are closed to %s', async (_who, role, status) => {
    const key = role === null ? null : await server.keyFor(role, '/');
    const { id } = await add({ prefix: '/a' });
    for (const [method, path] of [
      ['GET', '/api/v1/keys'],
      ['POST', '/api/v1/keys'],
      ['DELETE', `/api/v1/keys/${id}`],
    ] as const) {
      expect((await ask(method, path, key)).status, `${method} ${path}`).toBe(status);
    }
    expect((await list()).length).toBeGreaterThan(0);
  });

  it('are neither given nor taken while the database cannot be believed', async () => {
    const { id, key } = await add({ role: 'admin' });
    server.recovery = 'The database is empty.';
    for (const [method, path] of [
      ['GET', '/api/v1/keys'],
      ['POST', '/api/v1/keys'],
      ['DELETE', `/api/v1/keys/${id}`],
    ] as const) {
      expect((await ask(method, path)).status, `${method} ${path}`).toBe(503);
    }
    // Not even to look at the store.
    expect((await ask('GET', '/api/v1/status', key)).status).toBe(503);
    expect((await ask('GET', '/api/v1/status')).status).toBe(200);
    server.recovery = undefined;
    expect((await list()).map((each) => each.id)).toEqual([id]);
  });

  it('need a cluster key, and the refusal says what to do', async () => {
    await server.stop();
    server = await new TestPublicServer({ clusterKey: undefined }).start();
    const answer = await ask('POST', '/api/v1/keys', null, {});
    expect(answer.status).toBe(409);
    expect(await answer.text()).toContain('DFS_CLUSTER_KEY');
  });

  it('refuse other methods', async () => {
    expect((await ask('PUT', '/api/v1/keys')).headers.get('allow')).toBe('GET, HEAD, POST');
    expect((await ask('GET', '/api/v1/keys/dk')).headers.get('allow')).toBe('DELETE');
  });
});

describe('wrong keys over HTTP', () => {
  const from = (address: string, key: string, more: Record<string, string> = {}) =>
    fetch(`${server.url}/api/v1/status`, {
      headers: { 'x-forwarded-for': address, 'shard-key': key, ...more },
    });

  it('are refused with 429 and a time when too many came from an address, the right one too', async () => {
    for (let n = 0; n < 10; n += 1)
      expect((await from('192.0.2.1', `wrong ${n}`)).status).toBe(401);
    const answer = await from('192.0.2.1', testKey);
    expect(answer.status).toBe(429);
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await from('192.0.2.2', testKey)).status).toBe(200);
    const health = await fetch(`${server.url}/api/v1/health`, {
      headers: { 'x-forwarded-for': '192.0.2.1' },
    });
    expect(health.status).toBe(200);
    const metrics = await (await server.fetch('/metrics')).text();
    expect(metrics).toContain('dfs_failed_authentications_total 10');
    expect(metrics).toContain('dfs_throttled_authentications_total 1');
    const warnings = server.lines.filter(({ level }) => level === 'warn');
    expect(warnings.map(({ fields }) => fields)).toEqual([{ address: '192.0.2.1' }]);
    expect(JSON.stringify(server.lines)).not.toContain('wrong 0');
  });
});
