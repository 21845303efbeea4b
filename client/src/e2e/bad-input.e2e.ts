import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ErrorAnswer, RawConnection } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';

interface BadRequest {
  readonly what: string;
  readonly method?: string;
  readonly path: string;
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly key?: 'right' | 'wrong' | 'none';
  readonly status: number;
  readonly code: string;
}

const long = (length: number) => 'x'.repeat(length);
const hex = (text: string) =>
  [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
const id = '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11';

const ways = ['GET', 'PUT', 'DELETE'] as const;
const badPaths: readonly [string, string][] = [
  ['..', '/fs/..'],
  ['.. in the middle', '/fs/a/../b.txt'],
  ['.. at the end', '/fs/a/..'],
  ['.', '/fs/a/./b.txt'],
  ['.. percent-encoded', '/fs/a/%2e%2e/b.txt'],
  ['.. half encoded', '/fs/a/.%2E/b.txt'],
  ['.. with an encoded slash', '/fs/a/..%2fb.txt'],
  ['.. all encoded', `/fs/${hex('../../etc/passwd')}`],
  ['an encoded slash in a name', '/fs/a%2Fb.txt'],
  ['.. as overlong UTF-8', '/fs/%c0%ae%c0%ae/b.txt'],
  ['NUL', '/fs/a%00b.txt'],
  ['bytes that are no UTF-8', '/fs/%ff%fe.txt'],
  ['a percent sign alone', '/fs/100%.txt'],
  ['a cut escape', '/fs/a%2'],
  ['an empty name', '/fs/a//b.txt'],
  ['a half of a surrogate pair', '/fs/%ed%a0%80.txt'],
  ['a name of 256 bytes', `/fs/${long(256)}`],
  ['a name of 86 letters of three bytes', `/fs/${hex('文'.repeat(86))}`],
  ['a path over 4096 bytes', `/fs/${Array(17).fill(long(250)).join('/')}`],
];

const table: BadRequest[] = [
  ...badPaths.flatMap(([what, path]) =>
    ways.map((method) => ({
      what: `${method} of ${what}`,
      method,
      path,
      status: 400,
      code: 'invalid-path',
    })),
  ),
  ...badPaths.slice(0, 12).map(([what, path]) => ({
    what: `stat of ${what}`,
    path: path.replace('/fs/', '/api/v1/stat/'),
    status: 400,
    code: 'invalid-path',
  })),
  ...['/fs/x.txt', '/api/v1/status', '/api/v1/nodes', '/metrics'].flatMap((path) => [
    {
      what: `a wrong key for ${path}`,
      path,
      key: 'wrong' as const,
      status: 401,
      code: 'unauthorized',
    },
    { what: `no key for ${path}`, path, key: 'none' as const, status: 401, code: 'unauthorized' },
  ]),
  {
    what: 'PUT with a wrong key',
    method: 'PUT',
    path: '/fs/x.txt',
    key: 'wrong',
    body: 'x',
    status: 401,
    code: 'unauthorized',
  },
  {
    what: 'an empty bearer',
    path: '/fs/x.txt',
    key: 'none',
    headers: ['Authorization: Bearer '],
    status: 401,
    code: 'unauthorized',
  },
  { what: 'a file that is not there', path: '/fs/absent.txt', status: 404, code: 'not-found' },
  { what: 'a directory that is not there', path: '/fs/absent/', status: 404, code: 'not-found' },
  {
    what: 'DELETE of nothing',
    method: 'DELETE',
    path: '/fs/absent.txt',
    status: 404,
    code: 'not-found',
  },
  { what: 'an unknown path', path: '/no/such/door', status: 404, code: 'not-found' },
  { what: 'an unknown path of the API', path: '/api/v1/no-such', status: 404, code: 'not-found' },
  { what: 'an unknown file id', path: `/api/v1/files/${id}`, status: 404, code: 'not-found' },
  { what: 'no file id', path: '/api/v1/files/not-an-id', status: 400, code: 'invalid-request' },
  { what: 'DELETE of the root', method: 'DELETE', path: '/fs/', status: 409, code: 'conflict' },
  {
    what: 'a file below a file',
    method: 'PUT',
    path: '/fs/file.txt/below',
    body: 'x',
    status: 409,
    code: 'not-a-directory',
  },
  {
    what: 'a file over a directory',
    method: 'PUT',
    path: '/fs/dir',
    body: 'x',
    status: 409,
    code: 'is-a-directory',
  },
  {
    what: 'a file with a slash at its end',
    method: 'PUT',
    path: '/fs/file2.txt/',
    body: 'x',
    status: 409,
    code: 'is-a-directory',
  },
  {
    what: 'a range beyond the end',
    path: '/fs/file.txt',
    headers: ['Range: bytes=100-200'],
    status: 416,
    code: 'range-not-satisfiable',
  },
  {
    what: 'an odd avoid',
    path: '/fs/file.txt?avoid=elsewhere',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an odd onConflict',
    method: 'PUT',
    path: '/fs/x.txt?onConflict=perhaps',
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an odd mode',
    method: 'PUT',
    path: '/fs/x.txt?mode=0777',
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'minCopies=0',
    method: 'PUT',
    path: '/fs/x.txt?minCopies=0',
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'minCopies=many',
    method: 'PUT',
    path: '/fs/x.txt?minCopies=many',
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  { what: 'an odd limit', path: '/fs/?limit=-1&format=json', status: 400, code: 'invalid-request' },
  {
    what: 'an odd limit of the log',
    path: '/api/v1/log?limit=x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a log of an impossible path',
    path: '/api/v1/log?path=..',
    status: 400,
    code: 'invalid-path',
  },
  {
    what: 'a Content-MD5 that is none',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['Content-MD5: xyz'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an X-DFS-MD5 that is none',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['X-DFS-MD5: xyz'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an MD5 of other bytes',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: [`X-DFS-MD5: ${createHash('md5').digest('hex')}`],
    body: 'x',
    status: 400,
    code: 'digest-mismatch',
  },
  {
    what: 'an If-Match that is no tag',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['If-Match: untagged'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an Idempotency-Key of 300 letters',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: [`Idempotency-Key: ${long(300)}`],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a part of a file',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['Content-Range: bytes 0-0/5'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a coded body',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['Content-Encoding: gzip'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a Content-Type that is none',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['Content-Type: nonsense'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a body larger than all room',
    method: 'PUT',
    path: '/fs/x.txt',
    headers: ['Expect: 100-continue', 'Content-Length: 900000000000000'],
    status: 507,
    code: 'no-room',
  },
  {
    what: 'a POST without a form',
    method: 'POST',
    path: '/fs/dir/',
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a form without a boundary',
    method: 'POST',
    path: '/fs/dir/',
    headers: ['Content-Type: multipart/form-data'],
    body: 'x',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'a form without a file',
    method: 'POST',
    path: '/fs/dir/',
    headers: ['Content-Type: multipart/form-data; boundary=b'],
    body: '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--b--\r\n',
    status: 400,
    code: 'invalid-request',
  },
  {
    what: 'an unknown method',
    method: 'PATCH',
    path: '/fs/file.txt',
    body: 'x',
    status: 405,
    code: 'method-not-allowed',
  },
  {
    what: 'DELETE of what is only read',
    method: 'DELETE',
    path: '/api/v1/status',
    status: 405,
    code: 'method-not-allowed',
  },
];

describe('bad input', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
    await cluster.store('/file.txt', 'file');
    await cluster.store('/dir/inside.txt', 'inside');
  });
  afterAll(() => cluster?.dispose());

  const keyLine = (key: BadRequest['key']) => {
    if (key === 'none') return [];
    return [`Authorization: Bearer ${key === 'wrong' ? 'a-wrong-key' : cluster.key}`];
  };

  /** Sent by hand, since clients tidy paths and headers. */
  async function ask({ method = 'GET', path, headers = [], body, key }: BadRequest) {
    const connection = await RawConnection.open(cluster.url);
    const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`];
    const lines = ['Host: 127.0.0.1', 'Connection: close', ...keyLine(key), ...length, ...headers];
    await connection.write(
      `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body ?? ''}`,
    );
    // A client that waits to be asked for its body keeps the connection open.
    const isAsking = headers.some((line) => line.startsWith('Expect'));
    if (isAsking) await connection.read(/\r\n\r\n\{.*\}\s*$/s);
    const text = isAsking ? connection.received : await connection.readToEnd();
    connection.destroy();
    const [head = '', answer = ''] = text.split('\r\n\r\n');
    return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head, answer };
  }

  it.each(table.map((request) => [request.what, request] as const))(
    '%s is refused with a status, a code, a message and a hint',
    async (_what, request) => {
      const { status, head, answer } = await ask(request);
      expect([status, answer]).toEqual([request.status, expect.stringMatching(/^\{/)]);
      const { error } = JSON.parse(answer) as ErrorAnswer;
      expect(error.code).toBe(request.code);
      expect(error.message).toMatch(/\S.*\.$/s);
      expect(error.hint).toMatch(/\S/);
      expect(error.requestId).toMatch(/\S/);
      expect(head).toContain(`X-Request-Id: ${error.requestId}`);
      expect(answer).not.toMatch(/\n\s+at |node_modules|\.ts:\d|\.js:\d|\/work\//);
      if (status === 401) expect(head).toMatch(/WWW-Authenticate: Bearer/i);
      if (status === 405) expect(head).toMatch(/^Allow: /im);
    },
  );

  it.each([
    ['no HTTP', 'hello\r\n\r\n', '400'],
    ['a header without a name', 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n', '400'],
    [
      'two lengths',
      'PUT /fs/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      '400',
    ],
    [
      'a length and chunks',
      'PUT /fs/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      '400',
    ],
    ['a negative length', 'PUT /fs/x HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n', '400'],
    ['headers of 100 KB', `GET / HTTP/1.1\r\nHost: x\r\nX: ${long(100_000)}\r\n\r\n`, '431'],
  ])('%s is refused in the same shape', async (_what, bytes, status) => {
    const connection = await RawConnection.open(cluster.url);
    await connection.write(bytes);
    const text = await connection.readToEnd();
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
    const { error } = JSON.parse(text.split('\r\n\r\n')[1] ?? '') as ErrorAnswer;
    expect([error.code.length > 0, error.message.length > 0]).toEqual([true, true]);
  });

  it('has changed nothing', async () => {
    expect(await cluster.names()).toEqual(['dir', 'file.txt']);
    expect(await cluster.names('/dir')).toEqual(['inside.txt']);
    const health = await cluster.send({ path: '/readyz', withKey: false });
    expect(health.status).toBe(200);
    expect(cluster.launcher.output).not.toMatch(/starting it again/);
  });
});

describe('bad input to the command', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
  });
  afterAll(() => cluster?.dispose());

  it.each([
    [['get', '/absent.txt'], 3],
    [['get', '../escape.txt'], 3],
    [['get', ''], 2],
    [['get', 'a//b'], 2],
    [['get', 'id:nonsense'], 2],
    [['put', '/no/such/file.txt'], 2],
    [['put', '/tmp'], 2],
    [['put', '-'], 2],
    [['ls', '/absent'], 3],
    [['stat', '/absent'], 3],
    [['replicas', '/absent'], 3],
    [['log', '-n', '0'], 2],
    [['put', '--on-conflict', 'maybe', 'x'], 2],
    [['put', '--min-copies', '99', 'x'], 2],
  ] as [string[], number][])('%j ends with %i and a line or two', async (args, code) => {
    const finished = await cluster.dfs(args);
    expect([finished.code, finished.stdout]).toEqual([code, '']);
    const lines = finished.stderr.trim().split('\n');
    expect(lines.length).toBeLessThanOrEqual(3);
    expect(finished.stderr).not.toMatch(/^\s+at /m);
  });
});
