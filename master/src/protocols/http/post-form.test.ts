import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { FormAnswer } from '@dfs/shared';
import { StoreError } from '@dfs/shared';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { RawConnection } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;

beforeAll(async () => {
  server = await new TestPublicServer({ config: { uploadIdleMs: 300 } }).start();
});
afterAll(() => server.stop());
afterEach(() => {
  server.files.faults.put = undefined;
  server.files.faults.holdPut = undefined;
});

const md5Of = (text: string) => createHash('md5').update(text).digest('hex');

/** A part of a form; without a file name it is a field. */
type Part = readonly [field: string, content: string, fileName?: string, type?: string];

function formOf(parts: readonly Part[], { end = true } = {}): Buffer {
  const lines = parts.flatMap(([field, content, fileName, type]) => [
    '--frontier',
    `Content-Disposition: form-data; name="${field}"${fileName === undefined ? '' : `; filename="${fileName}"`}`,
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    '',
    content,
  ]);
  return Buffer.from(`${lines.join('\r\n')}${end ? '\r\n--frontier--\r\n' : ''}`);
}

const formHead = (path: string, ...headers: string[]) =>
  [
    `POST ${path} HTTP/1.1`,
    'Host: a',
    `SHARD-KEY: ${testKey}`,
    'Content-Type: multipart/form-data; boundary=frontier',
    ...headers,
    '',
    '',
  ].join('\r\n');

async function post(path: string, parts: readonly Part[], headers: Record<string, string> = {}) {
  const answer = await server.fetch(path, {
    method: 'POST',
    body: new Uint8Array(formOf(parts)),
    headers: { 'content-type': 'multipart/form-data; boundary=frontier', ...headers },
  });
  const text = await answer.text();
  return {
    status: answer.status,
    headers: answer.headers,
    body: text === '' ? {} : JSON.parse(text),
  };
}

describe('a form', () => {
  it('stores each of its files under the name it came with', async () => {
    const { status, body } = await post('/fs/forms/', [
      ['file', 'hello', 'a.txt', 'text/plain'],
      ['other', 'world', 'blåbær 🫐.json', 'application/octet-stream'],
    ]);
    expect(status).toBe(201);
    expect((body as FormAnswer).files).toMatchObject([
      {
        ...{ path: '/forms/a.txt', size: 5, md5: md5Of('hello') },
        contentType: 'text/plain; charset=utf-8',
      },
      { path: '/forms/blåbær 🫐.json', contentType: 'application/json' },
    ]);
    expect(server.files.bytesAt('/forms/blåbær 🫐.json')?.toString()).toBe('world');
  });

  it('made by a standard client is understood', async () => {
    const form = new FormData();
    form.append('file', new File(['one'], 'quo"te.txt'));
    form.append('file', new File([randomBytes(3 * 2 ** 20)], 'long.bin'));
    const answer = await server.fetch('/fs/standard/', { method: 'POST', body: form });
    expect(answer.status).toBe(201);
    expect(server.files.bytesAt('/standard/quo"te.txt')?.toString()).toBe('one');
    expect(server.files.bytesAt('/standard/long.bin')?.length).toBe(3 * 2 ** 20);
  });

  it('to a directory named without its slash, and to the root, is the same', async () => {
    await post('/fs/forms', [['file', 'x', 'slashless']]);
    expect(server.files.bytesAt('/forms/slashless')?.toString()).toBe('x');
    await post('/fs/', [['file', 'x', 'rooted']]);
    expect(server.files.bytesAt('/rooted')?.toString()).toBe('x');
  });

  it('keeps both when a name is taken, unless a field or the address says otherwise', async () => {
    const twice = async (at: string, extra: readonly Part[]) => {
      await post(at, [['file', 'old', 'same.txt']]);
      return await post(at, [['file', 'new', 'same.txt'], ...extra]);
    };
    const both = await twice('/fs/keep/', []);
    expect(both.body.files[0].path).toBe('/keep/same (1).txt');
    const replaced = await twice('/fs/replace/', [['onConflict', 'replace']]);
    expect(replaced.body.files[0].path).toBe('/replace/same.txt');
    expect(server.files.bytesAt('/replace/same.txt')?.toString()).toBe('new');
    const failed = await twice('/fs/fail/', [['onConflict', 'fail']]);
    expect(failed).toMatchObject({ status: 412, body: { error: { code: 'precondition-failed' } } });
    const byAddress = await post('/fs/fail/?onConflict=replace', [['file', 'new', 'same.txt']]);
    expect(byAddress.body.files[0].path).toBe('/fail/same.txt');
  });

  it('keeps two of its own files of one name', async () => {
    const { body } = await post('/fs/own/', [
      ['file', 'one', 'x'],
      ['file', 'two', 'x'],
    ]);
    expect(body.files.map(({ path }: { path: string }) => path)).toEqual(['/own/x', '/own/x (1)']);
  });

  it('makes its files public when it says so', async () => {
    await post('/fs/open/', [
      ['file', 'x', 'public.txt'],
      ['mode', 'public'],
    ]);
    expect((await server.raw('GET /fs/open/public.txt', { key: null })).status).toBe(200);
    expect(
      (
        await post('/fs/open/', [
          ['file', 'x', 'y'],
          ['mode', 'rwx'],
        ])
      ).status,
    ).toBe(400);
    expect(server.files.bytesAt('/open/y')).toBeUndefined();
  });

  it('sent by a browser leads back to the listing', async () => {
    const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';
    for (const [at, listing] of [
      ['/fs/back', '/fs/back/'],
      ['/fs/', '/fs/'],
    ] as const) {
      const { status, headers } = await post(at, [['file', 'x', 'y']], { accept });
      expect([status, headers.get('location')]).toEqual([303, listing]);
    }
  });

  it('takes several hundred files at once', async () => {
    const parts = Array.from({ length: 400 }, (_none, n): Part => ['file', `${n}`, `${n}.txt`]);
    const { status, body } = await post('/fs/many/', parts);
    expect([status, body.files.length]).toEqual([201, 400]);
    expect(server.files.bytesAt('/many/399.txt')?.toString()).toBe('399');
  });
});

describe('the digest of a file in a form', () => {
  it.each<[string, readonly Part[], number]>([
    [
      'after its file',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('one')],
      ],
      201,
    ],
    [
      'before the first file',
      [
        ['md5', md5Of('one')],
        ['f', 'one', 'a'],
      ],
      201,
    ],
    [
      'after each file',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('one')],
        ['f', 'two', 'b'],
        ['md5', md5Of('two')],
      ],
      201,
    ],
    [
      'after the second file only',
      [
        ['f', 'one', 'a'],
        ['f', 'two', 'b'],
        ['md5', md5Of('two')],
      ],
      201,
    ],
    [
      'by the name of the field',
      [
        ['f.md5', md5Of('one')],
        ['g.md5', md5Of('two')],
        ['f', 'one', 'a'],
        ['g', 'two', 'b'],
      ],
      201,
    ],
    [
      'in capitals',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('one').toUpperCase()],
      ],
      201,
    ],
    [
      'left empty',
      [
        ['f', 'one', 'a'],
        ['md5', ''],
      ],
      201,
    ],
    [
      'wrong, after its file',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('two')],
      ],
      400,
    ],
    [
      'wrong, before the first file',
      [
        ['md5', md5Of('two')],
        ['f', 'one', 'a'],
      ],
      400,
    ],
    [
      'wrong for the second',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('one')],
        ['f', 'two', 'b'],
        ['md5', md5Of('one')],
      ],
      400,
    ],
    [
      'swapped',
      [
        ['f', 'one', 'a'],
        ['md5', md5Of('two')],
        ['f', 'two', 'b'],
        ['md5', md5Of('one')],
      ],
      400,
    ],
    [
      'wrong by the name of the field',
      [
        ['f', 'one', 'a'],
        ['f.md5', md5Of('two')],
      ],
      400,
    ],
    [
      'no digest at all',
      [
        ['f', 'one', 'a'],
        ['md5', 'none'],
      ],
      400,
    ],
  ])('%s', async (name, parts, status) => {
    const at = `/md5-${createHash('md5').update(name).digest('hex')}`;
    const answer = await post(`/fs${at}/`, parts);
    expect(answer.status).toBe(status);
    if (status === 201) return;
    // One wrong file and none of the form is there.
    expect(server.files.bytesAt(`${at}/a`)).toBeUndefined();
    expect(server.files.bytesAt(`${at}/b`)).toBeUndefined();
    expect(server.files.staged.size).toBe(0);
    expect(answer.body.error.hint).toMatch(/\.$/);
  });
});

describe('a bad form', () => {
  const stored = () => server.files.bytesAt('/bad/good.txt');
  const good: Part = ['file', 'good', 'good.txt'];

  it.each<[string, readonly Part[], string]>([
    ['a name that climbs', [good, ['file', 'x', '../../etc/passwd']], 'invalid-path'],
    ['a name that is dots', [good, ['file', 'x', '..']], 'invalid-path'],
    ['a name with a path', [good, ['file', 'x', 'a/b.txt']], 'invalid-path'],
    ['an absolute name', [good, ['file', 'x', '/etc/passwd']], 'invalid-path'],
    ['a name with NUL', [good, ['file', 'x', 'a\0b']], 'invalid-request'],
    ['a name of 256 bytes', [good, ['file', 'x', 'n'.repeat(256)]], 'invalid-path'],
    ['no file', [['md5', md5Of('x')]], 'invalid-request'],
    ['only an empty choice', [['file', '', '']], 'invalid-request'],
    ['a field longer than any', [good, ['note', 'n'.repeat(5_000)]], 'too-large'],
    ['a field name longer than any', [good, ['n'.repeat(700), 'x']], 'too-large'],
    ['a field in a maze', [good, ['a[b][c][d]', 'x']], 'too-large'],
    [
      'more files than allowed',
      Array.from({ length: 1_001 }, (_none, n): Part => ['file', '', `${n}`]),
      'too-large',
    ],
    ['an unknown conflict rule', [good, ['onConflict', 'win']], 'invalid-request'],
  ])('with %s is refused whole', async (_name, parts, code) => {
    const answer = await post('/fs/bad/', parts);
    expect(answer.body.error).toMatchObject({ code, hint: expect.stringMatching(/\.$/) });
    expect(answer.status).toBeLessThan(500);
    expect(stored()).toBeUndefined();
    await expect.poll(() => server.files.staged.size).toBe(0);
  });

  it.each([
    ['no boundary in its type', 'multipart/form-data', formOf([good])],
    ['another boundary', 'multipart/form-data; boundary=other', formOf([good])],
    ['no end', 'multipart/form-data; boundary=frontier', formOf([good], { end: false })],
    [
      'an end in a part head',
      'multipart/form-data; boundary=frontier',
      Buffer.from('--frontier\r\nContent-Dispo'),
    ],
    [
      'a head that is none',
      'multipart/form-data; boundary=frontier',
      Buffer.from('--frontier\r\n\0\r\n\r\nx\r\n--frontier--\r\n'),
    ],
    ['nothing in it', 'multipart/form-data; boundary=frontier', Buffer.from('')],
  ])('with %s is refused', async (_name, type, body) => {
    const answer = await server.fetch('/fs/bad/', {
      method: 'POST',
      body: new Uint8Array(body),
      headers: { 'content-type': type },
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ error: { hint: expect.stringMatching(/\.$/) } });
    expect(stored()).toBeUndefined();
    await expect.poll(() => server.files.staged.size).toBe(0);
  });

  it('is refused when a parent is a file', async () => {
    await server.files.add('/a-file', 'x');
    expect((await post('/fs/a-file/', [good])).body.error.code).toBe('not-a-directory');
  });

  it('is answered at once when the store refuses a file, while its sender still sends', async () => {
    server.files.faults.put = new StoreError('no-room', 'No node has room.');
    const connection = new RawConnection(server.port);
    connection.write(formHead('/fs/bad/', 'Content-Length: 10000000'));
    connection.write(formOf([['file', 'the start', 'long.bin']], { end: false }));
    const answer = await connection.answer();
    expect([answer.status, answer.headers['connection']]).toEqual([507, 'close']);
    connection.destroy();
  });

  it('whose sender goes away in the middle leaves nothing', async () => {
    const before = server.files.puts.length;
    const connection = new RawConnection(server.port);
    connection.write(formHead('/fs/bad/', 'Content-Length: 10000000'));
    connection.write(formOf([good, ['file', 'the start', 'long.bin']], { end: false }));
    await expect.poll(() => server.files.puts.length).toBe(before + 2);
    const signal = server.files.puts.at(-1)?.signal;
    connection.destroy();
    await expect.poll(() => signal?.aborted).toBe(true);
    await expect.poll(() => server.files.staged.size).toBe(0);
    expect(stored()).toBeUndefined();
    await expect.poll(() => server.lines.at(-1)?.fields['path']).toBe('/fs/bad/');
    expect(server.lines.at(-1)?.fields).toMatchObject({ code: 'cancelled' });
  });

  it('whose sender falls silent is refused', async () => {
    const connection = new RawConnection(server.port);
    connection.write(formHead('/fs/bad/', 'Content-Length: 10000000'));
    connection.write(formOf([good, ['file', 'the start', 'long.bin']], { end: false }));
    const answer = await connection.answer();
    expect(JSON.parse(answer.body.toString()).error.code).toBe('incomplete-body');
    connection.destroy();
    expect(stored()).toBeUndefined();
    await expect.poll(() => server.files.staged.size).toBe(0);
  });

  it('leaves nothing when it breaks off at any place', async () => {
    const whole = Buffer.concat([
      Buffer.from(formHead('/fs/bad/', 'Content-Length: 9999')),
      formOf([good, good]),
    ]);
    for (let cut = 200; cut < whole.length; cut += 17) {
      const connection = new RawConnection(server.port);
      connection.write(whole.subarray(0, cut));
      await once(connection.socket, 'connect');
      connection.socket.end();
      await connection.closed();
    }
    await expect.poll(() => server.files.staged.size).toBe(0);
    expect(stored()).toBeUndefined();
    expect(server.lines.filter((line) => line.level === 'error')).toEqual([]);
  });
});

it('a form does not go to memory: what the store does not take stays with the sender', async () => {
  let release: () => void = () => undefined;
  server.files.faults.holdPut = new Promise((resolve) => {
    release = resolve;
  });
  const connection = new RawConnection(server.port);
  connection.write(formHead('/fs/held/', 'Content-Length: 1000000000'));
  connection.write(formOf([['file', '', 'held.bin']], { end: false }));
  const block = Buffer.alloc(2 ** 20);
  let sentBytes = 0;
  // Until the kernel takes no more for a while: then the server has stopped reading.
  for (let isTaken = true; isTaken && sentBytes < 200 * 2 ** 20; sentBytes += block.length) {
    connection.write(block);
    isTaken = await Promise.race([
      once(connection.socket, 'drain').then(() => true),
      new Promise<boolean>((resolve) => setTimeout(resolve, 200, false)),
    ]);
  }
  expect(sentBytes).toBeLessThan(40 * 2 ** 20);
  connection.destroy();
  release();
  await expect.poll(() => server.files.staged.size).toBe(0);
});
