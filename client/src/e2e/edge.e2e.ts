import type { NodeAnswer } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { type HttpRequest, RawConnection, sendHttp } from './harness/http.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

/** Three blocks and a bit. */
const content = contentOf('served by nodes', 3 * 2 ** 20 + 12_345);
const secret = Buffer.from('for few');

let programs: SeparatePrograms;
/** Public listeners: of the node that holds the files, and of one that holds nothing. */
let holder: string;
let other: string;
const key = () => ({ 'SHARD-KEY': programs.key });

beforeAll(async () => {
  programs = await startSeparatePrograms({
    nodes: 1,
    copies: 1,
    publicNodes: true,
    replicator: false,
    environment: { DFS_CORS_ORIGINS: 'https://app.example' },
  });
  await programs.store('/public.bin', content, { query: '?mode=public' });
  await programs.store('/ours/private.bin', content);
  await programs.store('/ours/secret.txt', secret);
  await programs.store('/empty.txt', '', { query: '?mode=public' });
  const first = programs.node('node-1');
  const second = await programs.startNode({ name: 'node-2', isPublic: true });
  [holder, other] = [first.publicUrl ?? '', second.publicUrl ?? ''];
});
afterAll(() => programs?.dispose());

/** What tells answers of different servers apart, and when they were given. */
const ownHeaders = ['date', 'x-request-id', 'connection', 'keep-alive', 'x-dfs-node'];

async function answerOf(url: string, asked: HttpRequest) {
  const { status, headers, body } = await sendHttp(url, asked);
  // The boundary of parts is random.
  const boundary = /boundary=([0-9a-f]{32})/.exec(headers['content-type'] ?? '')?.[1] ?? 'none';
  const plain = (text: string) => text.replaceAll(boundary, 'boundary');
  const shared = Object.entries(headers)
    .filter(([name]) => !ownHeaders.includes(name))
    .map(([name, value]) => [name, plain(String(value))]);
  const isText = (headers['content-type'] ?? '').startsWith('application/json');
  const text = isText ? body.toString().replace(/"requestId":"[^"]*"/, '') : '';
  const bytes = plain(body.toString('latin1'));
  return {
    status,
    headers: Object.fromEntries(shared),
    text,
    md5: isText ? '' : md5Of(Buffer.from(bytes, 'latin1')),
  };
}

it('tells administrators where each node serves users', async () => {
  const nodes = await programs.dfsJson<NodeAnswer[]>(['nodes']);
  expect(nodes.map(({ listenerUrl }) => listenerUrl).sort()).toEqual([holder, other].sort());
});

describe('a node with a public listener', () => {
  const md5 = md5Of(content);
  it.each<[string, string, Record<string, string>?, string?]>([
    ['the whole', '/fs/public.bin'],
    ['its head', '/fs/public.bin', {}, 'HEAD'],
    ['a range', '/fs/public.bin', { Range: 'bytes=1048570-2097200' }],
    ['the head of a range', '/fs/public.bin', { Range: 'bytes=5-9' }, 'HEAD'],
    ['the end', '/fs/public.bin', { Range: 'bytes=-100' }],
    ['several ranges', '/fs/public.bin', { Range: 'bytes=0-9,2000000-2000009,500-900' }],
    ['a range outside', '/fs/public.bin', { Range: 'bytes=99999999-' }],
    ['what is known already', '/fs/public.bin', { 'If-None-Match': `"${md5}"` }],
    ['what is no more', '/fs/public.bin', { 'If-Match': '"other"' }],
    ['a range of another content', '/fs/public.bin', { Range: 'bytes=0-9', 'If-Range': '"other"' }],
    ['nothing', '/empty.txt'.replace('/', '/fs/')],
    ['what is to be saved', '/fs/public.bin?download=1', { Range: 'bytes=0-0' }],
    ['a stream', '/api/v1/stream/node-1@public.bin', { Range: 'bytes=7-' }],
    ['a download', '/api/v1/download/node-1@public.bin', { Range: 'bytes=0-1' }],
    ['no such file', '/fs/none.bin'],
    ['a private one', '/fs/ours/secret.txt'],
    ['a private one as a stream', '/api/v1/stream/ours/secret.txt'],
    ['none as a stream', '/api/v1/stream/none.txt'],
    ['a directory', '/fs/ours/'],
    ['a directory without its slash', '/fs/ours'],
    ['a way out', '/fs/../../etc/passwd'],
    ['what is found', '/find/'],
    ['nothing known', '/nothing'],
  ])('answers as the master does: %s', async (_what, path, headers = {}, method = 'GET') => {
    const asked = { path, headers, method };
    const expected = await answerOf(programs.url, asked);
    expect(await answerOf(holder, asked)).toEqual(expected);
    expect(await answerOf(other, asked)).toEqual(expected);
  });

  it('answers the key as the master does', async () => {
    for (const path of ['/fs/ours/private.bin', '/fs/ours/', '/find/ours/', '/api/v1/status']) {
      const asked = { path, headers: { ...key(), Accept: 'text/plain' } };
      const { status, md5: sum } = await answerOf(programs.url, asked);
      for (const url of [holder, other]) {
        const answer = await answerOf(url, asked);
        expect(answer.status).toBe(status);
        if (path !== '/api/v1/status') expect(answer.md5).toBe(sum);
      }
    }
  });

  it('names itself', async () => {
    const nodes = await programs.nodes();
    const idOf = (name: string) => nodes.find((node) => node.name === name)?.id;
    const named = async (url: string) =>
      (await sendHttp(url, { path: '/fs/public.bin' })).headers['x-dfs-node'];
    expect(await named(holder)).toBe(idOf('node-1'));
    expect(await named(other)).toBe(idOf('node-2'));
    const health = await sendHttp(other, { path: '/api/v1/health' });
    expect(health.json()).toMatchObject({ status: 'healthy', instance: 'node-2' });
    expect((await sendHttp(other, { path: '/' })).text).toContain('node-2');
    expect((await sendHttp(other, { path: '/healthz' })).text).toBe('ok\n');
  });

  it('shows and empties its log for the key alone', async () => {
    expect((await sendHttp(other, { path: '/api/v1/logs' })).status).toBe(401);
    const log = await sendHttp(other, { path: '/api/v1/logs', headers: key() });
    expect(log.text).toContain('listening');
    expect(log.text).not.toContain(programs.key);
    const emptied = await sendHttp(other, {
      method: 'DELETE',
      path: '/api/v1/logs',
      headers: key(),
    });
    expect(emptied.text).toBe('Deleted');
    const again = await sendHttp(other, { path: '/api/v1/logs', headers: key() });
    expect(again.text).not.toContain('listening');
  });

  it('lets pages of other origins use it', async () => {
    const headers = { Origin: 'https://app.example' };
    for (const path of ['/fs/public.bin', '/fs/none.bin', '/find/']) {
      const answer = await sendHttp(other, { path, headers });
      expect(answer.headers['access-control-allow-origin']).toBe('https://app.example');
    }
    const elsewhere = await sendHttp(other, { path: '/healthz', headers: { Origin: 'https://b' } });
    expect(elsewhere.headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('through a node', () => {
  it('a file is stored, replaced and removed', async () => {
    const body = contentOf('through a node', 2 * 2 ** 20);
    const path = '/fs/ours/by-node.bin';
    const stored = await sendHttp(other, { method: 'PUT', path, headers: key(), body });
    expect(stored.status, stored.text).toBe(201);
    const headers = { ...key(), 'Content-MD5': md5Of(secret) };
    const refused = await sendHttp(other, { method: 'PUT', path, headers, body });
    expect(refused.status).toBe(400);
    expect((await programs.get('/ours/by-node.bin')).body.equals(body)).toBe(true);
    const removed = await sendHttp(holder, { method: 'DELETE', path, headers: key() });
    expect(removed.status).toBe(204);
    expect((await sendHttp(other, { path, headers: key() })).status).toBe(404);
  });

  it('a form is stored', async () => {
    const form = new FormData();
    form.set('file', new Blob([secret]), 'form.txt');
    form.set('filename', 'forms/form.txt');
    form.set('mode', 'private');
    const answer = await fetch(`${other}/api/v1/store`, {
      method: 'POST',
      body: form,
      headers: key(),
    });
    expect([answer.status, await answer.text()]).toEqual([
      200,
      expect.stringMatching(/@forms\/form\.txt$/),
    ]);
    const read = await sendHttp(holder, { path: '/fs/forms/form.txt', headers: key() });
    expect(read.body.equals(secret)).toBe(true);
  });

  it('a refusal comes before the body, and in the middle of it', async () => {
    const path = '/fs/ours/refused.bin';
    const waiting = await RawConnection.open(other);
    await waiting.write(
      `PUT ${path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n`,
    );
    expect(await waiting.read(/^HTTP\/1\.1 (\d+)/)).toMatchObject({ 1: '401' });
    waiting.destroy();
    const invited = await RawConnection.open(other);
    await invited.write(
      `PUT ${path} HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${programs.key}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`,
    );
    await invited.read(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    await invited.write('ok');
    await invited.read(/\r\n\r\nHTTP\/1\.1 201 /);
    invited.destroy();
    const body = contentOf('refused', 8 * 2 ** 20);
    const answer = await sendHttp(other, { method: 'PUT', path, body });
    expect(answer.status).toBe(401);
  });

  it('the trailer of a body arrives', async () => {
    const put = async (path: string, digest: string) => {
      const connection = await RawConnection.open(other);
      await connection.write(
        [
          `PUT ${path} HTTP/1.1`,
          'Host: a',
          `SHARD-KEY: ${programs.key}`,
          'Transfer-Encoding: chunked',
          'Trailer: X-DFS-MD5',
          '',
          '7\r\nfor few\r\n0',
          `X-DFS-MD5: ${digest}`,
          '',
          '',
        ].join('\r\n'),
      );
      const [, status] = await connection.read(/^HTTP\/1\.1 (\d+)/);
      connection.destroy();
      return status;
    };
    expect(await put('/fs/ours/trailer.txt', md5Of(secret))).toBe('201');
    expect(await put('/fs/ours/wrong.txt', md5Of(content))).toBe('400');
  });
});

describe('a private file at a node', () => {
  const path = '/fs/ours/secret.txt';
  const from = (address: string, headers: Record<string, string> = {}) =>
    sendHttp(other, { path, from: address, headers });

  it('is opened by a link until it is revoked', async () => {
    const shared = await programs.send({
      method: 'POST',
      path: '/api/v1/shares/ours/secret.txt',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ seconds: 600 }),
    });
    const { signature } = shared.json<{ signature: string }>();
    const link = `${path}?signature=${encodeURIComponent(signature)}`;
    for (const url of [holder, other]) {
      expect((await sendHttp(url, { path: link })).body.equals(secret)).toBe(true);
      expect(
        (await sendHttp(url, { path: `/fs/ours/private.bin?signature=${signature}` })).status,
      ).toBe(401);
      expect((await sendHttp(url, { path: link, method: 'DELETE' })).status).toBe(401);
    }
  });

  it('is opened to the address that it is granted to, and to nobody who only claims it', async () => {
    const granted = await programs.send({
      method: 'POST',
      path: '/api/v1/grants/ours/secret.txt',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ network: '127.0.0.2', seconds: 600 }),
    });
    expect(granted.status, granted.text).toBeLessThan(300);
    expect((await from('127.0.0.2')).body.equals(secret)).toBe(true);
    expect((await from('127.0.0.3')).status).toBe(401);
    const claims = [
      { 'X-Forwarded-For': '127.0.0.2' },
      { Forwarded: 'for=127.0.0.2' },
      { 'X-DFS-Client-Address': '127.0.0.2' },
      { 'X-DFS-Client-Address': '127.0.0.2', 'X-DFS-Forwarded-Key': programs.key },
      { Connection: 'X-DFS-Client-Address' },
    ];
    for (const headers of claims) {
      expect((await from('127.0.0.3', headers)).status).toBe(401);
      const listed = await sendHttp(other, { path: '/fs/ours/', from: '127.0.0.3', headers });
      expect(listed.status).toBe(401);
      const atMaster = await sendHttp(programs.url, { path, from: '127.0.0.3', headers });
      expect(atMaster.status).toBe(401);
    }
  });
});

describe('a request that could be read in two ways', () => {
  it.each([
    ['a length beside chunks', ['Content-Length: 4', 'Transfer-Encoding: chunked']],
    ['two lengths', ['Content-Length: 4', 'Content-Length: 60']],
    ['a length twice', ['Content-Length: 4', 'Content-Length: 4']],
    ['a length that is none', ['Content-Length: 4x']],
    ['an encoding that hides', ['Transfer-Encoding: xchunked']],
    ['a header that is no line', ['X: a\rTransfer-Encoding: chunked']],
    [
      'a length that goes with the connection',
      ['Connection: Content-Length', 'Content-Length: 70'],
    ],
  ])('is refused or read in one: %s', async (_what, headers) => {
    for (const url of [programs.url, holder]) {
      const connection = await RawConnection.open(url);
      const hidden = `DELETE /fs/public.bin HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${programs.key}\r\n\r\n`;
      await connection.write(
        ['GET /fs/empty.txt HTTP/1.1', 'Host: a', ...headers, '', `0\r\n\r\n${hidden}`].join(
          '\r\n',
        ),
      );
      await connection.read(/^HTTP\/1\.1 (\d+)/);
      connection.destroy();
    }
    expect((await sendHttp(programs.url, { path: '/fs/public.bin', method: 'HEAD' })).status).toBe(
      200,
    );
  });
});

describe('without the master', () => {
  it('a node goes on to serve what is public and was served lately', async () => {
    await sendHttp(other, { path: '/fs/public.bin' });
    await sendHttp(other, { path: '/fs/ours/private.bin', headers: key() });
    process.kill(programs.pidOfMaster(), 'SIGKILL');
    await programs.master.finished;
    for (const url of [other, holder]) {
      const answer = await sendHttp(url, { path: '/fs/public.bin' });
      expect(answer.status, url).toBe(200);
      expect(answer.body.equals(content)).toBe(true);
    }
    const granted = await sendHttp(other, { path: '/fs/ours/secret.txt', from: '127.0.0.2' });
    expect(granted.body.equals(secret)).toBe(true);
  });

  it('it refuses what is private, unknown, or would change something, and says what to do', async () => {
    // What a key opened counts for ten seconds more, since only the master knows who has it.
    const refused = [
      { path: '/fs/none.bin' },
      { path: '/fs/ours/private.bin' },
      { path: '/fs/new.txt', method: 'PUT', body: 'new', headers: key() },
      { path: '/find/', headers: key() },
    ];
    for (const asked of refused) {
      const answer = await sendHttp(other, asked);
      expect(answer.status).toBe(503);
      expect(answer.headers['retry-after']).toBe('5');
      expect(answer.json<{ error: { hint: string } }>().error.hint).toContain('Start it again');
    }
    expect((await sendHttp(other, { path: '/healthz' })).status).toBe(200);
  });
});

describe('without the node that stores a file', () => {
  it('a node that holds nothing, and the master, serve it from the cache of another', async () => {
    await programs.restartMaster();
    await waitUntil('node-2 to tell what it caches', async () => {
      const cacher = (await programs.nodes()).find(({ name }) => name === 'node-2');
      return (cacher?.cachedBlobs ?? 0) > 0;
    });
    process.kill(programs.pidOfNode('node-1'), 'SIGKILL');
    await programs.node('node-1').program.finished;
    const third = (await programs.startNode({ name: 'node-3', isPublic: true })).publicUrl ?? '';
    for (const url of [third, programs.url]) {
      const headers = { Range: 'bytes=1048570-' };
      const answer = await sendHttp(url, { path: '/fs/public.bin', headers });
      expect(answer.status, url).toBe(206);
      expect(answer.body.equals(content.subarray(1_048_570)), url).toBe(true);
    }
  });
});
