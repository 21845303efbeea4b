import { type FilePath, newBlobId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { snapshotOf } from '../testing/test-public-server.ts';
import { PlainCalls, withKey } from './testing/plain-calls.ts';

const calls = new PlainCalls();
const { call } = calls;

describe('what it tells of itself', () => {
  it('names all nodes, in the words that its users know', async () => {
    const told = {
      ...{ blobCount: 7, uptimeSeconds: 90, cachedBytes: 5, cachedCount: 2 },
      publicPort: 80,
    };
    calls.server.nodes.push(
      snapshotOf({
        name: 'Sahara',
        url: 'http://172.17.0.3:7050',
        capacityBytes: 4 * 2 ** 30,
        freeBytes: 3 * 2 ** 30,
        usedBytes: 1_000,
        told,
      }),
      snapshotOf({ name: 'Sahara', url: 'http://[::1]:7051', state: 'down' }),
    );
    const answer = await call('registered_instances', { headers: withKey });
    const health = await call('health', { headers: withKey });
    const healthOfStrangers = await call('health');
    const twin = calls.server.nodes.pop();
    calls.server.nodes.pop();
    expect(answer.status).toBe(200);
    expect(JSON.parse(health.text).known_instances).toEqual(JSON.parse(answer.text));
    expect(JSON.parse(healthOfStrangers.text).known_instances).toBeNull();
    const instances = JSON.parse(answer.text);
    expect(Object.keys(instances)).toEqual(['one', 'Sahara', twin?.id]);
    expect(instances['Sahara']).toEqual({
      ipv4: '172.17.0.3:80',
      total_memory: 4,
      used_memory: 1,
      stored_files_size: 1_000,
      cached_files_size: 5,
      instance_name: 'Sahara',
      stored_files_count: 7,
      cached_files_count: 2,
      uptime: 90,
      healthy: true,
    });
    expect(instances[twin?.id ?? '']).toMatchObject({ ipv4: '[::1]:7051', healthy: false });
  });

  it('names itself by the address that it was asked at', async () => {
    calls.server.nodes.push(snapshotOf({ name: 'test', url: 'http://172.17.0.2:7050' }));
    const answer = await call('registered_instances', { headers: withKey });
    calls.server.nodes.pop();
    expect(JSON.parse(answer.text)['test'].ipv4).toBe(`127.0.0.1:${calls.server.port}`);
  });

  it('tells nodes where they report', async () => {
    const answer = await call('register', { method: 'POST', headers: withKey });
    expect(JSON.parse(answer.text)).toEqual({
      management: 'http://127.0.0.1:7041',
      instance: 'test',
    });
  });

  it('says what is stored', async () => {
    const answer = await call('information?count=2', { headers: withKey });
    expect(JSON.parse(answer.text)).toMatchObject({
      name: 'test',
      total_memory: 1_000,
      free_memory: 900,
      stored: 100,
      cached_memory: 0,
      cached_files: [],
    });
    const { stored_files: stored } = JSON.parse(answer.text);
    expect(stored).toHaveLength(2);
    const all = JSON.parse((await call('information', { headers: withKey })).text).stored_files;
    const named = all.find((each: { filename: string }) => each.filename === 'private.txt');
    expect(named).toEqual({
      filename: 'private.txt',
      query_string: 'test@private.txt',
      size: 8,
      public: false,
    });
    expect((await call('information?count=x', { headers: withKey })).status).toBe(400);
  });

  it('says what the node of the instance stores and caches', async () => {
    const { id } = calls.server.files.node;
    const told = { blobCount: 3, uptimeSeconds: 77, cachedBytes: 5, cachedCount: 2 };
    const [one] = calls.server.nodes.splice(0, 1, snapshotOf({ id, name: 'test', told }));
    calls.server.nodes.push(snapshotOf({ name: 'other', usedBytes: 1_000_000 }));
    const named = await calls.server.files.find({ path: '/private.txt' as FilePath });
    calls.server.cachedBlobs.set(id, [newBlobId(), named?.file.blobs[0]?.blobId ?? newBlobId()]);
    const answer = await call('information', { headers: withKey });
    const [, other] = calls.server.nodes.splice(0, 2, ...(one ? [one] : []));
    calls.server.cachedBlobs.clear();
    expect(other?.name).toBe('other');
    expect(JSON.parse(answer.text)).toMatchObject({
      name: 'test',
      uptime: 77,
      stored: 100,
      cached_memory: 5,
      cached_files: [{ filename: 'private.txt', size: 8, public: false }],
    });
    expect(JSON.parse(answer.text).stored_files).toHaveLength(3);
  });

  it('gives its log, and forgets it when told to', async () => {
    calls.server.ownLog.push('{"message":"first"}');
    calls.server.ownLog.push('{"message":"second"}');
    const lines = await call('logs', { headers: withKey });
    expect(lines).toMatchObject({
      status: 200,
      text: '{"message":"first"}\n{"message":"second"}\n',
    });
    expect((await call('logs', { method: 'DELETE', headers: withKey })).status).toBe(200);
    expect(await call('logs', { headers: withKey })).toMatchObject({ status: 200, text: '' });
  });

  it.each(['registered_instances', 'logs', 'information'])(
    'keeps %s from who has no key',
    async (name) => {
      expect(await call(name)).toMatchObject({
        status: 401,
        text: expect.stringMatching(/^Denied: /),
      });
    },
  );

  it('registers nobody without the key, and says so in its log, once a minute', async () => {
    const refused = () =>
      calls.server.lines.filter(({ message }) => /^a node was refused/.test(message));
    for (const headers of [{}, { 'shard-key': 'wrong' }]) {
      const answer = await call('register', { method: 'POST', headers });
      expect(answer).toMatchObject({ status: 401, text: expect.stringMatching(/^Denied: /) });
    }
    await expect.poll(refused).toMatchObject([{ level: 'warn', fields: { address: '127.0.0.1' } }]);
    await call('health');
    expect(refused()).toHaveLength(1);
  });
});

describe('pages of other origins', () => {
  const preflight = (origin: string) =>
    call('store', {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'shard-key',
      },
    });

  it('may use it when they are named', async () => {
    const asked = await preflight('https://app.example');
    expect(asked.status).toBe(204);
    expect(asked.headers.get('access-control-allow-origin')).toBe('https://app.example');
    expect(asked.headers.get('access-control-allow-headers')).toBe('shard-key');
    expect(asked.headers.get('access-control-allow-credentials')).toBeNull();
    for (const [path, status] of [
      ['stream/public.txt', 200],
      ['stream/private.txt', 401],
      ['registered_instances', 401],
      ['health', 200],
      ['../../fs/dir/', 401],
    ] as const) {
      const answer = await call(path, { headers: { origin: 'https://app.example' } });
      expect(answer.status).toBe(status);
      expect(answer.headers.get('access-control-allow-origin')).toBe('https://app.example');
      expect(answer.headers.get('access-control-expose-headers')).toBe('*');
      expect(answer.headers.get('vary')).toContain('Origin');
    }
  });

  it('may not when they are not', async () => {
    const asked = await preflight('https://evil.example');
    expect(asked.headers.get('access-control-allow-origin')).toBeNull();
    const answer = await call('stream/public.txt', { headers: { origin: 'https://evil.example' } });
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });
});
