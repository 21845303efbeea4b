import type { FilePath } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestPublicServer } from '../testing/test-public-server.ts';

let server: TestPublicServer;
beforeAll(async () => {
  server = await new TestPublicServer().start();
});
afterAll(() => server.stop());

const exists = (path: string) => server.files.findEntry(path as FilePath) !== undefined;

describe('DELETE', () => {
  it('removes a file, which is then gone', async () => {
    await server.files.add('/gone.txt', 'x');
    expect((await server.raw('DELETE /fs/gone.txt')).status).toBe(204);
    expect((await server.raw('GET /fs/gone.txt')).status).toBe(404);
    expect((await server.raw('DELETE /fs/gone.txt')).status).toBe(404);
  });

  it.each<[string, (md5: string) => string, number]>([
    ['the right tag', (md5) => `If-Match: "${md5}"`, 204],
    ['another tag', () => 'If-Match: "x"', 412],
    ['not this tag', (md5) => `If-None-Match: "${md5}"`, 412],
    ['no change since long ago', () => `If-Unmodified-Since: ${new Date(0).toUTCString()}`, 412],
    [
      'no change since tomorrow',
      () => `If-Unmodified-Since: ${new Date(Date.now() + 9e7).toUTCString()}`,
      204,
    ],
  ])('that wants %s', async (name, header, status) => {
    const path = `/conditional/${name}`;
    const { md5 } = await server.files.add(path, 'x');
    const answer = await server.raw(`DELETE /fs${encodeURI(path)}`, { headers: [header(md5)] });
    expect(answer.status).toBe(status);
    expect(exists(path)).toBe(status !== 204);
  });

  it('removes a directory only when it is empty, where that is asked', async () => {
    await server.files.add('/full/file', 'x');
    const refused = await server.raw('DELETE /fs/full/?expect=empty-directory');
    expect(refused.status).toBe(409);
    expect(JSON.parse(refused.body.toString()).error).toMatchObject({
      code: 'conflict',
      hint: expect.any(String),
    });
    await server.raw('DELETE /fs/full/file');
    expect((await server.raw('DELETE /fs/full?expect=empty-directory')).status).toBe(204);
    expect(exists('/full')).toBe(false);
  });
});

describe('MKCOL', () => {
  it('makes a directory and those above it, once', async () => {
    const answer = await server.raw('MKCOL /fs/new/deep%20one/?parents=1');
    expect([answer.status, answer.headers['location']]).toEqual([201, '/fs/new/deep%20one/']);
    expect(exists('/new/deep one')).toBe(true);
    const again = await server.raw('MKCOL /fs/new/deep%20one');
    expect(again.status).toBe(405);
    expect(again.headers['allow']).not.toContain('MKCOL');
  });
});

describe('MKCOL of a name that somebody takes meanwhile', () => {
  it.each(['/raced-1', '/raced-2/'])('answers as if it had come later: %s', async (target) => {
    const path = target.replace(/\/$/, '');
    const { files } = server;
    const make = files.makeDirectory.bind(files);
    files.makeDirectory = async (...args) => {
      files.makeDirectory = make;
      await files.add(path, 'a file');
      return make(...args);
    };
    const answer = await server.raw(`MKCOL /fs${target}`);
    expect(files.makeDirectory).toBe(make);
    expect([answer.status, answer.headers['allow']]).toEqual([
      405,
      expect.not.stringContaining('MKCOL'),
    ]);
  });
});

describe('MKCOL with a condition', () => {
  it.each([
    ['If-Match: *', 'absent', 412],
    ['If-Match: "x"', 'absent', 412],
    ['If-None-Match: *', 'absent', 201],
    ['If-None-Match: "x"', 'absent', 201],
    ['If-Match: *', 'there', 200],
    ['If-Match: "x"', 'there', 412],
    ['If-None-Match: *', 'there', 412],
    ['If-None-Match: "x"', 'there', 200],
    // What is refused anyway is refused for that reason (RFC 9110 section 13.2.1).
    ['If-None-Match: *', 'a file', 405],
    ['If: (<urn:x>)', 'absent', 412],
  ])('%s, where the name is %s', async (header, state, status) => {
    const path = `/wanted-${encodeURIComponent(header).replace(/%/g, '')}-${state.replace(' ', '')}`;
    if (state === 'there') await server.raw(`MKCOL /fs${path}`);
    if (state === 'a file') await server.files.add(path, 'x');
    const answer = await server.raw(`MKCOL /fs${path}?parents=1`, { headers: [header] });
    expect(answer.status).toBe(status);
    expect(exists(path)).toBe(status !== 412 || state === 'there');
  });
});

describe('OPTIONS', () => {
  it.each(['/fs/any', '/fs/', '*'])('of %s names what can be done', async (target) => {
    const answer = await server.raw(`OPTIONS ${target}`);
    expect(answer.status).toBe(204);
    expect(answer.headers['allow']).toContain('MKCOL');
  });
});
