import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ListAnswer, PutAnswer } from './harness/answers.ts';
import { contentOf, contentStream, md5Of, md5OfContent, seededRandom } from './harness/content.ts';
import { type ErrorAnswer, RawConnection, sendHttp } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

const md5Base64 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('base64');

describe('the public port', () => {
  let cluster: LocalCluster;
  const bytes = contentOf('ranges', 3_300_000);
  const md5 = md5Of(bytes);
  beforeAll(async () => {
    // Small segments, so that a file of a few MiB has borders inside.
    cluster = await startCluster({ nodes: 2, environment: { DFS_SEGMENT_BYTES: '1MiB' } });
    await cluster.store('/ranges.bin', bytes);
    await cluster.store('/empty.bin', '');
  });
  afterAll(() => cluster?.dispose());

  const send = (method: string, path: string, headers: Record<string, string> = {}) =>
    cluster.send({ method, path, headers });

  describe('ranges', () => {
    it('are of a file of several blobs here', async () => {
      const { blobs } = await cluster.stat('/ranges.bin');
      expect(blobs.map(({ offset, size }) => [offset, size])).toEqual([
        [0, 1_048_576],
        [1_048_576, 1_048_576],
        [2_097_152, 1_048_576],
        [3_145_728, 154_272],
      ]);
    });

    it.each([
      ['bytes=0-0', 0, 1],
      ['bytes=0-99', 0, 100],
      ['bytes=5-', 5, 3_300_000],
      ['bytes=-1', 3_299_999, 3_300_000],
      ['bytes=-500', 3_299_500, 3_300_000],
      ['bytes=-9999999', 0, 3_300_000],
      ['bytes=3299999-', 3_299_999, 3_300_000],
      ['bytes=3299990-9999999', 3_299_990, 3_300_000],
      ['bytes=1048575-1048576', 1_048_575, 1_048_577],
      ['bytes=1048576-2097151', 1_048_576, 2_097_152],
      ['bytes=1000000-3200000', 1_000_000, 3_200_001],
      ['Bytes=0-0', 0, 1],
    ])('%s gives exactly these bytes', async (range, start, end) => {
      const got = await cluster.get('/ranges.bin', { Range: range });
      expect(got.status).toBe(206);
      expect(got.headers['content-range']).toBe(`bytes ${start}-${end - 1}/3300000`);
      expect(got.headers['content-length']).toBe(String(end - start));
      expect(got.headers.etag).toBe(`"${md5}"`);
      expect(got.body.equals(bytes.subarray(start, end))).toBe(true);
    });

    it('at random places are exact', async () => {
      const random = seededRandom(10);
      const gets = Array.from({ length: 60 }, async () => {
        const [a, b] = [random(), random()].map((x) => Math.floor(x * bytes.length));
        const [start, end] = [Math.min(a ?? 0, b ?? 0), Math.max(a ?? 0, b ?? 0)];
        const got = await cluster.get('/ranges.bin', { Range: `bytes=${start}-${end}` });
        expect(got.body.equals(bytes.subarray(start, end + 1))).toBe(true);
      });
      await Promise.all(gets);
    });

    it('several in one request come as parts', async () => {
      const range = 'bytes=0-9, 1048570-1048580, -10';
      const got = await cluster.get('/ranges.bin', { Range: range });
      expect(got.status).toBe(206);
      const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(
        got.headers['content-type'] ?? '',
      )?.[1];
      expect(boundary).toBeDefined();
      expect(got.headers['content-length']).toBe(String(got.body.length));
      const parts = got.body.toString('latin1').split(`--${boundary}`).slice(1, -1);
      const found = parts.map((part) => {
        const place = /content-range: bytes (\d+)-(\d+)\/3300000/i.exec(part);
        const body = part.slice(part.indexOf('\r\n\r\n') + 4, -2);
        const [start, last] = [Number(place?.[1]), Number(place?.[2])];
        expect(body).toBe(bytes.subarray(start, last + 1).toString('latin1'));
        return [start, last];
      });
      expect(found).toEqual([
        [0, 9],
        [1_048_570, 1_048_580],
        [3_299_990, 3_299_999],
      ]);
    });

    it.each(['bytes=3300000-', 'bytes=9999999-99999999', 'bytes=-0'])(
      '%s touches nothing: 416 with the length',
      async (range) => {
        const got = await cluster.get('/ranges.bin', { Range: range });
        expect(got.status).toBe(416);
        expect(got.headers['content-range']).toBe('bytes */3300000');
        expect(got.json<ErrorAnswer>().error.code).toBe('range-not-satisfiable');
      },
    );

    it('of an empty file touch nothing', async () => {
      const got = await cluster.get('/empty.bin', { Range: 'bytes=0-' });
      expect([got.status, got.headers['content-range']]).toEqual([416, 'bytes */0']);
    });

    it.each(['bytes=abc', 'bytes=5-1', 'lines=1-2', 'bytes=', 'bytes=-', 'bytes=1-2-3'])(
      '%j says nothing that is understood: the whole is sent',
      async (range) => {
        const got = await cluster.get('/ranges.bin', { Range: range });
        expect([got.status, got.body.length]).toEqual([200, bytes.length]);
      },
    );

    it('count only for the content that If-Range names', async () => {
      const same = await cluster.get('/ranges.bin', {
        Range: 'bytes=0-9',
        'If-Range': `"${md5}"`,
      });
      const other = await cluster.get('/ranges.bin', {
        Range: 'bytes=0-9',
        'If-Range': '"00000000000000000000000000000000"',
      });
      expect([same.status, other.status]).toEqual([206, 200]);
      expect(other.body.equals(bytes)).toBe(true);
    });
  });

  describe('conditions', () => {
    it('let a reader keep what they have', async () => {
      const whole = await cluster.get('/ranges.bin');
      const etag = whole.headers.etag ?? '';
      const modified = whole.headers['last-modified'] ?? '';
      const same: Record<string, string>[] = [
        { 'If-None-Match': etag },
        { 'If-None-Match': `"other", W/${etag}` },
        { 'If-None-Match': '*' },
        { 'If-Modified-Since': modified },
      ];
      for (const headers of same) {
        const got = await cluster.get('/ranges.bin', headers);
        expect([headers, got.status, got.body.length]).toEqual([headers, 304, 0]);
        expect(got.headers.etag).toBe(etag);
      }
      const changed: Record<string, string>[] = [
        { 'If-None-Match': '"other"' },
        { 'If-Modified-Since': new Date(0).toUTCString() },
        { 'If-Modified-Since': 'yesterday' },
        { 'If-None-Match': '"other"', 'If-Modified-Since': modified },
      ];
      for (const headers of changed) {
        const got = await cluster.get('/ranges.bin', headers);
        expect([headers, got.status]).toEqual([headers, 200]);
      }
      const failed = await cluster.get('/ranges.bin', { 'If-Match': '"other"' });
      expect(failed.status).toBe(412);
    });

    it('decide over a PUT', async () => {
      const path = '/conditional.txt';
      const put = (text: string, headers: Record<string, string>) =>
        cluster.put(path, text, { headers });
      expect((await put('never', { 'If-Match': '*' })).status).toBe(412);
      expect((await put('one', { 'If-None-Match': '*' })).status).toBe(201);
      expect((await put('two', { 'If-None-Match': '*' })).status).toBe(412);
      expect((await put('two', { 'If-Match': `"${md5Of(Buffer.from('no'))}"` })).status).toBe(412);
      expect((await cluster.get(path)).text).toBe('one');
      const right = { 'If-Match': `"${md5Of(Buffer.from('one'))}"` };
      expect((await put('two', right)).status).toBeLessThan(300);
      expect((await put('three', right)).status).toBe(412);
      expect((await cluster.get(path)).text).toBe('two');
    });

    it('decide over a DELETE', async () => {
      await cluster.store('/guarded.txt', 'guarded');
      const wrong = await cluster.remove('/guarded.txt', { 'If-Match': '"other"' });
      expect(wrong.status).toBe(412);
      expect((await cluster.get('/guarded.txt')).status).toBe(200);
      const right = { 'If-Match': `"${md5Of(Buffer.from('guarded'))}"` };
      expect((await cluster.remove('/guarded.txt', right)).status).toBe(204);
      expect((await cluster.get('/guarded.txt')).status).toBe(404);
      expect((await cluster.remove('/guarded.txt')).status).toBe(404);
    });

    it('let one of two writers win who both saw the same', async () => {
      await cluster.store('/contended.txt', 'before');
      const headers = { 'If-Match': `"${md5Of(Buffer.from('before'))}"` };
      const puts = ['a', 'b', 'c', 'd'].map((text) =>
        cluster.put('/contended.txt', text, { headers }),
      );
      const statuses = (await Promise.all(puts)).map((answer) => answer.status);
      expect(statuses.filter((status) => status < 300)).toHaveLength(1);
      expect(statuses.filter((status) => status === 412)).toHaveLength(3);
    });
  });

  describe('bodies', () => {
    it.each([
      ['chunked', Readable.from([Buffer.from('in '), Buffer.from('chunks')]), 'in chunks'],
      ['chunked and empty', Readable.from([]), ''],
      ['of no byte', Buffer.alloc(0), ''],
    ])('%s are stored', async (name, body, text) => {
      const path = `/body ${name}.txt`;
      const put = await cluster.store(path, body);
      expect([put.size, put.md5]).toEqual([text.length, md5Of(Buffer.from(text))]);
      const got = await cluster.get(path);
      expect([got.status, got.text, got.headers['content-length']]).toEqual([
        200,
        text,
        String(text.length),
      ]);
    });

    it('chunked and long become several blobs, and their MD5 is that of the whole', async () => {
      const sizeBytes = 7 * 2 ** 20 + 13;
      const put = await cluster.store('/chunked-long.bin', contentStream('chunked', sizeBytes));
      expect(put).toMatchObject({
        size: sizeBytes,
        md5: await md5OfContent('chunked', sizeBytes),
      });
      expect((await cluster.stat('/chunked-long.bin')).blobs).toHaveLength(8);
      const got = await cluster.get('/chunked-long.bin');
      expect(md5Of(got.body)).toBe(put.md5);
    });

    it.each<[string, number]>([
      ['small', 30_000],
      ['of several blobs', 2_500_000],
    ])('%s are refused when their MD5 is wrong, and nothing is stored', async (name, sizeBytes) => {
      const path = `/wrong md5 ${name}.bin`;
      const body = contentOf(path, sizeBytes);
      const wrongs: Record<string, string>[] = [
        { 'Content-MD5': md5Base64('something else') },
        { 'X-DFS-MD5': md5Of(Buffer.from('something else')) },
      ];
      for (const headers of wrongs) {
        const answer = await cluster.put(path, body, { headers });
        expect(answer.status).toBe(400);
        expect(answer.json<ErrorAnswer>().error.code).toBe('digest-mismatch');
        expect((await cluster.get(path)).status).toBe(404);
      }
      const rights: Record<string, string>[] = [
        { 'Content-MD5': md5Base64(body) },
        { 'X-DFS-MD5': md5Of(body).toUpperCase() },
      ];
      for (const headers of rights) {
        expect((await cluster.put(path, body, { headers })).status).toBeLessThan(300);
      }
    });

    it('replace nothing when their MD5 is wrong', async () => {
      await cluster.store('/kept.txt', 'kept');
      const headers = { 'Content-MD5': md5Base64('other') };
      expect((await cluster.put('/kept.txt', 'new', { headers })).status).toBe(400);
      expect((await cluster.get('/kept.txt')).text).toBe('kept');
    });

    it('may be followed by their MD5 in a trailer', async () => {
      const send = async (md5OfTrailer: string) => {
        const connection = await RawConnection.open(cluster.url);
        await connection.write(
          `PUT /fs/trailer.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\nTrailer: X-DFS-MD5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-DFS-MD5: ${md5OfTrailer}\r\n\r\n`,
        );
        const status = (await connection.read(/^HTTP\/1\.1 (\d+)/))[1];
        connection.destroy();
        return status;
      };
      expect(await send(md5Of(Buffer.from('other')))).toBe('400');
      expect((await cluster.get('/trailer.txt')).status).toBe(404);
      expect(await send(md5Of(Buffer.from('hello')))).toBe('201');
    });

    it('keep the content type that they were sent with, else the one of their name', async () => {
      await cluster.store('/typed.bin', 'x', { headers: { 'Content-Type': 'image/x-odd' } });
      await cluster.store('/photo.jpg', 'x');
      await cluster.store('/unknown.qqq', 'x');
      const types = await Promise.all(
        ['/typed.bin', '/photo.jpg', '/unknown.qqq'].map(
          async (path) => (await cluster.get(path)).headers['content-type'],
        ),
      );
      expect(types).toEqual(['image/x-odd', 'image/jpeg', 'application/octet-stream']);
    });
  });

  describe('Expect: 100-continue', () => {
    const head = (path: string, headers: string) =>
      `PUT ${path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n${headers}\r\n\r\n`;
    const auth = () => `Authorization: Bearer ${cluster.key}`;

    it('is answered before the body is sent', async () => {
      const connection = await RawConnection.open(cluster.url);
      await connection.write(head('/fs/asked.txt', `${auth()}\r\nContent-Length: 5`));
      await connection.read(/^HTTP\/1\.1 100 /);
      await connection.write('hello');
      await connection.read(/HTTP\/1\.1 201 /);
      connection.destroy();
      expect((await cluster.get('/asked.txt')).text).toBe('hello');
    });

    it('is refused before the body where that can be told', async () => {
      await cluster.store('/taken.txt', 'taken');
      const refusals = [
        ['401', '/fs/refused.txt', 'Content-Length: 5'],
        ['401', '/fs/refused.txt', 'Authorization: Bearer wrong\r\nContent-Length: 5'],
        ['412', '/fs/taken.txt', `${auth()}\r\nIf-None-Match: *\r\nContent-Length: 5`],
        ['412', '/fs/taken.txt?onConflict=fail', `${auth()}\r\nContent-Length: 5`],
        ['400', '/fs/refused.txt', `${auth()}\r\nContent-MD5: wrong\r\nContent-Length: 5`],
        ['400', '/fs/a/../b.txt', `${auth()}\r\nContent-Length: 5`],
        ['409', '/fs/taken.txt/below.txt', `${auth()}\r\nContent-Length: 5`],
        ['507', '/fs/huge.bin', `${auth()}\r\nContent-Length: 1000000000000000`],
        [
          '507',
          '/fs/huge.bin',
          `${auth()}\r\nTransfer-Encoding: chunked\r\nX-DFS-Size: 1000000000000000`,
        ],
      ] as const;
      for (const [status, path, headers] of refusals) {
        const connection = await RawConnection.open(cluster.url);
        await connection.write(head(path, headers));
        const first = await connection.read(/^HTTP\/1\.1 (\d+)/);
        expect([path, headers, first[1]]).toEqual([path, headers, status]);
        connection.destroy();
      }
    });
  });

  describe('HEAD', () => {
    it.each([
      ['/fs/ranges.bin', {}],
      ['/fs/ranges.bin', { Range: 'bytes=5-9' }],
      ['/fs/ranges.bin', { Range: 'bytes=9999999-' }],
      ['/fs/ranges.bin', { 'If-None-Match': '*' }],
      ['/fs/empty.bin', {}],
      ['/fs/absent.bin', {}],
      ['/fs/', { Accept: 'application/json' }],
      ['/api/v1/status', {}],
    ] as [string, Record<string, string>][])(
      'of %s %j equals GET without the body',
      async (path, headers) => {
        const [got, head] = [await send('GET', path, headers), await send('HEAD', path, headers)];
        expect([head.status, head.body.length]).toEqual([got.status, 0]);
        const stable = (answer: typeof got) => {
          const { date, 'x-request-id': id, 'x-dfs-node': node, ...rest } = answer.headers;
          // The body of a refusal holds its request id, and that of status the time.
          if (got.status >= 400 || path.startsWith('/api')) delete rest['content-length'];
          return {
            ...rest,
            hasDate: date !== undefined,
            hasId: id !== undefined,
            hasNode: node !== undefined,
          };
        };
        expect(stable(head)).toEqual(stable(got));
      },
    );
  });

  describe('forms', () => {
    const boundary = 'a-boundary-of-the-test';
    type Part = { name: string; file?: string; type?: string; body: Uint8Array | string };
    const formOf = (parts: Part[]) =>
      Buffer.concat([
        ...parts.flatMap(({ name, file, type, body }) => [
          Buffer.from(
            `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file === undefined ? '' : `; filename="${file}"`}\r\n${type === undefined ? '' : `Content-Type: ${type}\r\n`}\r\n`,
          ),
          Buffer.from(body),
          Buffer.from('\r\n'),
        ]),
        Buffer.from(`--${boundary}--\r\n`),
      ]);
    const post = (path: string, body: Buffer | Readable, headers: Record<string, string> = {}) =>
      cluster.send({
        method: 'POST',
        path,
        headers: { 'Content-Type': `multipart/form-data; boundary=${boundary}`, ...headers },
        body,
      });
    const big = contentOf('form', 2_300_000);

    it('store any number of files, which keep both names where one is taken', async () => {
      const form = formOf([
        { name: 'file', file: 'one.txt', type: 'text/plain', body: 'one' },
        { name: 'file', file: 'zwei – 二.bin', body: big },
        { name: 'file', file: 'empty.txt', body: '' },
      ]);
      const first = await post('/fs/forms/', form);
      expect(first.status, first.text).toBe(201);
      const { files } = first.json<{ files: PutAnswer[] }>();
      expect(files.map(({ path, size }) => [path, size])).toEqual([
        ['/forms/one.txt', 3],
        ['/forms/zwei – 二.bin', big.length],
        ['/forms/empty.txt', 0],
      ]);
      expect((await cluster.get('/forms/zwei – 二.bin')).body.equals(big)).toBe(true);
      const second = await post('/fs/forms/', form);
      expect(second.json<{ files: PutAnswer[] }>().files[0]?.path).toBe('/forms/one (1).txt');
    });

    it('check an MD5 that follows its file, and store all files or none', async () => {
      const formWith = (md5: string) =>
        formOf([
          { name: 'file', file: 'first.txt', body: 'first' },
          { name: 'file', file: 'second.bin', body: big },
          { name: 'md5', body: md5 },
        ]);
      const wrong = await post('/fs/all-or-none/', formWith(md5Of(Buffer.from('other'))));
      expect([wrong.status, wrong.json<ErrorAnswer>().error.code]).toEqual([
        400,
        'digest-mismatch',
      ]);
      expect((await send('GET', '/fs/all-or-none/')).status).toBe(404);
      const right = await post('/fs/all-or-none/', formWith(md5Of(big)));
      expect(right.status).toBe(201);
      expect(await cluster.names('/all-or-none')).toEqual(['first.txt', 'second.bin']);
    });

    it('that end too early store nothing', async () => {
      const whole = formOf([{ name: 'file', file: 'cut.bin', body: big }]);
      const cut = await post('/fs/cut/', whole.subarray(0, whole.length - 1_000));
      expect(cut.status).toBe(400);
      expect((await send('GET', '/fs/cut/')).status).toBe(404);
    });

    it.each(['../escape.txt', 'a/b.txt', '..', ''])(
      'with the file name %j store nothing outside their directory',
      async (file) => {
        const answer = await post('/fs/inside/', formOf([{ name: 'file', file, body: 'x' }]));
        expect(answer.status).toBe(400);
        expect(await cluster.names('/')).not.toContain('escape.txt');
        expect((await send('GET', '/fs/inside/')).status).toBe(404);
      },
    );

    it('send a browser back to the listing', async () => {
      const form = formOf([{ name: 'file', file: 'browser.txt', body: 'x' }]);
      const answer = await post('/fs/browser/', form, { Accept: 'text/html' });
      expect([answer.status, answer.headers.location]).toEqual([303, '/fs/browser/']);
    });
  });

  describe('listings', () => {
    beforeAll(async () => {
      await cluster.store('/list/b.txt', 'b');
      await cluster.store('/list/a.txt', 'a');
      await cluster.store('/list/<script>alert(1)&"\'', 'x');
      await cluster.store('/list/deep/er/c.txt', 'c');
    });

    it('are JSON for programs, sorted by the bytes of the names', async () => {
      const answer = await send('GET', '/fs/list/', { Accept: 'application/json' });
      const { path, entries } = answer.json<ListAnswer>();
      expect(path).toBe('/list');
      expect(entries.map(({ name, kind }) => [name, kind])).toEqual([
        ['<script>alert(1)&"\'', 'file'],
        ['a.txt', 'file'],
        ['b.txt', 'file'],
        ['deep', 'directory'],
      ]);
      expect(entries[1]).toMatchObject({ size: 1, md5: md5Of(Buffer.from('a')), public: false });
    });

    it('are pages for people, in which no name is markup', async () => {
      const answer = await send('GET', '/fs/list/', { Accept: 'text/html' });
      expect(answer.headers['content-type']).toMatch(/^text\/html/);
      expect(answer.text).toContain('a.txt');
      expect(answer.text).not.toContain('<script>alert');
      expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
      const links = [...answer.text.matchAll(/href="([^"]+)"/g)].map((match) => match[1] ?? '');
      const base = new URL('/fs/list/', cluster.url);
      for (const link of links.filter((text) => text.includes('script'))) {
        const followed = await send('GET', new URL(link, base).pathname);
        expect(followed.text).toBe('x');
      }
    });

    it('without the slash at the end lead to the one with it', async () => {
      const answer = await send('GET', '/fs/list', { Accept: 'text/html' });
      expect([answer.status, answer.headers.location]).toEqual([301, '/fs/list/']);
    });

    it('come in pages', async () => {
      const puts = Array.from({ length: 25 }, (_, index) =>
        cluster.store(`/pages/${String(index).padStart(2, '0')}.txt`, 'x'),
      );
      await Promise.all(puts);
      const names: string[] = [];
      let after = '';
      for (let pages = 0; pages < 10; pages += 1) {
        const query = `?limit=10${after && `&after=${encodeURIComponent(after)}`}`;
        const answer = await send('GET', `/fs/pages/${query}`, { Accept: 'application/json' });
        const page = answer.json<ListAnswer>();
        names.push(...page.entries.map(({ name }) => name));
        if (page.next === undefined) break;
        after = page.next;
      }
      expect(names).toEqual(
        Array.from({ length: 25 }, (_, index) => `${String(index).padStart(2, '0')}.txt`),
      );
    });
  });

  it('gives the same bytes by the id of the content', async () => {
    const { id } = await cluster.stat('/ranges.bin');
    const got = await send('GET', `/api/v1/files/${id}`);
    expect(got.body.equals(bytes)).toBe(true);
    const part = await send('GET', `/api/v1/files/${id}`, { Range: 'bytes=1048570-1048580' });
    expect(part.body.equals(bytes.subarray(1_048_570, 1_048_581))).toBe(true);
    const absent = await send('GET', '/api/v1/files/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11');
    expect(absent.status).toBe(404);
  });

  it('sends readers of a file of one blob to a node that signs for itself alone', async () => {
    const body = contentOf('redirected', 400_000);
    await cluster.store('/redirected.bin', body);
    const answer = await send('GET', '/fs/redirected.bin?redirect=1');
    expect(answer.status).toBe(307);
    const place = new URL(answer.headers.location ?? '');
    expect(place.origin).not.toBe(new URL(cluster.url).origin);
    const fromNode = (path: string, headers: Record<string, string> = {}) =>
      sendHttp(place.origin, { path, headers });
    const got = await fromNode(place.pathname + place.search);
    expect([got.status, got.body.equals(body)]).toEqual([200, true]);
    const part = await fromNode(place.pathname + place.search, { Range: 'bytes=7-9' });
    expect([part.status, part.body.equals(body.subarray(7, 10))]).toEqual([206, true]);
    const other = (await cluster.stat('/empty.bin')).blobs[0]?.id;
    for (const path of [
      place.pathname,
      `/blobs/${other}${place.search}`,
      `${place.pathname}${place.search.replace(/expires=\d+/, 'expires=9999999999')}`,
      `${place.pathname}${place.search.replace(/signature=.../, 'signature=AAA')}`,
      '/inventory',
      '/status',
    ]) {
      const refused = await fromNode(path);
      expect([path, [401, 403].includes(refused.status)]).toEqual([path, true]);
    }
    // Files of several blobs are joined by the master.
    expect((await send('GET', '/fs/ranges.bin?redirect=1')).status).toBe(200);
  });

  it('keeps what users uploaded from acting as a page of its own', async () => {
    await cluster.store('/page.html', '<script>alert(1)</script>');
    const got = await cluster.get('/page.html');
    expect(got.headers['content-type']).toMatch(/^text\/html/);
    expect(got.headers['content-security-policy']).toBe('sandbox');
    expect(got.headers['x-content-type-options']).toBe('nosniff');
  });

  it('shows strangers public files and nothing else', async () => {
    await cluster.store('/mixed/open.txt', 'open', { query: '?mode=public' });
    await cluster.store('/mixed/secret.txt', 'secret');
    const ask = (path: string, method = 'GET') => cluster.send({ method, path, withKey: false });
    expect((await ask('/fs/mixed/open.txt')).text).toBe('open');
    for (const path of ['/fs/mixed/secret.txt', '/fs/mixed/absent.txt', '/fs/mixed/', '/fs/']) {
      const answer = await ask(path);
      expect([path, answer.status]).toEqual([path, 401]);
      expect(answer.text).not.toContain('secret.txt\n');
    }
    const closed = ['/api/v1/status', '/api/v1/nodes', '/api/v1/log', '/api/v1/stat/mixed'];
    for (const path of closed) expect([path, (await ask(path)).status]).toEqual([path, 401]);
    for (const method of ['PUT', 'DELETE', 'POST', 'MKCOL']) {
      expect([method, (await ask('/fs/mixed/open.txt', method)).status]).toEqual([method, 401]);
    }
    for (const path of ['/', '/healthz', '/readyz', '/api/v1/health']) {
      const answer = await ask(path);
      expect([path, answer.status]).toEqual([path, 200]);
      expect(answer.text).not.toContain('secret');
    }
  });

  it('tells Prometheus how it is', async () => {
    const { text, headers } = await send('GET', '/metrics');
    expect(headers['content-type']).toMatch(/^text\/plain/);
    for (const name of ['dfs_replicas', 'dfs_replicas_wanted', 'dfs_requests_total', 'dfs_nodes']) {
      expect(text).toMatch(new RegExp(`^${name}[ {]`, 'm'));
    }
    expect(text).toMatch(/^process_resident_memory_bytes /m);
  });

  it('makes directories on the way, and deletes a directory only when it is empty where that is asked', async () => {
    await cluster.store('/tree/a/b/c.txt', 'c');
    expect((await send('DELETE', '/fs/tree/a?expect=empty-directory')).status).toBe(409);
    expect((await send('DELETE', '/fs/tree/a/b/c.txt')).status).toBe(204);
    expect((await send('DELETE', '/fs/tree/a/b')).status).toBe(204);
    expect(await cluster.names('/tree/a')).toEqual([]);
  });

  it('gives disk and memory back when a client goes away in the middle of an upload', async () => {
    const before = await cluster.waitUntilTidy();
    const uploads = Array.from({ length: 12 }, async (_, index) => {
      const connection = await RawConnection.open(cluster.url);
      const length = index % 2 === 0 ? 'Content-Length: 50000000' : 'Transfer-Encoding: chunked';
      await connection.write(
        `PUT /fs/aborted/${index}.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\n${length}\r\n\r\n`,
      );
      const chunk = contentOf(`aborted ${index}`, 1_700_000 + index * 100_000);
      if (index % 2 === 1) await connection.write(`${chunk.length.toString(16)}\r\n`);
      await connection.write(chunk);
      return connection;
    });
    const connections = await Promise.all(uploads);
    await waitUntil('bytes of uploads on the nodes', async () => {
      const { copies, staged } = await cluster.onDisk();
      return copies + staged > before.replicas.stored;
    });
    for (const connection of connections) connection.destroy();
    const after = await cluster.waitUntilTidy();
    expect(after.replicas.stored).toBe(before.replicas.stored);
    expect((await send('GET', '/fs/aborted/')).status).toBe(404);
  });

  it('lets an upload take its time', async () => {
    const connection = await RawConnection.open(cluster.url);
    await connection.write(
      `PUT /fs/slow.txt HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\nContent-Length: 4\r\n\r\n`,
    );
    for (const letter of 'slow') {
      await connection.write(letter);
      // Longer than the grace time of collection in all.
      await delay(1_000);
    }
    await connection.read(/^HTTP\/1\.1 201 /);
    connection.destroy();
    expect((await cluster.get('/slow.txt')).text).toBe('slow');
  });

  it('answers requests that come in one packet in their order', async () => {
    const connection = await RawConnection.open(cluster.url);
    const get = (path: string) =>
      `GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\n\r\n`;
    await connection.write(get('/fs/kept.txt') + get('/fs/absent.txt') + get('/healthz'));
    await connection.read(/200 OK.*404 Not Found.*200 OK/s);
    connection.destroy();
  });
});
