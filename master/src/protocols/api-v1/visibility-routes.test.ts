import type { FilePath } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestPublicServer } from '../testing/test-public-server.ts';

let server: TestPublicServer;
beforeAll(async () => {
  server = await new TestPublicServer().start();
  await server.files.add('/shop/a.txt', 'a');
  await server.files.add('/shop/deep/b.txt', 'b');
});
afterAll(() => server.stop());

const put = async (path: string, body: unknown, more: RequestInit = {}) => {
  const answer = await server.fetch(`/api/v1/visibility${path}`, {
    method: 'PUT',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    ...more,
  });
  return { status: answer.status, body: await answer.json() };
};
const strangerGets = async (path: string) => (await fetch(`${server.url}/fs${path}`)).status;

describe('visibility', () => {
  it('of a directory counts for all below it that says nothing itself', async () => {
    expect(await put('/shop/deep', { visibility: 'private' })).toMatchObject({
      status: 200,
      body: { path: '/shop/deep', public: false, visibility: 'private' },
    });
    expect(await put('/shop', { visibility: 'public' })).toMatchObject({
      status: 200,
      body: { path: '/shop', kind: 'directory', public: true, visibility: 'public' },
    });
    await server.files.add('/shop/later.txt', 'later');
    const seen = ['/shop/', '/shop/a.txt', '/shop/later.txt', '/shop/deep/', '/shop/deep/b.txt'];
    expect(await Promise.all(seen.map(strangerGets))).toEqual([200, 200, 200, 401, 401]);
    const { body } = await put('/shop/deep', { visibility: 'inherit' });
    expect(body).toMatchObject({ public: true });
    expect(body).not.toHaveProperty('visibility');
    expect(await strangerGets('/shop/deep/b.txt')).toBe(200);
    await put('/shop', { visibility: 'inherit' });
    expect(await Promise.all(seen.map(strangerGets))).toEqual([401, 401, 401, 401, 401]);
  });

  it('of a file stays its own in a public directory', async () => {
    await put('/shop', { visibility: 'public' });
    await put('/shop/a.txt', { visibility: 'private' });
    expect(await strangerGets('/shop/a.txt')).toBe(401);
    await put('/shop/a.txt', { visibility: 'inherit' });
    await put('/shop', { visibility: 'private' });
  });

  it.each([
    ['another word', { visibility: 'everyone' }, 400],
    ['nothing', {}, 400],
    ['a number', { visibility: 644 }, 400],
  ])('refuses %s', async (_name, body, status) => {
    expect((await put('/shop/a.txt', body)).status).toBe(status);
  });

  it('of nothing is 404, and only PUT changes it', async () => {
    expect((await put('/nowhere', { visibility: 'public' })).status).toBe(404);
    const posted = await server.fetch('/api/v1/visibility/shop', { method: 'POST' });
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'PUT']);
  });

  it('is not for strangers to change, of public things neither', async () => {
    await server.files.setVisibility('/shop' as FilePath, 'public');
    const answer = await fetch(`${server.url}/api/v1/visibility/shop`, {
      method: 'PUT',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ visibility: 'private' }),
    });
    expect(answer.status).toBe(401);
    expect(await strangerGets('/shop/')).toBe(200);
  });
});
