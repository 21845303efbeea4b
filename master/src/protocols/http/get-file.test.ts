import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { type BlobId, newNodeId, StoreError } from '@dfs/shared';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { FileRecord } from '../../metadata/metadata-repository.ts';
import { RawConnection } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';

const text = 'The quick brown fox jumps over the lazy dog, and back again.';
/** Bytes that differ everywhere, longer than any buffer on the way. */
const long = Buffer.from(
  Uint8Array.from({ length: 16 * 2 ** 20 }, (_none, index) => (index * 7919) >> 5),
);

let server: TestPublicServer;
let file: FileRecord;

beforeAll(async () => {
  server = await new TestPublicServer({ config: { downloadIdleMs: 300 } }).start();
  file = await server.files.add('/fox.txt', text, {
    contentType: 'text/plain',
    attributes: { owner: 'Zoë', 'x-y': '1' },
  });
  await server.files.add('/empty', '');
  await server.files.add('/long.bin', long);
});
afterAll(() => server.stop());
afterEach(() => {
  const { faults } = server.files;
  faults.open = undefined;
  faults.breakOff = undefined;
  faults.stallAfterBytes = undefined;
  server.files.nodeUrl = undefined;
});

describe('GET of a file', () => {
  it('gives the bytes and says what they are', async () => {
    const answer = await server.fetch('/fs/fox.txt');
    expect(answer.status).toBe(200);
    expect(await answer.text()).toBe(text);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'accept-ranges': 'bytes',
      'content-length': String(text.length),
      'content-type': 'text/plain',
      'content-md5': Buffer.from(file.md5, 'hex').toString('base64'),
      etag: `"${file.md5}"`,
      'last-modified': expect.stringMatching(/GMT$/),
      'x-dfs-node': server.files.node.id,
      'x-dfs-id': file.id,
      'x-dfs-md5': file.md5,
      'x-request-id': expect.any(String),
      'content-security-policy': 'sandbox',
      'x-content-type-options': 'nosniff',
      'cache-control': 'private, no-cache',
    });
  });

  it('gives the attributes back, in UTF-8', async () => {
    const { headers } = await server.raw('GET /fs/fox.txt');
    expect(Buffer.from(headers['x-dfs-meta-owner'] ?? '', 'latin1').toString()).toBe('Zoë');
    expect(headers['x-dfs-meta-x-y']).toBe('1');
  });

  it('gives the same by the id of the content', async () => {
    const byPath = await server.raw('GET /fs/fox.txt');
    const byId = await server.raw(`GET /api/v1/files/${file.id.toUpperCase()}`);
    expect(byId.body).toEqual(byPath.body);
    const { 'content-disposition': disposition, ...headers } = comparable(byId.headers);
    expect(headers).toEqual(comparable(byPath.headers));
    expect(disposition).toBe('inline; filename="fox.txt"');
  });

  it('gives an empty file', async () => {
    const answer = await server.raw('GET /fs/empty');
    expect([answer.status, answer.headers['content-length'], answer.body.length]).toEqual([
      200,
      '0',
      0,
    ]);
  });

  it('gives a long file byte for byte', async () => {
    const answer = await server.fetch('/fs/long.bin');
    expect(Buffer.from(await answer.arrayBuffer()).equals(long)).toBe(true);
  });

  it('finds names of any Unicode, and those that look like escapes', async () => {
    for (const name of ['søk 🦊.txt', 'a\\b', '100%', '%2e%2e', "it's & <b>", 'line\nfeed']) {
      await server.files.add(`/odd/${name}`, name);
      const answer = await server.fetch(`/fs/odd/${encodeURIComponent(name)}`);
      expect([answer.status, await answer.text()]).toEqual([200, name]);
    }
  });

  it('takes a target in absolute form', async () => {
    expect((await server.raw('GET http://elsewhere/fs/empty')).status).toBe(200);
  });

  it('keeps the connection for the next request', async () => {
    const connection = new RawConnection(server.port);
    for (const path of ['/fs/fox.txt', '/fs/nowhere', '/fs/fox.txt']) {
      connection.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${testKey}\r\n\r\n`);
      expect((await connection.answer()).status).toBe(path === '/fs/nowhere' ? 404 : 200);
    }
    connection.destroy();
  });

  it('passes on which node to avoid', async () => {
    const avoid = newNodeId();
    await server.raw(`GET /fs/fox.txt?avoid=${avoid}`);
    expect(server.files.opened.at(-1)?.request.avoid).toBe(avoid);
  });

  it('as a download carries the name, whatever is in it', async () => {
    await server.files.add('/na"me — 😀;.txt', 'x');
    const answer = await server.fetch(`/fs/${encodeURIComponent('na"me — 😀;.txt')}?download=1`);
    const disposition = answer.headers.get('content-disposition') ?? '';
    expect(disposition).toMatch(/^attachment; filename=".*"; filename\*=UTF-8''/);
    expect(disposition).toContain(encodeURIComponent('😀'));
  });

  it('is sent to a node that can serve it, where one is known', async () => {
    expect((await server.raw('GET /fs/fox.txt?redirect=1')).status).toBe(200);
    server.files.nodeUrl = 'http://node.example:7050';
    const answer = await server.raw('GET /fs/fox.txt?redirect=1');
    expect(answer.status).toBe(307);
    const blobId = file.blobs[0]?.blobId as BlobId;
    expect(answer.headers['location']).toBe(`http://node.example:7050/blobs/${blobId}`);
    expect(answer.headers['cache-control']).toBe('no-store');
    expect((await server.raw('GET /fs/fox.txt')).status).toBe(200);
  });

  it('when no copy can be reached is 503 with the time to come back, GET and HEAD alike', async () => {
    server.files.faults.open = new StoreError('unavailable', 'Nodes one and two hold it.', {
      retryAfterSeconds: 7,
    });
    const answer = await server.raw('GET /fs/fox.txt');
    expect([answer.status, answer.headers['retry-after']]).toEqual([503, '7']);
    expect(answer.body.toString()).toContain('Nodes one and two hold it.');
    expect((await server.raw('HEAD /fs/fox.txt')).status).toBe(503);
  });

  it('that fails in the middle cuts the connection and never ends as if it were whole', async () => {
    const error = new StoreError('unavailable', 'The last copy went away.');
    server.files.faults.breakOff = { afterBytes: 100_000, error };
    const answer = await server.fetch('/fs/long.bin');
    expect(answer.status).toBe(200);
    await expect(answer.arrayBuffer()).rejects.toThrow();
    await expect
      .poll(() => server.lines.at(-1)?.fields)
      .toMatchObject({ status: 200, cut: true, code: 'unavailable' });
  });

  it('stops reading from the node at once when the client goes away', async () => {
    const connection = new RawConnection(server.port);
    connection.write(`GET /fs/long.bin HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${testKey}\r\n\r\n`);
    await once(connection.socket, 'data');
    const { bytes, request } = server.files.opened.at(-1) as (typeof server.files.opened)[number];
    expect(bytes.destroyed).toBe(false);
    connection.destroy();
    await expect.poll(() => bytes.destroyed).toBe(true);
    expect(request.signal.aborted).toBe(true);
    await expect.poll(() => server.lines.at(-1)?.fields).toMatchObject({ cut: true });
    expect(server.lines.at(-1)?.fields).toMatchObject({ code: 'cancelled' });
    expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
  });

  it('is cut when its reader takes nothing for too long', async () => {
    const connection = new RawConnection(server.port);
    connection.socket.pause();
    connection.write(`GET /fs/long.bin HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${testKey}\r\n\r\n`);
    const before = server.files.opened.length;
    await expect.poll(() => server.files.opened.length).toBe(before + 1);
    const { bytes } = server.files.opened.at(-1) as (typeof server.files.opened)[number];
    await expect.poll(() => bytes.destroyed).toBe(true);
    connection.destroy();
  });
});

describe('HEAD of a file', () => {
  it.each([
    ['the whole', '/fs/fox.txt', []],
    ['an empty file', '/fs/empty', []],
    ['a range', '/fs/fox.txt', ['Range: bytes=4-8']],
    ['several ranges', '/fs/long.bin', ['Range: bytes=0-9,5000-5009']],
    ['a range past the end', '/fs/fox.txt', ['Range: bytes=999-']],
    ['a content not modified', '/fs/fox.txt', ['If-None-Match: *']],
    ['a condition that fails', '/fs/fox.txt', ['If-Match: "other"']],
    ['a download', '/fs/fox.txt?download=1', []],
    ['nothing', '/fs/nowhere', []],
    ['a directory', '/fs/', []],
    ['a directory in JSON', '/fs/?format=json', []],
    ['a name without its slash', '/fs/odd', []],
  ])('answers as GET does, without the body, for %s', async (_name, path, headers) => {
    const get = await server.raw(`GET ${path}`, { headers });
    const head = await server.raw(`HEAD ${path}`, { headers });
    expect(head.status).toBe(get.status);
    expect(comparable(head.headers)).toEqual(comparable(get.headers));
    expect(head.body.length).toBe(0);
  });

  it('does not fetch the file', async () => {
    await server.raw('HEAD /fs/long.bin');
    expect(server.files.opened.at(-1)?.request.range).toEqual({ start: 0, end: 1 });
  });
});

describe('a range', () => {
  const size = text.length;
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=4-8', 4, 9],
    ['bytes=10-', 10, size],
    [`bytes=${size - 1}-`, size - 1, size],
    ['bytes=-5', size - 5, size],
    ['bytes=-9999', 0, size],
    ['bytes=0-9999', 0, size],
    ['bytes=0-', 0, size],
    ['BYTES=1-2', 1, 3],
    ['bytes = 1-2', 1, 3],
    ['bytes=1-2,3-5', 1, 6],
    ['bytes=9000-,4-8', 4, 9],
    ['bytes=4-20,8-10', 4, 21],
  ])('%s gives one part', async (range, start, end) => {
    const answer = await server.raw('GET /fs/fox.txt', { headers: [`Range: ${range}`] });
    expect(answer.status).toBe(206);
    expect(answer.body.toString()).toBe(text.slice(start, end));
    expect(answer.headers['content-range']).toBe(`bytes ${start}-${end - 1}/${size}`);
    expect(answer.headers['content-length']).toBe(String(end - start));
    // The digest is of the whole, which this is not.
    expect(answer.headers['content-md5']).toBeUndefined();
  });

  it.each([
    ['another unit', 'lines=1-2'],
    ['no numbers', 'bytes=a-b'],
    ['nothing', 'bytes='],
    ['only a dash', 'bytes=-'],
    ['an end before its start', 'bytes=5-2'],
    ['two dashes', 'bytes=1-2-3'],
    ['a minus', 'bytes=--5'],
    ['too many', `bytes=${Array.from({ length: 17 }, (_none, n) => `${n * 2}-${n * 2}`)}`],
  ])('of %s is as if none were asked', async (_name, range) => {
    const answer = await server.raw('GET /fs/fox.txt', { headers: [`Range: ${range}`] });
    expect([answer.status, answer.body.toString()]).toEqual([200, text]);
  });

  it.each([
    ['/fs/fox.txt', `bytes=${text.length}-`],
    ['/fs/fox.txt', 'bytes=-0'],
    ['/fs/fox.txt', 'bytes=900-,1000-1001'],
    ['/fs/empty', 'bytes=0-'],
    ['/fs/empty', 'bytes=-1'],
  ])('of %s outside the content, %s, is 416', async (path, range) => {
    const answer = await server.raw(`GET ${path}`, { headers: [`Range: ${range}`] });
    expect(answer.status).toBe(416);
    const length = path === '/fs/empty' ? 0 : text.length;
    expect(answer.headers['content-range']).toBe(`bytes */${length}`);
  });

  it('of several places comes in parts, in the order asked, each byte once', async () => {
    const range = 'bytes=9000000-9000009,0-4,500000-600000,100-200,550000-700000,-3';
    const answer = await server.raw('GET /fs/long.bin', { headers: [`Range: ${range}`] });
    expect(answer.status).toBe(206);
    expect(answer.body.length).toBe(Number(answer.headers['content-length']));
    expect(partsOf(answer.headers['content-type'] ?? '', answer.body)).toEqual(
      [
        [9_000_000, 9_000_010],
        [0, 201],
        [500_000, 700_001],
        [long.length - 3, long.length],
      ].map(([start = 0, end = 0]) => ({
        type: 'application/octet-stream',
        range: `bytes ${start}-${end - 1}/${long.length}`,
        isRight: true,
      })),
    );
  });

  it('in parts cuts the connection when a later part fails', async () => {
    const error = new StoreError('corrupt', 'A block is bad.');
    server.files.faults.breakOff = { afterBytes: 1_000, error };
    const range = 'bytes=0-9,100000-200000';
    const answer = await server.fetch('/fs/long.bin', { headers: { range } });
    expect(answer.status).toBe(206);
    await expect(answer.arrayBuffer()).rejects.toThrow();
  });

  it('in parts stops at once when the client goes away', async () => {
    server.files.faults.stallAfterBytes = 64 * 1024;
    const connection = new RawConnection(server.port);
    connection.write(
      `GET /fs/long.bin HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${testKey}\r\nRange: bytes=0-9999999,12000000-\r\n\r\n`,
    );
    await once(connection.socket, 'data');
    const { bytes } = server.files.opened.at(-1) as (typeof server.files.opened)[number];
    connection.destroy();
    await expect.poll(() => bytes.destroyed).toBe(true);
    await expect.poll(() => server.lines.at(-1)?.fields).toMatchObject({ cut: true });
  });
});

describe('a condition', () => {
  const at = (offsetMs: number) =>
    new Date((server.files.findEntry('/fox.txt' as never)?.modifiedAtMs ?? 0) + offsetMs);
  const same = () => at(0).toUTCString();
  const earlier = () => at(-60_000).toUTCString();
  const later = () => at(60_000).toUTCString();
  const tag = () => `"${file.md5}"`;

  it.each<[string, () => Record<string, string>, number]>([
    ['If-Match with the tag', () => ({ 'If-Match': tag() }), 200],
    ['If-Match with the tag among others', () => ({ 'If-Match': `"x", ${tag()}` }), 200],
    ['If-Match with anything', () => ({ 'If-Match': '*' }), 200],
    ['If-Match with another tag', () => ({ 'If-Match': '"x"' }), 412],
    ['If-Match with the weak tag', () => ({ 'If-Match': `W/${tag()}` }), 412],
    ['If-None-Match with the tag', () => ({ 'If-None-Match': tag() }), 304],
    ['If-None-Match with the weak tag', () => ({ 'If-None-Match': `W/${tag()}` }), 304],
    ['If-None-Match with the tag unquoted', () => ({ 'If-None-Match': file.md5 }), 400],
    ['If-None-Match with anything', () => ({ 'If-None-Match': '*' }), 304],
    ['If-None-Match with another tag', () => ({ 'If-None-Match': '"x"' }), 200],
    ['If-Modified-Since of then', () => ({ 'If-Modified-Since': same() }), 304],
    ['If-Modified-Since later', () => ({ 'If-Modified-Since': later() }), 304],
    ['If-Modified-Since earlier', () => ({ 'If-Modified-Since': earlier() }), 200],
    ['If-Modified-Since with no date', () => ({ 'If-Modified-Since': 'yesterday' }), 200],
    ['If-Modified-Since with a number', () => ({ 'If-Modified-Since': '9999999999' }), 200],
    ['If-Unmodified-Since of then', () => ({ 'If-Unmodified-Since': same() }), 200],
    ['If-Unmodified-Since earlier', () => ({ 'If-Unmodified-Since': earlier() }), 412],
    ['If-Unmodified-Since with no date', () => ({ 'If-Unmodified-Since': 'now' }), 200],
    // Which wins, by RFC 9110 section 13.2.2.
    [
      'a right If-Match before a late date',
      () => ({ 'If-Match': tag(), 'If-Unmodified-Since': earlier() }),
      200,
    ],
    ['a wrong If-Match before all', () => ({ 'If-Match': '"x"', 'If-None-Match': tag() }), 412],
    [
      'If-None-Match before a date, not modified',
      () => ({ 'If-None-Match': tag(), 'If-Modified-Since': earlier() }),
      304,
    ],
    [
      'If-None-Match before a date, to be sent',
      () => ({ 'If-None-Match': '"x"', 'If-Modified-Since': later() }),
      200,
    ],
    [
      'a range that matches If-None-Match',
      () => ({ 'If-None-Match': tag(), Range: 'bytes=0-1' }),
      304,
    ],
    [
      'a range past the end that fails If-Match',
      () => ({ 'If-Match': '"x"', Range: 'bytes=999-' }),
      412,
    ],
  ])('%s', async (_name, headers, status) => {
    const answer = await server.fetch('/fs/fox.txt', { headers: headers() });
    expect(answer.status).toBe(status);
    const body = await answer.text();
    if (status === 200) expect(body).toBe(text);
    if (status === 304) {
      expect(body).toBe('');
      expect(answer.headers.get('etag')).toBe(tag());
      expect(answer.headers.get('last-modified')).toBe(same());
    }
  });

  it.each<[string, () => string, number]>([
    ['the tag', tag, 206],
    ['another tag', () => '"x"', 200],
    ['the weak tag', () => `W/${tag()}`, 200],
    ['an earlier date', earlier, 200],
    ['a later date', later, 200],
    ['rubbish', () => 'rubbish', 200],
  ])('If-Range with %s', async (_name, value, status) => {
    const headers = { Range: 'bytes=0-2', 'If-Range': value() };
    const answer = await server.fetch('/fs/fox.txt', { headers });
    expect(answer.status).toBe(status);
    expect(await answer.text()).toBe(status === 206 ? 'The' : text);
  });

  it('If-Range with the date of a content that is older than a second', async () => {
    const entry = server.files.findEntry('/fox.txt' as never);
    const { modifiedAtMs } = entry as NonNullable<typeof entry>;
    Object.assign(entry as object, { modifiedAtMs: modifiedAtMs - 10_000 });
    const headers = { Range: 'bytes=0-2', 'If-Range': same() };
    expect((await server.fetch('/fs/fox.txt', { headers })).status).toBe(206);
    Object.assign(entry as object, { modifiedAtMs });
  });
});

describe('while the master is in recovery', () => {
  it.each([
    'GET /fs/fox.txt',
    'HEAD /fs/fox.txt',
    'GET /fs/',
    'GET /api/v1/stat/fox.txt',
    'GET /api/v1/replicas/fox.txt',
    'PUT /fs/new',
    'POST /fs/',
    'DELETE /fs/fox.txt',
    'MKCOL /fs/new/',
  ])('%s is 503 and says what to do', async (line) => {
    server.recovery = "The master's database is empty.";
    const answer = await server.raw(line);
    server.recovery = undefined;
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBeDefined();
    if (line.startsWith('HEAD')) return;
    const { error } = JSON.parse(answer.body.toString());
    expect(error).toMatchObject({
      code: 'in-recovery',
      message: "The master's database is empty.",
    });
    expect(error.hint).toContain('dfs restore');
  });
});

it('a GET with a body nobody asked for is answered, and the connection stays usable', async () => {
  const request = httpRequest(`${server.url}/fs/fox.txt`, {
    method: 'GET',
    headers: { 'shard-key': testKey, 'content-length': 5 },
  });
  request.end('hello');
  const [response] = await once(request, 'response');
  expect(response.statusCode).toBe(200);
  response.resume();
  await once(response, 'end');
});

/** Headers but those that differ from one answer to the next. */
function comparable(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { date: _date, 'x-request-id': _id, 'transfer-encoding': _coding, ...rest } = headers;
  const { 'content-length': length, 'content-type': type = '', ...others } = rest;
  // Each answer in parts has a boundary of its own, and each error the id of its request.
  const isError = type.startsWith('application/json');
  return {
    ...others,
    'content-type': type.replace(/boundary=.*/, ''),
    ...(length === undefined || isError ? {} : { 'content-length': length }),
  };
}

/** Takes a multipart/byteranges body apart by its own boundary, as RFC 2046 defines it. */
function partsOf(contentType: string, body: Buffer) {
  const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(contentType)?.[1];
  const pieces = `\r\n${body.toString('latin1')}`.split(`\r\n--${boundary}`);
  expect(pieces.shift()).toBe('');
  expect(pieces.pop()).toBe('--\r\n');
  return pieces.map((piece) => {
    const [head = '', ...rest] = piece.split('\r\n\r\n');
    const bytes = Buffer.from(rest.join('\r\n\r\n'), 'latin1');
    const range = /Content-Range: (bytes (\d+)-(\d+)\/\d+)/.exec(head);
    const expected = long.subarray(Number(range?.[2]), Number(range?.[3]) + 1);
    return {
      type: /Content-Type: (\S+)/.exec(head)?.[1],
      range: range?.[1],
      isRight: bytes.equals(expected),
    };
  });
}
