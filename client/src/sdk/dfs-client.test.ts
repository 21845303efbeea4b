import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { StoreApi } from '../api.ts';
import { DfsClient } from './dfs-client.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

interface Heard {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

/** A port that answers as told and remembers what it was asked. */
async function serve(
  answer: (request: Heard, response: ServerResponse) => void,
): Promise<{ client: DfsClient; url: string; heard: Heard[] }> {
  const heard: Heard[] = [];
  const server = createServer(async (request, response) => {
    const { method, url, headers } = request;
    const asked = { line: `${method} ${url}`, headers, body: await text(request) };
    heard.push(asked);
    answer(asked, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { client: new DfsClient({ url, key: 'secret' }), url, heard };
}

const says = (status: number, body: unknown) => (_: Heard, response: ServerResponse) => {
  response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
};

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

const odd = "/ä b/ü'?#%\n😀";
const oddUrl = `/${encodeURIComponent('ä b')}/${encodeURIComponent("ü'?#%\n😀")}`;

describe('the client', () => {
  it('puts bytes with their time, on condition, and their MD5', async () => {
    const { client, heard } = await serve(says(201, { path: odd }));
    const md5 = '5d41402abc4b2a76b9719d911017c592';
    await client.put(odd, 'hello', { modified: new Date(1_500_000_000_123), replaces: md5 });
    await client.put(odd, Buffer.from('hello'), { replaces: 'none', onConflict: 'fail' });
    expect(heard.map(({ line, body }) => [line, body])).toEqual([
      [`PUT /fs${oddUrl}`, 'hello'],
      [`PUT /fs${oddUrl}?onConflict=fail`, 'hello'],
    ]);
    expect(heard[0]?.headers).toMatchObject({
      'x-dfs-modified': '2017-07-14T02:40:00.123Z',
      'if-match': `"${md5}"`,
      'x-dfs-md5': md5,
    });
    expect(heard[1]?.headers['if-none-match']).toBe('*');
  });

  it('puts a stream as it comes', async () => {
    const { client, heard } = await serve(says(201, { path: odd }));
    const content = Readable.from([Buffer.from('in '), Buffer.from('parts')]);
    expect(await client.put(odd, content, { contentType: 'text/plain' })).toEqual({ path: odd });
    expect(heard[0]).toMatchObject({ line: `PUT /fs${oddUrl}`, body: 'in parts' });
    expect(heard[0]?.headers).toMatchObject({
      'content-type': 'text/plain',
      trailer: 'X-DFS-MD5',
    });
    expect(content.destroyed).toBe(true);
  });

  it.each([
    ['MKCOL', 201, { isNew: true }],
    ['MKCOL', 200, { isNew: false }],
  ])('makes a directory: %s %s', async (_, status, expected) => {
    const { client, heard } = await serve(says(status, ''));
    expect(await client.makeDirectory(odd, { parents: true })).toEqual(expected);
    expect(heard[0]?.line).toBe(`MKCOL /fs${oddUrl}?parents=1`);
    expect(heard[0]?.headers.authorization).toBe('Bearer secret');
    // RFC 4918 section 9.3: a body would be refused.
    expect(heard[0]?.headers['content-length'] ?? '0').toBe('0');
    expect(heard[0]?.headers['content-type']).toBeUndefined();
  });

  it('moves with an encoded destination', async () => {
    const { client, heard } = await serve(says(204, ''));
    expect(await client.move('/a', odd, { overwrite: false })).toEqual({ isNew: false });
    expect(heard[0]?.line).toBe('MOVE /fs/a');
    expect(heard[0]?.headers).toMatchObject({ destination: `/fs${oddUrl}`, overwrite: 'F' });
  });

  it('tells which parts of a copy failed', async () => {
    const xml = `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">
      <D:response><D:href>/fs/b%20c/%C3%A4</D:href><D:status>HTTP/1.1 507 Insufficient Storage</D:status></D:response>
      <D:response><D:href>http://x:1/fs/d</D:href><D:status>HTTP/1.1 404 Not Found</D:status><D:responsedescription>No &lt;d&gt; &#38; &amp;amp; more.</D:responsedescription></D:response></D:multistatus>`;
    const { client, heard } = await serve(says(207, xml));
    expect(await client.copy('/a', '/b', { recursive: false })).toEqual({
      isNew: false,
      failures: [
        { path: '/b c/ä', error: '507 Insufficient Storage' },
        { path: '/d', error: 'No <d> & &amp; more.' },
      ],
    });
    expect(heard[0]?.headers).toMatchObject({ depth: '0', overwrite: 'T', destination: '/fs/b' });
  });

  it.each([
    ['nothing', ''],
    ['no part', '<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"/>'],
    ['the page of a proxy', '<html><body>Multi-Status</body></html>'],
    ['a part without a path', '<D:response><D:status>HTTP/1.1 507 No</D:status></D:response>'],
    ['a path elsewhere', '<D:response><D:href>/other/b</D:href></D:response>'],
    ['a path that is none', '<D:response><D:href>/fs/%ff</D:href></D:response>'],
  ])('takes a copy of which parts failed for none when the answer holds %s', async (_, xml) => {
    const { client } = await serve(says(207, xml));
    await expect(client.copy('/a', '/b')).rejects.toMatchObject({
      kind: 'internal',
      message: expect.stringContaining('only a part'),
    });
  });

  it('removes what is expected, for good when asked', async () => {
    const { client, heard } = await serve(says(204, ''));
    await client.remove('/a', { expect: 'empty-directory', trash: false });
    await client.remove('/b');
    expect(heard.map(({ line }) => line)).toEqual([
      'DELETE /fs/a?expect=empty-directory&trash=0',
      'DELETE /fs/b',
    ]);
  });

  it('moves, copies and removes on condition of the content', async () => {
    const md5 = '5d41402abc4b2a76b9719d911017c592';
    const { client, heard } = await serve(says(204, ''));
    await client.move('/a', '/b', { ifMatch: md5 });
    await client.copy('/a', '/b', { ifMatch: md5 });
    await client.remove('/a', { ifMatch: md5 });
    await client.remove('/a');
    expect(heard.map(({ headers }) => headers['if-match'])).toEqual([
      `"${md5}"`,
      `"${md5}"`,
      `"${md5}"`,
      undefined,
    ]);
  });

  it('says when the content is another', async () => {
    const error = { code: 'precondition-failed', message: '/a has another content.' };
    const { client } = await serve(says(412, { error }));
    const failure = { kind: 'precondition-failed' };
    await expect(client.move('/a', '/b', { ifMatch: 'x' })).rejects.toMatchObject(failure);
    await expect(client.copy('/a', '/b', { ifMatch: 'x' })).rejects.toMatchObject(failure);
    await expect(client.remove('/a', { ifMatch: 'x' })).rejects.toMatchObject(failure);
  });

  it('lists page after page, also of a name that needs encoding', async () => {
    const { client, heard } = await serve(({ line }, response) => {
      const after = new URL(line.split(' ')[1] ?? '', 'http://x').searchParams.get('after');
      const page = after === null ? { entries: [{ name: 'a' }], next: 'a&b=ü' } : { entries: [] };
      response.end(JSON.stringify({ path: '/', ...page }));
    });
    expect(await all(client.list('/'))).toEqual([{ name: 'a' }]);
    expect(heard[1]?.line).toBe('GET /fs/?limit=1000&after=a%26b%3D%C3%BC');
  });

  it('finds line by line, names with line separators among them', async () => {
    const found = [{ path: '/a\u2028b' }, { path: '/c\nd' }];
    const lines = found.map((entry) => `${JSON.stringify(entry)}\n`).join('');
    const { client, heard } = await serve(says(200, lines));
    expect(await all(client.find('/x y', { kind: 'file' }))).toEqual(found);
    expect(heard[0]?.line).toBe('GET /find/x%20y/?format=json&kind=file');
  });

  it('rejects when a search breaks off, rather than end early', async () => {
    const { client } = await serve((_, response) => {
      response.write('{"path":"/a"}\n', () => response.destroy());
    });
    const found: string[] = [];
    const read = async () => {
      for await (const { path } of client.find('/')) found.push(path);
    };
    await expect(read()).rejects.toMatchObject({ kind: 'unavailable' });
    expect(found).toEqual(['/a']);
  });

  it('touches, sets copies and asks for usage', async () => {
    const { client, heard } = await serve(says(200, { copies: 1 }));
    await client.touch('/a', { modified: new Date(0), create: false });
    await client.touch('/a');
    await client.setCopies('/a', null);
    await client.usage('/');
    expect(heard.map(({ line, body }) => `${line} ${body}`)).toEqual([
      'POST /api/v1/touch/a {"create":false,"modified":"1970-01-01T00:00:00.000Z"}',
      'POST /api/v1/touch/a {"create":true}',
      'PUT /api/v1/copies/a {"copies":null}',
      'GET /api/v1/usage/ ',
    ]);
    expect(heard[0]?.headers['content-type']).toBe('application/json');
  });

  it('has nodes cache a file and let go of it, and asks what is hot', async () => {
    const { client, heard } = await serve(says(200, [{ outcome: 'ordered' }]));
    expect(await client.caches.order('/a b', { on: 2, priority: 5 })).toEqual([
      { outcome: 'ordered' },
    ]);
    await client.caches.order('/a');
    await client.caches.drop('/a');
    await client.caches.hot();
    expect(heard.map(({ line, body }) => `${line} ${body}`)).toEqual([
      'POST /api/v1/caches/a%20b {"on":2,"priority":5}',
      'POST /api/v1/caches/a {}',
      'DELETE /api/v1/caches/a ',
      'GET /api/v1/hot ',
    ]);
  });

  it('lists, restores and empties the trash', async () => {
    const { client, heard } = await serve(({ line }, response) => {
      if (line.includes('after=7')) response.end('{"items":[{"id":"8"}]}');
      else if (line.startsWith('GET')) response.end('{"items":[{"id":"7"}],"next":"7"}');
      else response.end(JSON.stringify({ path: '/a', removed: 2 }));
    });
    expect(await all(client.trash.list({ path: 'x' }))).toEqual([{ id: '7' }, { id: '8' }]);
    const id = '7' as Parameters<typeof client.trash.restore>[0];
    expect(await client.trash.restore(id, { to: '/a', onConflict: 'rename' })).toBe('/a');
    expect(await client.trash.empty({ path: '/x' })).toBe(2);
    expect(heard.map(({ line, body }) => `${line} ${body}`)).toEqual([
      'GET /api/v1/trash?limit=1000&path=%2Fx ',
      'GET /api/v1/trash?limit=1000&path=%2Fx&after=7 ',
      'POST /api/v1/trash/restore {"id":"7","to":"/a","onConflict":"rename"}',
      'POST /api/v1/trash/empty {"path":"/x"}',
    ]);
  });

  it('rejects with what the store says', async () => {
    const error = { code: 'is-a-directory', message: '/a is a directory.', hint: 'Hm.' };
    const { client } = await serve(says(409, { error }));
    await expect(client.remove('/a')).rejects.toMatchObject({
      kind: 'is-a-directory',
      message: '/a is a directory.',
      hint: 'Hm.',
    });
  });

  it('refuses a path that climbs before anything is sent', async () => {
    const { client, heard } = await serve(says(200, {}));
    await expect(client.remove('/a/../b')).rejects.toMatchObject({ kind: 'invalid-path' });
    expect(heard).toEqual([]);
  });

  it('ends what is under way when its signal says so', async () => {
    const abort = new AbortController();
    const { url } = await serve(() => abort.abort());
    const client = new DfsClient(new StoreApi({ url, key: undefined }, { signal: abort.signal }));
    await expect(client.stat('/a')).rejects.toMatchObject({ kind: 'cancelled' });
  });
});
