import { type FsckLine, newBlobId, StoreError } from '@dfs/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { TestPublicServer } from '../testing/test-public-server.ts';

let server: TestPublicServer;

beforeAll(async () => {
  server = await new TestPublicServer().start();
});
afterAll(() => server.stop());
beforeEach(() => {
  server.fsckLines = [];
  server.fsckFailure = undefined;
  server.asked.length = 0;
});

const finding: FsckLine = { problem: 'missing', blob: newBlobId(), path: '/a', detail: 'gone' };

describe('looking after the copies over HTTP', () => {
  it('compares on GET and mends on POST, a line for each difference', async () => {
    server.fsckLines = [finding, finding];
    for (const method of ['GET', 'POST']) {
      const answer = await server.fetch('/api/v1/fsck', { method });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-type')).toContain('application/x-ndjson');
      const lines = (await answer.text()).trimEnd().split('\n');
      expect(lines.map((line) => JSON.parse(line))).toEqual([finding, finding]);
    }
    expect(server.asked).toEqual(['check', 'repair']);
  });

  it('answers what fails at once by its status, and later in its last line', async () => {
    server.fsckFailure = new StoreError('unavailable', 'The database does not answer.');
    const early = await server.fetch('/api/v1/fsck');
    expect(early.status).toBe(503);
    server.fsckLines = [finding];
    const late = await server.fetch('/api/v1/fsck');
    expect(late.status).toBe(200);
    const last = (await late.text()).trimEnd().split('\n').at(-1) ?? '';
    expect(JSON.parse(last)).toMatchObject({ error: { code: 'unavailable' } });
  });

  it('cuts the answer when something fails that nobody expected', async () => {
    server.fsckLines = [finding];
    server.fsckFailure = new Error('secret detail');
    const text = server.fetch('/api/v1/fsck').then((answer) => answer.text());
    await expect(text).rejects.toThrow();
  });

  it('scrubs one node or all', async () => {
    expect((await server.fetch('/api/v1/scrub', { method: 'POST' })).status).toBe(202);
    const one = await server.fetch('/api/v1/scrub?node=at%20tic', { method: 'POST' });
    expect(one.status).toBe(202);
    expect((await server.fetch('/api/v1/scrub')).status).toBe(200);
    expect(server.asked).toEqual(['scrub all', 'scrub at tic']);
  });

  it.each(['/api/v1/scrub', '/api/v1/fsck'])(
    'refuses strangers and other methods at %s',
    async (path) => {
      for (const method of ['GET', 'POST']) {
        const stranger = await fetch(`${server.url}${path}`, { method });
        expect(stranger.status).toBe(401);
      }
      const answer = await server.fetch(path, { method: 'DELETE' });
      expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, POST']);
      expect(server.asked).toEqual([]);
    },
  );
});
