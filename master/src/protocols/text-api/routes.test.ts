import { type FilePath, newBlobId } from '@dfs/shared';
import { allowOrigins, TrustedProxies } from '@dfs/shared/serving';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { snapshotOf, TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;
beforeAll(async () => {
  server = await new TestPublicServer({
    crossOrigin: allowOrigins(['https://app.example']),
    proxies: TrustedProxies.of('loopback'),
  }).start();
  await server.files.add('/public.txt', 'for all', { isPublic: true });
  await server.files.add('/private.txt', 'for some');
  await server.files.makeDirectory('/dir' as FilePath);
});
afterAll(() => server.stop());

const withKey = { 'shard-key': testKey };

interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | FormData | URLSearchParams;
}

/** Without a key unless it is among the headers. */
async function call(path: string, { method = 'GET', headers = {}, body }: Call = {}) {
  const answer = await fetch(`${server.url}/api/v1/${path}`, {
    method,
    headers,
    redirect: 'manual',
    ...(body === undefined ? {} : { body }),
  });
  return { status: answer.status, text: await answer.text(), headers: answer.headers };
}

/** A form with a file as curl sends it, fields in the order given; an undefined name is a part without one. */
function form(...fields: readonly (readonly [string | undefined, string, string?])[]): Call {
  const parts = fields.map(([name, value, filename]) => {
    const named = name === undefined ? '' : `; name="${name}"`;
    const file = filename === undefined ? '' : `; filename="${filename.replaceAll('\\', '\\\\')}"`;
    const type = filename === undefined ? '' : '\r\nContent-Type: application/octet-stream';
    return `--b0undary\r\nContent-Disposition: form-data${named}${file}${type}\r\n\r\n${value}\r\n`;
  });
  return {
    method: 'POST',
    headers: { ...withKey, 'content-type': 'multipart/form-data; boundary=b0undary' },
    body: `${parts.join('')}--b0undary--\r\n`,
  };
}
const file = (content = 'bytes', name = 'source.bin') => ['file', content, name] as const;

describe('store', () => {
  it('takes the form that its users send, and answers a reference', async () => {
    const stored = await call(
      'store',
      form(
        ['file', 'a video', 'C:\\Users\\me\\video.mp4'],
        ['filename', 'video.mp4'],
        [undefined, ''],
      ),
    );
    expect(stored).toMatchObject({ status: 200, text: 'one@video.mp4' });
    expect(stored.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    const shown = await call('stream/one@video.mp4');
    expect(shown).toMatchObject({ status: 200, text: 'a video' });
    expect(shown.headers.get('content-type')).toBe('video/mp4');
    expect(shown.headers.get('accept-ranges')).toBe('bytes');
  });

  it.each<[string, Call, number, string]>([
    ['no file', form(['filename', 'x']), 400, 'Missing Parameters'],
    [
      'a text in the place of the file',
      form(['file', 'text'], ['filename', 'x']),
      400,
      'Missing Parameters',
    ],
    ['no name', form(file()), 400, 'Missing Parameters'],
    ['an empty name', form(file(), ['filename', ' ']), 400, 'Missing Parameters'],
    ['nothing', form(), 400, 'Missing Parameters'],
    ['nothing with a name', form([undefined, 'x']), 400, 'Missing Parameters'],
    ['no form', { method: 'POST', headers: withKey, body: 'bytes' }, 400, 'Missing Parameters'],
    [
      'a wrong mode',
      form(file(), ['filename', 'x'], ['mode', 'secret']),
      400,
      'Invalid Mode: it is public or private.',
    ],
    [
      'a wrong mode before the file',
      form(['filename', 'x'], ['mode', 'no'], file()),
      400,
      'Invalid Mode: it is public or private.',
    ],
    ['a name that is taken', form(file(), ['filename', 'public.txt']), 409, 'Filename Taken'],
    [
      'a name that is taken, before the file',
      form(['filename', 'public.txt'], file()),
      409,
      'Filename Taken',
    ],
    ['the name of a directory', form(file(), ['filename', 'dir']), 409, 'Filename Taken'],
    [
      'an override that is not true',
      form(file(), ['filename', 'public.txt'], ['override', 'yes']),
      409,
      'Filename Taken',
    ],
  ])('refuses %s', async (_name, request, status, text) => {
    expect(await call('store', request)).toMatchObject({ status, text });
    expect(server.files.staged.size).toBe(0);
  });

  it.each(['../x', 'a/../../x', '/etc/passwd', 'dir/', '..', 'a//b', './x', 'a\0b'])(
    'refuses the name %j wherever it stands',
    async (name) => {
      const puts = server.files.puts.length;
      const after = await call('store', form(file(), ['filename', name], ['override', 'true']));
      const before = await call('store', form(['filename', name], file()));
      for (const { status, text } of [after, before]) {
        expect(status).toBe(400);
        expect(text).toMatch(/^[A-Z"][^{}]+\.$/);
      }
      for (const { path } of server.files.puts.slice(puts)) expect(path).toBe('/source.bin');
      expect(server.files.staged.size).toBe(0);
    },
  );

  it.each(['..', '../../x', '', 'C:\\', '\\\\host\\..'])(
    'lets the name %j of the part decide nothing',
    async (name) => {
      const filename = `safe ${name.length}.txt`;
      const stored = await call('store', form(['file', 'x', name || 'x'], ['filename', filename]));
      expect(stored).toMatchObject({ status: 200, text: `one@safe%20${name.length}.txt` });
    },
  );

  it.each([[{}], [{ 'shard-key': 'wrong' }], [{ authorization: 'Bearer wrong' }]])(
    'denies who has no key or a wrong one: %j',
    async (headers) => {
      const { body = '' } = form(file(), ['filename', 'denied.txt']);
      const type = { 'content-type': 'multipart/form-data; boundary=b0undary' };
      const denied = await call('store', {
        method: 'POST',
        headers: { ...headers, ...type },
        body,
      });
      expect(denied).toMatchObject({ status: 401, text: 'Denied' });
    },
  );

  it('overlooks fields that it does not know, empty ones, and blanks around the key', async () => {
    const { headers, body = '' } = form(
      ['a[b][c][d]', 'unknown'],
      file('odd'),
      ['mode', ''],
      ['override', ''],
      ['__proto__', 'x'],
      ['other', 'a file', 'other.txt'],
      ['filename', 'odd.txt'],
    );
    const answer = await server.raw('POST /api/v1/store', {
      key: null,
      headers: [
        'Content-Type: multipart/form-data',
        `Content-Type: ${headers?.['content-type']}`,
        `SHARD-KEY:   ${testKey}  `,
      ],
      body: String(body),
    });
    expect([answer.status, answer.body.toString()]).toEqual([200, 'one@odd.txt']);
    expect((await call('stream/one@odd.txt')).text).toBe('odd');
  });

  it('replaces what is there when told to, and keeps a private file private', async () => {
    const fields = [file('first'), ['filename', 'again.txt'], ['mode', 'Private']] as const;
    expect((await call('store', form(...fields))).status).toBe(200);
    expect((await call('stream/again.txt')).status).toBe(401);
    const second = [file('second'), ['filename', 'again.txt'], ['mode', 'private']] as const;
    expect(await call('store', form(...second))).toMatchObject({ status: 409 });
    const stored = await call('store', form(...second, ['override', 'True']));
    expect(stored).toMatchObject({ status: 200, text: 'one@again.txt' });
    expect((await call('stream/again.txt')).status).toBe(401);
    expect((await call('stream/again.txt', { headers: withKey })).text).toBe('second');
  });

  it('says that there is no room', async () => {
    server.files.faults.put = undefined;
    server.files.faults.roomBytes = -1;
    const full = await call('store', form(file(), ['filename', 'full.txt']));
    server.files.faults.roomBytes = Number.POSITIVE_INFINITY;
    expect(full.status).toBe(507);
    expect(full.text).toMatch(/room/);
  });

  it('refuses two files', async () => {
    const twice = await call('store', form(file('1'), file('2'), ['filename', 'twice.txt']));
    expect(twice.status).toBe(400);
    expect(twice.text).toContain('more than one file');
    await expect.poll(() => server.files.staged.size).toBe(0);
  });

  it('takes its other methods for wrong', async () => {
    const wrong = await call('store', { headers: withKey });
    expect(wrong).toMatchObject({ status: 405 });
    expect(wrong.headers.get('allow')).toBe('POST');
    expect(wrong.headers.get('content-type')).toBe('text/plain; charset=utf-8');
  });
});

describe('stream and download', () => {
  it.each<[string, Record<string, string>, number, string | RegExp]>([
    ['one@public.txt', {}, 200, 'for all'],
    ['another@public.txt', {}, 200, 'for all'],
    ['public.txt', {}, 200, 'for all'],
    ['one%40public.txt', {}, 200, 'for all'],
    ['one@private.txt', withKey, 200, 'for some'],
    ['one@private.txt', { authorization: `Bearer ${testKey}` }, 200, 'for some'],
    ['one@private.txt', {}, 401, /^Denied: /],
    ['one@private.txt', { 'shard-key': 'wrong' }, 401, /^Denied: /],
    ['one@none.txt', {}, 404, 'There is no file none.txt.'],
    ['one@none.txt', withKey, 404, 'There is no file none.txt.'],
    ['one@dir', withKey, 404, 'There is no file dir.'],
    ['one@../private.txt', withKey, 400, /"\.\."/],
    ['one@%2e%2e%2fprivate.txt', withKey, 400, /"\.\."/],
    ['one@', withKey, 400, /names no file/],
    ['', withKey, 400, /names no file/],
    ['one@public.txt', { range: 'bytes=0-2' }, 206, 'for'],
    ['one@public.txt', { range: 'bytes=-3' }, 206, 'all'],
    ['one@public.txt', { range: 'bytes=90-' }, 416, /range|long|bytes/i],
  ])('of %s with %j answer %i', async (reference, headers, status, text) => {
    for (const kind of ['stream', 'download']) {
      const answer = await server.raw(`GET /api/v1/${kind}/${reference}`, {
        key: null,
        headers: Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
      });
      expect(answer.status).toBe(status);
      if (typeof text === 'string') expect(answer.body.toString()).toBe(text);
      else expect(answer.body.toString()).toMatch(text);
    }
  });

  it('are shown and saved under the name of the file', async () => {
    const shown = await call('stream/one@public.txt');
    expect(shown.headers.get('content-disposition')).toBe('inline; filename="public.txt"');
    const saved = await call('download/one@public.txt');
    expect(saved.headers.get('content-disposition')).toBe('attachment; filename="public.txt"');
    expect((await call('stream/one@public.txt', { method: 'HEAD' })).status).toBe(200);
  });

  it('cannot be written to', async () => {
    const wrong = await call('stream/one@public.txt', { method: 'POST', headers: withKey });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get('allow')).toBe('GET, HEAD');
  });
});

describe('delete', () => {
  it.each([
    ['a form', form(['query_string', 'one@gone%20soon.txt'], [undefined, ''])],
    [
      'an encoded form',
      {
        method: 'POST',
        headers: withKey,
        body: new URLSearchParams({ query_string: 'one@gone%20soon.txt' }),
      },
    ],
  ])('takes the reference from %s', async (_name, request) => {
    await server.files.add('/gone soon.txt', 'x');
    expect(await call('delete', request)).toMatchObject({
      status: 200,
      text: 'one@gone%20soon.txt',
    });
    expect((await call('stream/gone%20soon.txt', { headers: withKey })).status).toBe(404);
    expect((await call('delete', request)).status).toBe(404);
  });

  it.each<[string, Call, number, RegExp]>([
    ['no reference', form(['priority', '1']), 400, /^Missing parameter query_string$/],
    ['nothing', { method: 'POST', headers: withKey }, 400, /^Missing parameter query_string$/],
    ['a climbing reference', form(['query_string', 'one@../public.txt']), 400, /"\.\."/],
    ['a directory', form(['query_string', 'one@dir']), 409, /directory/],
    ['no key', { ...form(['query_string', 'one@public.txt']), headers: {} }, 401, /^Denied: /],
  ])('refuses %s', async (_name, request, status, text) => {
    const answer = await call('delete', request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
    expect((await call('stream/public.txt')).status).toBe(200);
  });
});

describe('presign', () => {
  const opened = (reference: string) => call(`stream/${reference}`);

  it('gives a reference that opens the file, until it is taken back', async () => {
    const signed = await call('presign/one@private.txt?duration=60', { headers: withKey });
    expect(signed.status).toBe(200);
    expect(signed.text).toMatch(/^one@private\.txt\?signature=[A-Za-z0-9_-]{40,}$/);
    expect(await opened(signed.text)).toMatchObject({ status: 200, text: 'for some' });
    expect((await call(`download/${signed.text}`)).status).toBe(200);
    const signature = signed.text.slice(signed.text.indexOf('=') + 1);
    expect((await opened(`one@again.txt?signature=${signature}`)).status).toBe(401);
    expect(
      (await opened(`one@private.txt?signature=${signature.replace(/.$/, '_')}x`)).status,
    ).toBe(401);
    const revoked = await call(`presign?signature=${signature}`, {
      method: 'DELETE',
      headers: withKey,
    });
    expect(revoked).toMatchObject({ status: 200, text: signature });
    expect((await opened(signed.text)).status).toBe(401);
    expect(JSON.stringify(server.lines)).not.toContain(signature);
  });

  it.each<[string, string, Call, number, RegExp]>([
    [
      'no duration',
      'presign/one@private.txt',
      { headers: withKey },
      400,
      /^Value duration is not defined$/,
    ],
    [
      'a wrong duration',
      'presign/one@private.txt?duration=soon',
      { headers: withKey },
      400,
      /seconds/,
    ],
    ['no time', 'presign/one@private.txt?duration=0', { headers: withKey }, 400, /seconds/],
    ['a public file', 'presign/one@public.txt?duration=60', { headers: withKey }, 409, /is public/],
    ['no such file', 'presign/one@none.txt?duration=60', { headers: withKey }, 404, /no file/],
    [
      'a climbing reference',
      'presign/one@..%2Fprivate.txt?duration=60',
      { headers: withKey },
      400,
      /"\.\."/,
    ],
    ['no key', 'presign/one@private.txt?duration=60', {}, 401, /^Denied: /],
    [
      'a wrong key',
      'presign/one@private.txt?duration=60',
      { headers: { 'shard-key': 'x' } },
      401,
      /^Denied: /,
    ],
    [
      'no signature',
      'presign',
      { method: 'DELETE', headers: withKey },
      400,
      /^Value signature is not defined$/,
    ],
    [
      'what is no signature',
      'presign?signature=abc',
      { method: 'DELETE', headers: withKey },
      400,
      /signature/,
    ],
    ['a signature without a key', 'presign?signature=abc', { method: 'DELETE' }, 401, /^Denied: /],
    ['nothing to sign', 'presign?duration=60', { headers: withKey }, 405, /GET/],
  ])('refuses %s', async (_name, path, request, status, text) => {
    const answer = await call(path, request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
  });
});

describe('ipv4access', () => {
  const grant = (query: string, request: Call = { headers: withKey }) =>
    call(`ipv4access/one@private.txt${query}`, request);
  const revoke = { method: 'DELETE', headers: withKey };

  it.each(['127.0.0.1', '127.0.0.0/8', '::ffff:127.0.0.1'])(
    'lets who asks from %s read the file, until it is taken back',
    async (address) => {
      const query = `ipv4=${encodeURIComponent(address)}`;
      expect((await call('stream/one@private.txt')).status).toBe(401);
      expect(await grant(`?duration=60&${query}`)).toMatchObject({ status: 200, text: address });
      expect(await call('stream/one@private.txt')).toMatchObject({ status: 200, text: 'for some' });
      expect((await call('stream/one@again.txt')).status).toBe(401);
      expect(await grant(`?${query}`, revoke)).toMatchObject({ status: 200, text: address });
      expect((await call('stream/one@private.txt')).status).toBe(401);
    },
  );

  it('lets nobody else read it, whatever they claim', async () => {
    await grant('?duration=60&ipv4=172.17.0.1');
    const statusFor = async (headers: Record<string, string>) =>
      (await call('stream/one@private.txt', { headers })).status;
    // This server trusts a proxy on this machine.
    expect(await statusFor({ 'x-forwarded-for': '172.17.0.1' })).toBe(200);
    for (const headers of [
      { 'x-forwarded-for': '172.17.0.2' },
      { 'x-forwarded-for': '172.17.0.1, 172.17.0.2' },
      { 'x-real-ip': '172.17.0.1', forwarded: 'for=172.17.0.1' },
      { 'x-dfs-client-address': '172.17.0.1', 'x-dfs-forwarded-key': testKey },
    ]) {
      expect(await statusFor(headers)).toBe(401);
    }
    await grant('?ipv4=172.17.0.1', revoke);
    expect(await statusFor({ 'x-forwarded-for': '172.17.0.1' })).toBe(401);
  });

  it.each<[string, string, Call, number, RegExp]>([
    [
      'no duration',
      '?ipv4=172.17.0.1',
      { headers: withKey },
      400,
      /^Value duration is not defined$/,
    ],
    ['no address', '?duration=60', { headers: withKey }, 400, /^Value ipv4 is not defined$/],
    ['no address to take back', '', revoke, 400, /^Value ipv4 is not defined$/],
    [
      'a wrong address',
      '?duration=60&ipv4=somewhere',
      { headers: withKey },
      400,
      /neither an address/,
    ],
    ['no key', '?duration=60&ipv4=172.17.0.1', {}, 401, /^Denied: /],
    ['no key to take back', '?ipv4=172.17.0.1', { method: 'DELETE' }, 401, /^Denied: /],
  ])('refuses %s', async (_name, query, request, status, text) => {
    const answer = await grant(query, request);
    expect(answer.status).toBe(status);
    expect(answer.text).toMatch(text);
  });
});

describe('caches', () => {
  const asked = () => server.asked.splice(0);
  const here = (outcome: 'stored' | 'cached' | 'ordered' | 'failed', message?: string) => [
    { node: { id: server.files.node.id, name: 'one' }, outcome, ...(message ? { message } : {}) },
  ];

  it.each<[string, Call, string]>([
    ['as usual', form(['query_string', 'one@private.txt']), 'cache /private.txt on 1, priority 10'],
    [
      'with a priority',
      form(['query_string', 'private.txt'], ['priority', '7.4']),
      'cache /private.txt on 1, priority 7',
    ],
    [
      'with a great one',
      form(['query_string', 'private.txt'], ['priority', '4294967295']),
      'cache /private.txt on 1, priority 20',
    ],
  ])('are filled at one node, %s', async (_name, request, order) => {
    server.cacheOutcomes = here('ordered');
    asked();
    const answer = await call('cache', request);
    expect(answer.status).toBe(200);
    expect(answer.text).toMatch(/^Caching file (one@)?private\.txt on instance one$/);
    expect(asked()).toEqual([order]);
  });

  it('are those of the node that has the name of this instance', async () => {
    const node = snapshotOf({ name: 'test' });
    server.nodes.push(node);
    server.cacheOutcomes = here('cached');
    asked();
    const answer = await call('cache', form(['query_string', 'one@private.txt']));
    server.nodes.pop();
    expect(answer.text).toBe('Cached file one@private.txt on instance one');
    expect(asked()).toEqual([`cache /private.txt on ${node.id}, priority 10`]);
  });

  it('are not needed where the file is', async () => {
    for (const outcomes of [here('stored'), []]) {
      server.cacheOutcomes = outcomes;
      const answer = await call('cache', form(['query_string', 'one@private.txt']));
      expect(answer).toMatchObject({ status: 200, text: 'Owns the file' });
    }
  });

  it('are filled at all nodes, with an answer for each', async () => {
    server.cacheOutcomes = [...here('ordered'), ...here('failed', 'It is full.')];
    asked();
    const answer = await call(
      'shard_cache',
      form(['query_string', 'one@private.txt'], ['priority', '1']),
    );
    expect(asked()).toEqual(['cache /private.txt on all, priority 1']);
    expect(JSON.parse(answer.text)).toEqual([
      { instance_name: 'one', outcome: 'ordered' },
      { instance_name: 'one', outcome: 'failed', message: 'It is full.' },
    ]);
  });

  it('are emptied by hand, and when the file is deleted', async () => {
    await server.files.add('/cached.txt', 'x');
    asked();
    const dropped = await call('delete_cache', form(['query_string', 'one@cached.txt']));
    expect(dropped).toMatchObject({ status: 200, text: 'one@cached.txt' });
    expect((await call('delete', form(['query_string', 'one@cached.txt']))).status).toBe(200);
    expect(asked()).toEqual(['drop caches of /cached.txt', 'drop caches of /cached.txt']);
  });

  it('tell why a node cannot', async () => {
    server.cacheOutcomes = here('failed', 'It caches nothing (DFS_CACHE_BYTES).');
    const answer = await call('cache', form(['query_string', 'one@private.txt']));
    expect(answer.status).toBe(503);
    expect(answer.text).toBe(
      'one cannot cache one@private.txt: It caches nothing (DFS_CACHE_BYTES).',
    );
  });

  it.each(['cache', 'shard_cache', 'delete_cache'])('refuse what is wrong: %s', async (name) => {
    asked();
    expect(await call(name, form())).toMatchObject({
      status: 400,
      text: 'Missing parameter query_string',
    });
    expect((await call(name, form(['query_string', 'one@../x']))).status).toBe(400);
    const { body = '' } = form(['query_string', 'one@private.txt']);
    const stranger = {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b0undary' },
      body,
    };
    expect(await call(name, stranger)).toMatchObject({
      status: 401,
      text: expect.stringMatching(/^Denied: /),
    });
    expect((await call(name, { headers: withKey })).status).toBe(405);
    if (name !== 'delete_cache') {
      const wrong = form(['query_string', 'one@private.txt'], ['priority', 'high']);
      expect(await call(name, wrong)).toMatchObject({
        status: 400,
        text: 'The priority is no number.',
      });
    }
    expect(asked()).toEqual([]);
  });
});

describe('what it tells of itself', () => {
  it('names all nodes, in the words that its users know', async () => {
    const told = {
      ...{ blobCount: 7, uptimeSeconds: 90, cachedBytes: 5, cachedCount: 2 },
      publicPort: 80,
    };
    server.nodes.push(
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
    const twin = server.nodes.pop();
    server.nodes.pop();
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
    server.nodes.push(snapshotOf({ name: 'test', url: 'http://172.17.0.2:7050' }));
    const answer = await call('registered_instances', { headers: withKey });
    server.nodes.pop();
    expect(JSON.parse(answer.text)['test'].ipv4).toBe(`127.0.0.1:${server.port}`);
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
    const { id } = server.files.node;
    const told = { blobCount: 3, uptimeSeconds: 77, cachedBytes: 5, cachedCount: 2 };
    const [one] = server.nodes.splice(0, 1, snapshotOf({ id, name: 'test', told }));
    server.nodes.push(snapshotOf({ name: 'other', usedBytes: 1_000_000 }));
    const named = await server.files.find({ path: '/private.txt' as FilePath });
    server.cachedBlobs.set(id, [newBlobId(), named?.file.blobs[0]?.blobId ?? newBlobId()]);
    const answer = await call('information', { headers: withKey });
    const [, other] = server.nodes.splice(0, 2, ...(one ? [one] : []));
    server.cachedBlobs.clear();
    expect(other?.name).toBe('other');
    expect(JSON.parse(answer.text)).toMatchObject({
      name: 'test',
      uptime: 77,
      stored: 100,
      cached_memory: 5,
      cached_files: [{ filename: 'private.txt', size: 8, public: false }],
    });
    expect(JSON.parse(answer.text).stored_files.length).toBeGreaterThan(2);
  });

  it('gives its log, and forgets it when told to', async () => {
    server.ownLog.push('{"message":"first"}');
    server.ownLog.push('{"message":"second"}');
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
    const refused = () => server.lines.filter(({ message }) => /^a node was refused/.test(message));
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

describe('names that say nothing to a shell', () => {
  it.each([
    'a b.txt',
    'ü&?#%41.txt',
    'me@home.txt',
    "it's $(x).txt",
    '100%.txt',
    'films/2026/x y.mp4',
  ])('of %s lead from the answer back to the file', async (name) => {
    const stored = await call('store', form(file(name), ['filename', name]));
    expect(stored.status).toBe(200);
    expect(stored.text).toMatch(/^one@[A-Za-z0-9%@._~/-]+$/);
    expect(await call(`stream/${stored.text}`)).toMatchObject({ status: 200, text: name });
    expect(await call('delete', form(['query_string', stored.text]))).toMatchObject({
      status: 200,
    });
  });
});
