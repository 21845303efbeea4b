import type { FilePath, GrantsAnswer } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { TestSharing } from './testing/test-sharing.ts';

const sharing = new TestSharing();
const { ask, stranger } = sharing;

describe('an address grant', () => {
  const grant = (body: object, path = '/a%20b.txt') =>
    ask('POST', `/api/v1/grants${path}`, { seconds: 60, ...body });

  it.each(['127.0.0.1', '127.0.0.0/8', '::ffff:127.0.0.1', '0.0.0.0/0'])(
    'for %s opens the file to this machine, wherever it is moved, and no other file',
    async (network) => {
      expect((await grant({ network })).status).toBe(201);
      expect(await (await stranger('/fs/a%20b.txt')).text()).toBe('secret text');
      const id = (await sharing.server.files.stat({ path: '/a b.txt' as FilePath })).file.id;
      expect((await stranger(`/api/v1/files/${id}`)).status).toBe(200);
      expect((await stranger('/fs/other.txt')).status).toBe(401);
      expect((await stranger('/fs/a%20b.txt', { method: 'DELETE' })).status).toBe(401);
      await sharing.server.files.move({
        from: '/a b.txt' as FilePath,
        to: '/moved' as FilePath,
        overwrite: false,
      });
      expect((await stranger('/fs/moved')).status).toBe(200);
      await sharing.server.files.add('/moved', 'a new secret');
      expect((await stranger('/fs/moved')).status).toBe(401);
    },
  );

  it.each(['172.17.0.1', '10.0.0.0/8', '2001:db8::/64'])(
    'for %s opens it to who is there alone',
    async (network) => {
      expect((await grant({ network })).status).toBe(201);
      expect((await stranger('/fs/a%20b.txt')).status).toBe(401);
      // By a proxy that is trusted.
      const from = async (client: string) =>
        (await stranger('/fs/a%20b.txt', { headers: { 'X-Forwarded-For': client } })).status;
      const inside = network.replace(/\/.*/, '').replace(/::$/, '::7').replace('.0.0.0', '.9.9.9');
      expect(await from(inside)).toBe(200);
      expect(await from('192.0.2.1')).toBe(401);
    },
  );

  it('ends with its time, or when it is taken back', async () => {
    await grant({ network: '127.0.0.1' });
    await grant({ network: '127.0.0.0/8' }, '/other.txt');
    expect((await ask('DELETE', '/api/v1/grants/other.txt?network=10.0.0.0/8')).body).toEqual({
      grants: 0,
      cut: 0,
    });
    expect((await stranger('/fs/other.txt')).status).toBe(200);
    await ask('DELETE', '/api/v1/grants/other.txt?network=127.0.0.0/8');
    expect((await stranger('/fs/other.txt')).status).toBe(401);
    sharing.clock.advance(59_999);
    expect((await stranger('/fs/a%20b.txt')).status).toBe(200);
    sharing.clock.advance(1);
    expect((await stranger('/fs/a%20b.txt')).status).toBe(401);
  });

  it('is taken back with its path also when the content was replaced and comes back', async () => {
    await grant({ network: '127.0.0.1' });
    await sharing.server.files.add('/a b.txt', 'a new secret');
    expect((await ask('DELETE', '/api/v1/grants/a%20b.txt')).body).toMatchObject({ grants: 1 });
    expect(sharing.server.rights.grants.size).toBe(0);
  });

  it('is listed while it holds, by where it was made', async () => {
    await sharing.server.files.add('/dir/x', 'x');
    await grant({ network: '10.1.2.3/8' });
    await grant({ network: '2001:db8::1', seconds: 600 }, '/dir/x');
    const list = async (path: string): Promise<GrantsAnswer> => (await ask('GET', path)).body;
    const createdAt = new Date(sharing.clock.now()).toISOString();
    expect(await list('/api/v1/grants/')).toEqual({
      grants: [
        {
          path: '/a b.txt',
          network: '10.0.0.0/8',
          createdBy: 'admin',
          createdAt,
          expiresAt: new Date(sharing.clock.now() + 60_000).toISOString(),
        },
        expect.objectContaining({ path: '/dir/x', network: '2001:db8::1/128' }),
      ],
    });
    expect((await list('/api/v1/grants/dir')).grants).toHaveLength(1);
    const { grants, next } = await list('/api/v1/grants?limit=1');
    expect(grants.map(({ path }) => path)).toEqual(['/a b.txt']);
    const rest = await list(`/api/v1/grants?limit=1&after=${next}`);
    expect(rest.grants.map(({ path }) => path)).toEqual(['/dir/x']);
    sharing.clock.advance(60_000);
    expect((await list('/api/v1/grants')).grants.map(({ path }) => path)).toEqual(['/dir/x']);
    expect((await stranger('/api/v1/grants')).status).toBe(401);
  });

  it.each([
    ['no network', { network: undefined }, 400],
    ['a name', { network: 'example.com' }, 400],
    ['too long a time', { network: '10.0.0.1', seconds: 1e9 }, 400],
  ])('is refused with %s', async (_name, body, status) => {
    expect((await grant(body)).status).toBe(status);
  });
});
