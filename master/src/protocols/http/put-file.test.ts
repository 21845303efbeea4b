import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import type { PutAnswer } from '@dfs/shared';
import { request as undiciRequest } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RawConnection } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;
const uploadIdleMs = 300;

beforeAll(async () => {
  server = await new TestPublicServer({ config: { uploadIdleMs } }).start();
});
afterAll(() => server.stop());
afterEach(() => {
  const { faults } = server.files;
  faults.roomBytes = Number.POSITIVE_INFINITY;
  faults.put = undefined;
  faults.holdPut = undefined;
});

const md5Of = (text: string | Uint8Array, encoding: 'hex' | 'base64' = 'hex') =>
  createHash('md5').update(text).digest(encoding);
const put = (
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
) => server.fetch(path, { method: 'PUT', body, headers });
const head = (...headers: string[]) =>
  ['Host: a', `SHARD-KEY: ${testKey}`, ...headers, '', ''].join('\r\n');

describe('PUT', () => {
  it('stores the body, makes the directories above it, and says what is there now', async () => {
    const answer = await put('/fs/a/b/hello%20w%C3%B6rld.txt', 'hello');
    expect(answer.status).toBe(201);
    const body = (await answer.json()) as PutAnswer;
    expect(body).toEqual({
      path: '/a/b/hello wörld.txt',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      size: 5,
      md5: md5Of('hello'),
      contentType: 'text/plain;charset=UTF-8',
      primary: server.files.node,
      copies: { stored: 1, wanted: 3 },
    });
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      location: '/fs/a/b/hello%20w%C3%B6rld.txt',
      etag: `"${md5Of('hello')}"`,
      'x-dfs-id': body.id,
      'x-dfs-node': server.files.node.id,
    });
    expect(server.files.bytesAt('/a/b/hello wörld.txt')?.toString()).toBe('hello');
  });

  it('replaces what has the name, and answers 201 again', async () => {
    await put('/fs/twice', 'one');
    expect((await put('/fs/twice', 'two')).status).toBe(201);
    expect(server.files.bytesAt('/twice')?.toString()).toBe('two');
  });

  it('stores zero bytes, declared, chunked or not mentioned at all', async () => {
    for (const headers of ['Content-Length: 0', 'Transfer-Encoding: chunked', 'X-A: b']) {
      const connection = new RawConnection(server.port);
      const body = headers.startsWith('Transfer') ? '0\r\n\r\n' : '';
      connection.write(`PUT /fs/zero HTTP/1.1\r\n${head(headers)}${body}`);
      const answer = await connection.answer();
      connection.destroy();
      expect([answer.status, JSON.parse(answer.body.toString()).size]).toEqual([201, 0]);
    }
  });

  it('takes a body in chunks, with its length declared beside it', async () => {
    const send = async (sizeBytes: number) => {
      const connection = new RawConnection(server.port);
      connection.write(
        `PUT /fs/chunked HTTP/1.1\r\n${head('Transfer-Encoding: chunked', `X-DFS-Size: ${sizeBytes}`)}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
      );
      const { status, body } = await connection.answer();
      connection.destroy();
      return { status, code: JSON.parse(body.toString()).error?.code };
    };
    expect(await send(5)).toEqual({ status: 201, code: undefined });
    expect(server.files.puts.at(-1)?.sizeBytes).toBe(5);
    expect(await send(6)).toEqual({ status: 400, code: 'incomplete-body' });
    expect(await send(4)).toEqual({ status: 400, code: 'incomplete-body' });
    expect(server.files.bytesAt('/chunked')?.toString()).toBe('abcde');
  });

  it.each([
    ['a type that was sent', 'a.txt', 'image/x-mine; a=b', 'image/x-mine; a=b'],
    ['by the extension', 'a.MP4', undefined, 'video/mp4'],
    [
      'by the extension, as nobody means a form',
      'a.json',
      'application/x-www-form-urlencoded',
      'application/json',
    ],
    ['bytes, where nothing is known', 'noextension', undefined, 'application/octet-stream'],
  ])('keeps %s', async (_name, name, type, expected) => {
    const headers = type === undefined ? [] : [`Content-Type: ${type}`];
    const answer = await server.raw(`PUT /fs/types/${name}`, { headers, body: 'x' });
    expect(JSON.parse(answer.body.toString()).contentType).toBe(expected);
  });

  it('passes on what the address and the headers ask for', async () => {
    await put('/fs/asked?onConflict=rename&minCopies=2&mode=public', 'x', {
      'idempotency-key': 'once-1',
      'x-dfs-meta-colour': 'red',
      'if-match': '"0", W/"1"',
      'if-none-match': '*',
    });
    expect(server.files.puts.at(-1)).toMatchObject({
      path: '/asked',
      onConflict: 'rename',
      minCopies: 2,
      isPublic: true,
      idempotencyKey: 'once-1',
      attributes: { colour: 'red' },
      sizeBytes: 1,
      ifMatch: ['0'],
      ifNoneMatch: '*',
    });
    await put('/fs/plain', 'x');
    expect(server.files.puts.at(-1)).toMatchObject({ onConflict: 'replace' });
    expect(Object.keys(server.files.puts.at(-1) ?? {})).not.toContain('isPublic');
  });

  it('keeps both where asked to, and says the new name', async () => {
    await put('/fs/both.txt', 'one');
    const answer = await put('/fs/both.txt?onConflict=rename', 'two');
    expect(answer.headers.get('location')).toBe('/fs/both%20(1).txt');
    expect(((await answer.json()) as PutAnswer).path).toBe('/both (1).txt');
  });

  it('gives no other name beside the one that an access key opens alone', async () => {
    await put('/fs/only/one.txt', 'one');
    const rename = async (prefix: string) =>
      put('/fs/only/one.txt?onConflict=rename', 'two', {
        authorization: `Bearer ${await server.keyFor('write', prefix)}`,
      });
    expect((await rename('/only/one.txt')).status).toBe(403);
    expect((await server.fetch('/fs/only/one%20(1).txt')).status).toBe(404);
    expect((await rename('/only')).headers.get('location')).toBe('/fs/only/one%20(1).txt');
  });

  it('leaves the connection usable, after refusals of short bodies too', async () => {
    const connection = new RawConnection(server.port);
    for (const status of [201, 412, 201]) {
      const condition = status === 412 ? 'If-None-Match: *' : 'X-A: b';
      connection.write(`PUT /fs/again HTTP/1.1\r\n${head(condition, 'Content-Length: 5')}`);
      connection.write('hello');
      expect((await connection.answer()).status).toBe(status);
    }
    connection.destroy();
  });
});

describe('a digest sent with a PUT', () => {
  const right = md5Of('hello');
  const wrong = md5Of('other');
  const manyHeaders = Array.from({ length: 2_000 }, (_, n) => `X${n}: 1`);
  it.each([
    ['in hex', [`X-DFS-MD5: ${right}`], 201],
    ['in capitals', [`X-DFS-MD5: ${right.toUpperCase()}`], 201],
    ['in base64', [`Content-MD5: ${md5Of('hello', 'base64')}`], 201],
    ['both', [`X-DFS-MD5: ${right}`, `Content-MD5: ${md5Of('hello', 'base64')}`], 201],
    ['wrong in hex', [`X-DFS-MD5: ${wrong}`], 400],
    ['wrong in base64', [`Content-MD5: ${md5Of('other', 'base64')}`], 400],
    ['right behind 2 000 headers', [...manyHeaders, `X-DFS-MD5: ${right}`], 201],
    ['wrong behind 2 000 headers', [...manyHeaders, `X-DFS-MD5: ${wrong}`], 400],
    ['twice', [`X-DFS-MD5: ${right}`, `X-DFS-MD5: ${right}`], 400],
  ])('%s', async (name, headers, status) => {
    const answer = await server.raw(`PUT /fs/digest/${encodeURIComponent(name)}`, {
      headers,
      body: 'hello',
    });
    expect(answer.status).toBe(status);
    const stored = server.files.bytesAt(`/digest/${name}`)?.toString();
    expect(stored).toBe(status === 201 ? 'hello' : undefined);
  });

  it.each([
    ['right', [], `X-DFS-MD5: ${right}`, 201],
    ['right in base64', [], `Content-MD5: ${md5Of('hello', 'base64')}`, 201],
    ['wrong', [], `X-DFS-MD5: ${wrong}`, 400],
    ['malformed', [], 'X-DFS-MD5: 12', 400],
    ['missing', [], 'X-Other: 1', 400],
    ['other than the header', [`X-DFS-MD5: ${right}`], `X-DFS-MD5: ${wrong}`, 400],
    ['same as the header', [`X-DFS-MD5: ${right}`], `X-DFS-MD5: ${right}`, 201],
  ])('after the body, %s', async (name, headers, trailer, status) => {
    const connection = new RawConnection(server.port);
    const path = `/trailer/${name}`;
    connection.write(
      `PUT /fs${encodeURI(path)} HTTP/1.1\r\n${head('Transfer-Encoding: chunked', 'Trailer: X-DFS-MD5', ...headers)}5\r\nhello\r\n0\r\n${trailer}\r\n\r\n`,
    );
    const answer = await connection.answer();
    connection.destroy();
    expect(answer.status).toBe(status);
    expect(server.files.bytesAt(path)?.toString()).toBe(status === 201 ? 'hello' : undefined);
  });
});

describe('a conditional PUT', () => {
  it.each<[string, string, (md5: string) => Record<string, string>, number]>([
    ['the right tag', 'there', (md5) => ({ 'If-Match': `"${md5}"` }), 201],
    ['another tag', 'there', () => ({ 'If-Match': '"x"' }), 412],
    ['only a weak tag', 'there', (md5) => ({ 'If-Match': `W/"${md5}"` }), 412],
    ['any tag', 'there', () => ({ 'If-Match': '*' }), 201],
    ['any tag, with nothing there', 'absent', () => ({ 'If-Match': '*' }), 412],
    ['nothing to be there', 'there', () => ({ 'If-None-Match': '*' }), 412],
    ['nothing to be there, and nothing is', 'absent', () => ({ 'If-None-Match': '*' }), 201],
    ['not this tag', 'there', (md5) => ({ 'If-None-Match': `"${md5}"` }), 412],
    ['not this old tag', 'there', () => ({ 'If-None-Match': '"x"' }), 201],
    [
      'no change since long ago',
      'there',
      () => ({ 'If-Unmodified-Since': new Date(0).toUTCString() }),
      412,
    ],
    [
      'no change since tomorrow',
      'there',
      () => ({ 'If-Unmodified-Since': new Date(Date.now() + 86_400_000).toUTCString() }),
      201,
    ],
    [
      'no change, with nothing there',
      'absent',
      () => ({ 'If-Unmodified-Since': new Date(0).toUTCString() }),
      201,
    ],
  ])('that wants %s', async (name, state, headers, status) => {
    const path = `/conditional/${encodeURIComponent(name)}`;
    const md5 = md5Of('old');
    if (state === 'there') await put(`/fs${path}`, 'old');
    const answer = await put(`/fs${path}`, 'new', headers(md5));
    expect(answer.status).toBe(status);
    const before = state === 'there' ? 'old' : undefined;
    const now = server.files.bytesAt(decodeURIComponent(path))?.toString();
    expect(now).toBe(status === 201 ? 'new' : before);
  });

  it('without a change since hands the store the tag to check in its transaction', async () => {
    await put('/fs/race', 'old');
    const date = new Date(Date.now() + 86_400_000).toUTCString();
    await put('/fs/race', 'new', { 'If-Unmodified-Since': date });
    expect(server.files.puts.at(-1)?.ifMatch).toEqual([md5Of('old')]);
  });
});

describe('Expect: 100-continue', () => {
  const expectContinue = (path: string, ...headers: string[]) => {
    const connection = new RawConnection(server.port);
    connection.write(`PUT ${path} HTTP/1.1\r\n${head('Expect: 100-continue', ...headers)}`);
    return connection;
  };

  it('is asked for the body, and stored', async () => {
    const connection = expectContinue('/fs/expected', 'Content-Length: 5');
    expect((await connection.answer()).status).toBe(100);
    connection.write('hello');
    expect((await connection.answer()).status).toBe(201);
    connection.destroy();
  });

  it.each([
    ['a wrong key', '/fs/expected', ['SHARD-KEY: wrong'], 401],
    ['a bad path', '/fs/%2e%2e/x', [], 400],
    ['a directory', '/fs/dir/', [], 409],
    ['a condition that fails', '/fs/expected', ['If-None-Match: *'], 412],
    ['a bad header', '/fs/expected', ['X-DFS-MD5: 1'], 400],
    ['more than there is room for', '/fs/new', ['X-DFS-Size: 5000'], 507],
  ])('is refused for %s before the body', async (_name, path, headers, status) => {
    await put('/fs/expected', 'hello');
    server.files.faults.roomBytes = 1_000;
    const connection = new RawConnection(server.port);
    const key = headers.some((header) => header.startsWith('SHARD'))
      ? []
      : [`SHARD-KEY: ${testKey}`];
    const lines = ['Host: a', ...key, ...headers, 'Transfer-Encoding: chunked'];
    connection.write(
      `PUT ${path} HTTP/1.1\r\n${[...lines, 'Expect: 100-continue', '', ''].join('\r\n')}`,
    );
    const answer = await connection.answer();
    expect(answer.status).toBe(status);
    expect(answer.headers['connection']).toBe('close');
    connection.destroy();
  });

  it('of a form is asked for only from those who may', async () => {
    const connection = new RawConnection(server.port);
    const lines = ['Host: a', 'Content-Type: multipart/form-data; boundary=b', 'Content-Length: 9'];
    connection.write(
      `POST /fs/ HTTP/1.1\r\n${[...lines, 'Expect: 100-continue', '', ''].join('\r\n')}`,
    );
    expect((await connection.answer()).status).toBe(401);
    connection.destroy();
  });

  it('works with the client of Node.js', async () => {
    const request = httpRequest(`${server.url}/fs/by-node`, {
      method: 'PUT',
      headers: { 'shard-key': testKey, expect: '100-continue', 'content-length': 5 },
    });
    request.flushHeaders();
    await once(request, 'continue');
    request.end('hello');
    const [response] = await once(request, 'response');
    expect(response.statusCode).toBe(201);
    response.resume();
  });
});

describe('a PUT that is refused while its body is on the way', () => {
  const large = randomBytes(24 * 2 ** 20);
  const refusals: readonly [string, () => Promise<number>][] = [
    ['fetch', async () => (await put('/fs/large', large)).status],
    [
      'undici',
      async () => {
        const { statusCode, body } = await undiciRequest(`${server.url}/fs/large`, {
          method: 'PUT',
          headers: { 'shard-key': testKey },
          body: large,
        });
        await body.dump();
        return statusCode;
      },
    ],
    [
      'node:http',
      async () => {
        const request = httpRequest(`${server.url}/fs/large`, {
          method: 'PUT',
          headers: { 'shard-key': testKey, 'content-length': large.length },
        });
        request.end(large);
        const [response] = await once(request, 'response');
        response.resume();
        await once(response, 'end');
        return response.statusCode;
      },
    ],
  ];

  it.each(refusals)('shows its status to %s', async (_name, send) => {
    server.files.faults.roomBytes = 1_000;
    expect(await send()).toBe(507);
  });

  it('is cut when its sender goes on for ever', async () => {
    server.files.faults.roomBytes = 1_000;
    const connection = new RawConnection(server.port);
    connection.write(`PUT /fs/large HTTP/1.1\r\n${head('Content-Length: 10000000000')}`);
    const answer = await connection.answer();
    expect([answer.status, answer.headers['connection']]).toEqual([507, 'close']);
    let sentBytes = 0;
    const block = Buffer.alloc(2 ** 20);
    while (connection.socket.writable && !connection.socket.destroyed) {
      sentBytes += block.length;
      if (!connection.socket.write(block)) {
        await Promise.race([once(connection.socket, 'drain'), connection.closed()]).catch(
          () => undefined,
        );
      }
    }
    // What a socket holds on its way comes on top of what the server reads.
    expect(sentBytes).toBeGreaterThan(60 * 2 ** 20);
    expect(sentBytes).toBeLessThan(160 * 2 ** 20);
  });
});

describe('an upload that breaks off', () => {
  const begin = (path: string) => {
    const connection = new RawConnection(server.port);
    connection.write(`PUT ${path} HTTP/1.1\r\n${head('Content-Length: 1000')}`);
    connection.write('some of it');
    return connection;
  };

  it('as the client goes away binds nothing and says so to the store at once', async () => {
    const before = server.files.puts.length;
    const connection = begin('/fs/aborted');
    await expect.poll(() => server.files.puts.length).toBe(before + 1);
    const signal = server.files.puts.at(-1)?.signal;
    connection.destroy();
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => server.lines.at(-1)?.fields['path']).toBe('/fs/aborted');
    expect(server.lines.at(-1)?.fields).toMatchObject({ status: 499, code: 'cancelled' });
    expect(server.files.bytesAt('/aborted')).toBeUndefined();
    expect(server.files.staged.size).toBe(0);
  });

  it('as the client falls silent is refused when it has been for too long', async () => {
    const connection = begin('/fs/silent');
    const answer = await connection.answer();
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body.toString()).error.code).toBe('incomplete-body');
    connection.destroy();
    expect(server.files.bytesAt('/silent')).toBeUndefined();
  });

  it('is not one when the client is slow but keeps on', async () => {
    const connection = new RawConnection(server.port);
    connection.write(`PUT /fs/slow HTTP/1.1\r\n${head('Content-Length: 8')}`);
    // Longer in all than the server waits for any one pause.
    for (const byte of 'slowly..') {
      await new Promise((resolve) => setTimeout(resolve, uploadIdleMs / 5));
      connection.write(byte);
    }
    expect((await connection.answer()).status).toBe(201);
    connection.destroy();
  });

  it('is not one when the store is slow to take it', async () => {
    let release: () => void = () => undefined;
    server.files.faults.holdPut = new Promise((resolve) => {
      release = resolve;
    });
    const done = put('/fs/held', randomBytes(2 ** 20));
    setTimeout(release, uploadIdleMs * 2);
    expect((await done).status).toBe(201);
  });
});

it('has no limit on how long an upload may take, only on its headers', () => {
  expect(server.limits).toEqual({ requestTimeout: 0, headersTimeout: 60_000 });
});
