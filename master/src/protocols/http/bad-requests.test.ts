import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RawConnection, sendRaw } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;

beforeAll(async () => {
  server = await new TestPublicServer().start();
  await server.files.add('/kept.txt', 'hello');
  await server.files.makeDirectory('/dir' as never);
});
afterAll(() => server.stop());

const name = (length: number) => 'n'.repeat(length);
const path = (length: number) =>
  `/${`${name(99)}/`.repeat(Math.ceil(length / 100))}`.slice(0, length);

/** Status and code that each bad request gets; a body makes it a PUT that stores nothing. */
const bad: readonly [string, string, number, string, { headers?: string[]; body?: string }?][] = [
  // Paths, each in the words of a hostile client rather than of one that tidies them up.
  ['a path that climbs', 'GET /fs/../../etc/passwd', 400, 'invalid-path'],
  ['a path that climbs from inside', 'GET /fs/dir/../kept.txt', 400, 'invalid-path'],
  ['a path that stays', 'GET /fs/./kept.txt', 400, 'invalid-path'],
  ['encoded dots', 'GET /fs/%2e%2e/kept.txt', 400, 'invalid-path'],
  ['one encoded dot', 'GET /fs/.%2E/kept.txt', 400, 'invalid-path'],
  ['dots and an encoded slash', 'GET /fs/..%2fetc', 400, 'invalid-path'],
  ['all of it encoded', 'GET /fs/%2e%2e%2fetc%2fpasswd', 400, 'invalid-path'],
  ['an encoded slash in a name', 'GET /fs/dir%2Fkept.txt', 400, 'invalid-path'],
  ['dots encoded twice, which are a name', 'GET /fs/%252e%252e/kept.txt', 404, 'not-found'],
  ['an overlong encoding of a slash', 'GET /fs/..%c0%af', 400, 'invalid-path'],
  ['backslashes, which are letters of a name', 'GET /fs/..\\..\\etc', 404, 'not-found'],
  ['NUL', 'GET /fs/a%00b', 400, 'invalid-path'],
  ['a lone surrogate', 'GET /fs/%ed%a0%80', 400, 'invalid-path'],
  ['half an escape', 'GET /fs/a%2', 400, 'invalid-path'],
  ['no escape at all', 'GET /fs/100%', 400, 'invalid-path'],
  ['bytes that are no UTF-8', 'GET /fs/%ff%fe', 400, 'invalid-path'],
  ['letters that are not encoded', 'GET /fs/\xc3\xa9', 400, 'invalid-request'],
  ['an empty name', 'GET /fs/a//b', 400, 'invalid-path'],
  ['an empty first name', 'GET /fs//a', 400, 'invalid-path'],
  ['two slashes at the end', 'GET /fs/dir//', 400, 'invalid-path'],
  ['a name of 256 bytes', `GET /fs/${name(256)}`, 400, 'invalid-path'],
  ['a name of 256 bytes in UTF-8', `GET /fs/${'%C3%A9'.repeat(128)}`, 400, 'invalid-path'],
  ['a name of 255 bytes that is not there', `GET /fs/${name(255)}`, 404, 'not-found'],
  ['a path of 4097 bytes', `GET /fs${path(4_097)}`, 400, 'invalid-path'],
  ['a path of 4095 bytes that is not there', `GET /fs${path(4_095)}`, 404, 'not-found'],
  ['a fragment', 'GET /fs/a#b', 400, 'invalid-request'],
  ['PUT with a path that climbs', 'PUT /fs/%2e%2e/up', 400, 'invalid-path', { body: 'x' }],
  ['DELETE with a path that climbs', 'DELETE /fs/a/%2e%2e', 400, 'invalid-path'],
  ['MKCOL with a path that climbs', 'MKCOL /fs/%2e%2e/', 400, 'invalid-path'],
  ['POST with a path that climbs', 'POST /fs/%2e%2e/', 400, 'invalid-path', { body: 'x' }],
  ['a listing of a path that climbs', 'GET /fs/%2e%2e/', 400, 'invalid-path'],
  ['stat of a path that climbs', 'GET /api/v1/stat/%2e%2e/etc', 400, 'invalid-path'],
  ['replicas of a path that climbs', 'GET /api/v1/replicas/..%2f', 400, 'invalid-path'],
  ['the log of a path that climbs', 'GET /api/v1/log?path=../etc', 400, 'invalid-path'],
  // What is not there, and what cannot be done.
  ['an unknown path', 'GET /fs/nowhere', 404, 'not-found'],
  ['an unknown path, HEAD', 'HEAD /fs/nowhere', 404, 'not-found'],
  ['an unknown directory', 'GET /fs/nowhere/', 404, 'not-found'],
  ['a file named as a directory', 'GET /fs/kept.txt/', 404, 'not-found'],
  ['a name below a file', 'GET /fs/kept.txt/below', 404, 'not-found'],
  ['a PUT below a file', 'PUT /fs/kept.txt/below', 409, 'not-a-directory', { body: 'x' }],
  ['a PUT to a directory', 'PUT /fs/dir', 409, 'is-a-directory', { body: 'x' }],
  ['a PUT with a slash at its end', 'PUT /fs/new/', 409, 'is-a-directory', { body: 'x' }],
  ['a PUT to the root', 'PUT /fs', 409, 'is-a-directory', { body: 'x' }],
  ['DELETE of nothing', 'DELETE /fs/nowhere', 404, 'not-found'],
  ['DELETE of a file named as a directory', 'DELETE /fs/kept.txt/', 404, 'not-found'],
  ['DELETE of the root', 'DELETE /fs/', 409, 'conflict'],
  ['MKCOL of what is there', 'MKCOL /fs/dir/', 405, 'method-not-allowed'],
  ['a method that files do not know', 'PATCH /fs/kept.txt', 405, 'method-not-allowed'],
  ['TRACE', 'TRACE /fs/kept.txt', 405, 'method-not-allowed'],
  ['POST to an answer', 'POST /api/v1/status', 405, 'method-not-allowed'],
  ['PUT to health', 'PUT /healthz', 405, 'method-not-allowed', { body: 'x' }],
  ['an unknown route', 'GET /etc/passwd', 404, 'not-found'],
  ['an unknown API', 'GET /api/v2/status', 404, 'not-found'],
  ['a mount in other letters', 'GET /FS/kept.txt', 404, 'not-found'],
  ['an id that is none', 'GET /api/v1/files/7', 400, 'invalid-request'],
  ['an id that climbs', 'GET /api/v1/files/../status', 400, 'invalid-request'],
  [
    'an id that nothing has',
    'GET /api/v1/files/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11',
    404,
    'not-found',
  ],
  // Headers and queries.
  [
    'a range past the end',
    'GET /fs/kept.txt',
    416,
    'range-not-satisfiable',
    { headers: ['Range: bytes=5-'] },
  ],
  [
    'a suffix of nothing',
    'GET /fs/kept.txt',
    416,
    'range-not-satisfiable',
    { headers: ['Range: bytes=-0'] },
  ],
  [
    'tags that are none',
    'GET /fs/kept.txt',
    400,
    'invalid-request',
    { headers: ['If-None-Match: "half'] },
  ],
  [
    'a tag that differs',
    'GET /fs/kept.txt',
    412,
    'precondition-failed',
    { headers: ['If-Match: "other"'] },
  ],
  ['a node to avoid that is none', 'GET /fs/kept.txt?avoid=me', 400, 'invalid-request'],
  [
    'a digest that is none',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['X-DFS-MD5: 12'], body: 'x' },
  ],
  [
    'a digest in the wrong letters',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Content-MD5: 5d41402abc4b2a76b9719d911017c592'], body: 'hello' },
  ],
  [
    'two digests',
    'PUT /fs/new',
    400,
    'invalid-request',
    {
      headers: [
        'X-DFS-MD5: 5d41402abc4b2a76b9719d911017c592',
        'Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==',
      ],
      body: 'hello',
    },
  ],
  [
    'a digest of other bytes',
    'PUT /fs/new',
    400,
    'digest-mismatch',
    { headers: ['X-DFS-MD5: 5d41402abc4b2a76b9719d911017c592'], body: 'other' },
  ],
  [
    'a part of a file',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Content-Range: bytes 0-0/5'], body: 'x' },
  ],
  [
    'a compressed body',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Content-Encoding: gzip'], body: 'x' },
  ],
  [
    'a type that is none',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Content-Type: text'], body: 'x' },
  ],
  [
    'a length that is none',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['X-DFS-Size: many'], body: 'x' },
  ],
  ['two lengths', 'PUT /fs/new', 400, 'invalid-request', { headers: ['X-DFS-Size: 2'], body: 'x' }],
  [
    'an empty idempotency key',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Idempotency-Key:'], body: 'x' },
  ],
  [
    'a long idempotency key',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: [`Idempotency-Key: ${name(256)}`], body: 'x' },
  ],
  [
    'attributes without end',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: [`X-DFS-Meta-a: ${name(5_000)}`], body: 'x' },
  ],
  [
    'an expectation of wonders',
    'PUT /fs/new',
    400,
    'invalid-request',
    { headers: ['Expect: wonders'], body: 'x' },
  ],
  [
    'a conflict rule that is none',
    'PUT /fs/new?onConflict=win',
    400,
    'invalid-request',
    { body: 'x' },
  ],
  ['a mode that is none', 'PUT /fs/new?mode=0777', 400, 'invalid-request', { body: 'x' }],
  ['copies below one', 'PUT /fs/new?minCopies=0', 400, 'invalid-request', { body: 'x' }],
  ['copies without end', 'PUT /fs/new?minCopies=999', 400, 'invalid-request', { body: 'x' }],
  ['a limit of nothing', 'GET /fs/?limit=0&format=json', 400, 'invalid-request'],
  ['a limit past all', 'GET /fs/?limit=10001', 400, 'invalid-request'],
  ['a format that is none', 'GET /fs/?format=xml', 400, 'invalid-request'],
  ['a log without end', 'GET /api/v1/log?limit=-1', 400, 'invalid-request'],
  ['a form that is none', 'POST /fs/dir/', 400, 'invalid-request', { body: 'x' }],
  ...[
    'PUT /fs/kept.txt',
    'PUT /fs/new',
    'DELETE /fs/kept.txt',
    'DELETE /fs/dir/',
    'MKCOL /fs/new/',
    'MOVE /fs/kept.txt',
    'COPY /fs/dir/',
  ].map((line): (typeof bad)[number] => [
    'a condition of locks',
    line,
    412,
    'precondition-failed',
    {
      headers: ['If: (<urn:uuid:1> ["tag"])', 'Destination: /fs/new'],
      ...(line.startsWith('PUT') ? { body: 'x' } : {}),
    },
  ]),
  ['MKCOL with a body', 'MKCOL /fs/other/', 415, 'unsupported-media-type', { body: 'x' }],
];

describe('a bad request', () => {
  it.each(bad)('%s: %s → %i %s', async (_name, line, status, code, options = {}) => {
    const answer = await server.raw(line, options);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    if (!line.startsWith('HEAD'))
      expectErrorBody(answer.body, code, answer.headers['x-request-id']);
    expect(server.files.bytesAt('/new')).toBeUndefined();
    expect(server.files.bytesAt('/kept.txt')?.toString()).toBe('hello');
  });

  it('names the allowed methods where one cannot be used', async () => {
    const answer = await server.raw('PATCH /fs/kept.txt');
    expect(answer.headers['allow']).toContain('PUT');
    expect((await server.raw('DELETE /healthz')).headers['allow']).toBe('GET, HEAD');
  });

  it('says how long the content is when a range lies outside it', async () => {
    const answer = await server.raw('GET /fs/kept.txt', { headers: ['Range: bytes=9-'] });
    expect(answer.headers['content-range']).toBe('bytes */5');
  });

  it('is refused when the body is larger than the room of all nodes, before the body is read', async () => {
    server.files.faults.roomBytes = 10;
    try {
      const connection = new RawConnection(server.port);
      connection.write(
        `PUT /fs/new HTTP/1.1\r\nHost: a\r\nSHARD-KEY: ${testKey}\r\nContent-Length: 1000000000\r\n\r\n`,
      );
      const answer = await connection.answer();
      connection.destroy();
      expect(answer.status).toBe(507);
      expectErrorBody(answer.body, 'no-room', answer.headers['x-request-id']);
    } finally {
      server.files.faults.roomBytes = Number.POSITIVE_INFINITY;
    }
  });

  it('hides what failed inside, and logs it', async () => {
    const before = server.lines.length;
    const broken = new Error('a secret of the database');
    server.files.faults.open = broken as never;
    try {
      const answer = await server.raw('GET /fs/kept.txt');
      expect(answer.status).toBe(500);
      expectErrorBody(answer.body, 'internal', answer.headers['x-request-id']);
      expect(answer.body.toString()).not.toContain('secret');
      const logged = server.lines.slice(before).find((line) => line.level === 'error');
      expect(logged?.fields).toMatchObject({
        error: broken,
        requestId: answer.headers['x-request-id'],
      });
    } finally {
      server.files.faults.open = undefined;
    }
  });
});

describe('a request that is no HTTP', () => {
  const host = `Host: 127.0.0.1\r\nSHARD-KEY: ${testKey}\r\n`;
  it.each([
    ['noise', '\x16\x03\x01\x02\x00\x01\r\n\r\n', 400, 'invalid-request'],
    ['a space in the target', `GET /fs/a b HTTP/1.1\r\n${host}\r\n`, 400, 'invalid-request'],
    ['a method of its own', `FETCH /fs/a HTTP/1.1\r\n${host}\r\n`, 400, 'invalid-request'],
    ['a header without a colon', `GET / HTTP/1.1\r\n${host}broken\r\n\r\n`, 400, 'invalid-request'],
    ['a header with NUL', `GET / HTTP/1.1\r\n${host}X-A: \0\r\n\r\n`, 400, 'invalid-request'],
    [
      'a folded header',
      `GET / HTTP/1.1\r\n${host}X-A: b\r\n c\r\nX: y\r\n\r\n`,
      400,
      'invalid-request',
    ],
    [
      'two lengths',
      `PUT /fs/new HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`,
      400,
      'invalid-request',
    ],
    [
      'a length and chunks',
      `PUT /fs/new HTTP/1.1\r\n${host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'invalid-request',
    ],
    [
      'headers without end',
      `GET / HTTP/1.1\r\n${host}X-A: ${name(40_000)}\r\n\r\n`,
      431,
      'too-large',
    ],
    ['no host', 'GET / HTTP/1.1\r\n\r\n', 400, 'invalid-request'],
    [
      'a proxy request',
      'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n',
      405,
      'method-not-allowed',
    ],
  ])('%s is answered all the same', async (_name, text, status, code) => {
    const answer = await sendRaw(server.port, Buffer.from(text, 'latin1'));
    expect(answer.status).toBe(status);
    expectErrorBody(answer.body, code, answer.headers['x-request-id']);
  });

  it('as a broken chunk cuts the upload, and nothing is stored', async () => {
    const connection = new RawConnection(server.port);
    connection.write(
      `PUT /fs/new HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nbroken\r\n`,
    );
    const answer = await connection.answer();
    expect(answer.status).toBe(400);
    await connection.closed();
    expect(server.files.bytesAt('/new')).toBeUndefined();
  });
});

describe('a key', () => {
  const places: readonly string[] = [
    'GET /fs/kept.txt',
    'GET /fs/nowhere',
    'GET /fs/dir',
    'GET /fs/dir/',
    'GET /fs/',
    'HEAD /fs/kept.txt',
    'PUT /fs/new',
    'POST /fs/dir/',
    'DELETE /fs/kept.txt',
    'MKCOL /fs/other/',
    'GET /api/v1/files/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11',
    'GET /api/v1/stat/kept.txt',
    'GET /api/v1/replicas/kept.txt',
    'GET /api/v1/nodes',
    'GET /api/v1/log',
    'GET /api/v1/status',
    'GET /metrics',
  ];
  const open: readonly string[] = ['GET /', 'GET /healthz', 'GET /readyz', 'GET /api/v1/health'];

  it.each(places)('is needed for %s', async (line) => {
    const answer = await server.raw(line, { key: null });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
    if (!line.startsWith('HEAD')) {
      expectErrorBody(answer.body, 'unauthorized', answer.headers['x-request-id']);
    }
    // Nothing tells a stranger whether a name is there.
    expect(answer.body.toString()).not.toContain('kept');
  });

  it.each(open)('is not needed for %s', async (line) => {
    expect((await server.raw(line, { key: null })).status).toBe(200);
  });

  it.each([...places, ...open])('that is wrong is refused for %s', async (line) => {
    const answer = await server.raw(line, { key: 'wrong' });
    expect(answer.status).toBe(401);
    expect(answer.headers['www-authenticate']).toMatch(/^Bearer/);
  });

  it('that is wrong is counted', async () => {
    const count = async () => {
      const text = (await server.raw('GET /metrics')).body.toString();
      return Number(/^dfs_failed_authentications_total (\d+)$/m.exec(text)?.[1]);
    };
    const before = await count();
    await server.raw('GET /', { key: 'wrong' });
    expect(await count()).toBe(before + 1);
  });

  it('is not needed for a public file, by path and by id', async () => {
    const { id } = await server.files.add('/public.txt', 'for all', { isPublic: true });
    for (const at of ['/fs/public.txt', `/api/v1/files/${id}`]) {
      const answer = await server.raw(`GET ${at}`, { key: null });
      expect([answer.status, answer.body.toString()]).toEqual([200, 'for all']);
    }
    expect((await server.raw('PUT /fs/public.txt', { key: null, body: 'x' })).status).toBe(401);
    expect((await server.raw('DELETE /fs/public.txt', { key: null })).status).toBe(401);
  });
});

function expectErrorBody(body: Buffer, code: string, requestId: string | undefined): void {
  const { error } = JSON.parse(body.toString());
  expect(error).toEqual({
    code,
    message: expect.stringMatching(/^[A-Z"/].*\.$/),
    hint: expect.stringMatching(/^[A-Z"].*\.$/),
    requestId,
  });
  expect(requestId).toMatch(/^[\w.-]+$/);
  expect(body.toString()).not.toMatch(/\bat .*\.(ts|js):\d/);
}
