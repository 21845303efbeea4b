import type { TrashAnswer } from '@dfs/shared';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RawAnswer } from './raw-http.ts';
import type { TestPublicServer } from './test-public-server.ts';

/** A public port over some store, for one suite. */
export interface FileFront {
  readonly server: TestPublicServer;
  stop(): Promise<void>;
}

/** What the public port promises of the tree, over whatever keeps the promises of `FileService`. Each test works in a directory of its own. */
export function describeFileFront(name: string, open: () => Promise<FileFront>): void {
  describe(name, () => {
    let front: FileFront;
    let server: TestPublicServer;
    let dir: string;
    let count = 0;
    beforeAll(async () => {
      front = await open();
      server = front.server;
    });
    afterAll(() => front.stop());
    beforeEach(async () => {
      count += 1;
      dir = `/fs/t${count}`;
      expect((await send('MKCOL', '')).status).toBe(201);
    });

    const send = (method: string, path: string, ...headers: string[]): Promise<RawAnswer> =>
      server.raw(`${method} ${dir}${path}`, { headers });
    const statusOf = async (method: string, path: string, ...headers: string[]) =>
      (await send(method, path, ...headers)).status;
    const put = async (path: string, text: string, ...headers: string[]) => {
      const answer = await server.raw(`PUT ${dir}${path}`, { headers, body: text });
      expect(answer.status).toBe(201);
      return JSON.parse(answer.body.toString()) as { id: string; md5: string };
    };
    const get = async (path: string) => {
      const answer = await send('GET', path);
      return answer.status === 200 ? answer.body.toString() : answer.status;
    };
    const errorOf = (answer: RawAnswer) => [
      answer.status,
      JSON.parse(answer.body.toString()).error.code,
    ];
    const to = (path: string) => `Destination: ${dir}${path}`;
    const api = async (method: string, path: string, body?: unknown) => {
      const answer = await server.fetch(`/api/v1${path}`, {
        method,
        ...(body === undefined
          ? {}
          : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
      });
      const text = await answer.text();
      return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
    };
    const here = (path: string) => `${dir.slice(3)}${path}`;
    const trash = async (): Promise<TrashAnswer['items']> =>
      (await api('GET', `/trash?path=${encodeURIComponent(here(''))}`)).body.items;
    const find = async (path: string, query = '') =>
      (await server.fetch(`/find${dir.slice(3)}${path}${query}`)).text();

    describe('MKCOL', () => {
      it('makes one directory and says where', async () => {
        const answer = await send('MKCOL', '/a%20b/');
        expect([answer.status, answer.headers['location']]).toEqual([201, `${dir}/a%20b/`]);
        expect(await statusOf('MKCOL', '/a%20b')).toBe(405);
      });

      it('of a taken name is 405 whatever has it, and says what is allowed', async () => {
        await put('/file', 'x');
        const answer = await send('MKCOL', '/file');
        expect(answer.status).toBe(405);
        expect(answer.headers['allow']).not.toContain('MKCOL');
        expect(await statusOf('MKCOL', '/file?parents=1')).toBe(405);
        expect(await get('/file')).toBe('x');
      });

      it('of a directory without a parent is 409 and makes nothing', async () => {
        expect(errorOf(await send('MKCOL', '/no/such'))).toEqual([409, 'conflict']);
        expect(await statusOf('GET', '/no/?format=json')).toBe(404);
      });

      it('makes parents where that is asked, again without harm', async () => {
        expect(await statusOf('MKCOL', '/p/q/r?parents=1')).toBe(201);
        expect(await statusOf('MKCOL', '/p/q/r?parents=1')).toBe(200);
        expect(await statusOf('MKCOL', '/p/q?parents=yes')).toBe(400);
      });

      it('below a file is 409', async () => {
        await put('/file', 'x');
        expect(errorOf(await send('MKCOL', '/file/sub'))).toEqual([409, 'not-a-directory']);
        expect(errorOf(await send('MKCOL', '/file/sub?parents=1'))).toEqual([
          409,
          'not-a-directory',
        ]);
      });

      it('with a body is 415 and makes nothing', async () => {
        const answer = await server.raw(`MKCOL ${dir}/withbody`, { body: '<x/>' });
        expect(errorOf(answer)).toEqual([415, 'unsupported-media-type']);
        expect(await statusOf('GET', '/withbody/?format=json')).toBe(404);
      });

      it('of several at once makes it for one of them', async () => {
        const all = await Promise.all(Array.from({ length: 5 }, () => statusOf('MKCOL', '/race')));
        expect(all.sort()).toEqual([201, 405, 405, 405, 405]);
      });
    });

    describe('MOVE', () => {
      it('gives a file another name: the content and its id stay', async () => {
        const { id } = await put('/a', 'text');
        const answer = await send('MOVE', '/a', to('/%C3%A4%20%23%3F'));
        expect([answer.status, answer.headers['location']]).toEqual([
          201,
          `${dir}/%C3%A4%20%23%3F`,
        ]);
        expect(await get('/a')).toBe(404);
        const moved = await send('GET', '/%C3%A4%20%23%3F');
        expect([moved.body.toString(), moved.headers['x-dfs-id']]).toEqual(['text', id]);
      });

      it('takes a directory with all that is in it', async () => {
        await put('/d/e/f', 'deep');
        expect(await statusOf('MOVE', '/d/', to('/moved/'))).toBe(201);
        expect(await get('/moved/e/f')).toBe('deep');
        expect(await get('/d/e/f')).toBe(404);
        expect(await statusOf('GET', '/d/?format=json')).toBe(404);
      });

      it('replaces a file with 204, and the old content is in the trash', async () => {
        await put('/new', 'new');
        await put('/old', 'old');
        expect(await statusOf('MOVE', '/new', to('/old'))).toBe(204);
        expect(await get('/old')).toBe('new');
        expect(await trash()).toMatchObject([{ path: here('/old'), reason: 'replaced', size: 3 }]);
      });

      it('replaces a directory by a file and a file by a directory, whole', async () => {
        await put('/d/in', 'in d');
        await put('/f', 'file');
        expect(await statusOf('MOVE', '/f', to('/d'))).toBe(204);
        expect([await get('/d'), await get('/d/in')]).toEqual(['file', 404]);
        await put('/e/in', 'in e');
        expect(await statusOf('MOVE', '/e', to('/d'))).toBe(204);
        expect(await get('/d/in')).toBe('in e');
      });

      it('replaces nothing where Overwrite is F', async () => {
        await put('/new', 'new');
        await put('/old', 'old');
        expect(errorOf(await send('MOVE', '/new', to('/old'), 'Overwrite: F'))).toEqual([
          412,
          'precondition-failed',
        ]);
        expect([await get('/new'), await get('/old')]).toEqual(['new', 'old']);
        expect(await statusOf('MOVE', '/new', to('/free'), 'Overwrite: F')).toBe(201);
      });

      it.each([
        ['itself', '/d', '/d', 403, 'forbidden'],
        ['something in it', '/d', '/d/e/g', 409, 'conflict'],
        ['what it is in', '/d/e', '/d', 409, 'conflict'],
        ['a directory that is not there', '/d', '/no/x', 409, 'conflict'],
        ['below a file', '/d', '/f/x', 409, 'not-a-directory'],
      ])('to %s is refused', async (_, from, target, status, code) => {
        await put('/d/e/f', 'deep');
        await put('/f', 'file');
        for (const method of ['MOVE', 'COPY']) {
          expect(errorOf(await send(method, from, to(target)))).toEqual([status, code]);
        }
        expect([await get('/d/e/f'), await get('/f')]).toEqual(['deep', 'file']);
      });

      it('of nothing is 404, whatever is asked besides', async () => {
        for (const method of ['MOVE', 'COPY']) {
          expect(await statusOf(method, '/nothing', to('/x'))).toBe(404);
          expect(await statusOf(method, '/nothing', to('/x'), 'If-None-Match: *')).toBe(404);
        }
      });

      it.each([
        ['no destination', [], 400],
        ['no path', ['Destination: x'], 400],
        ['a query', ['Destination: /fs/x?y'], 400],
        ['a fragment', ['Destination: /fs/x#y'], 400],
        ['a way up', ['Destination: /fs/../x'], 400],
        ['an encoded way up', ['Destination: /fs/%2e%2e/x'], 400],
        ['an encoded slash', ['Destination: /fs/a%2Fb'], 400],
        ['broken percent-encoding', ['Destination: /fs/%zz'], 400],
        ['a space', ['Destination: /fs/a b'], 400],
        ['two destinations', ['Destination: /fs/a', 'Destination: /fs/b'], 400],
        ['an empty name', ['Destination: /fs/a//b'], 400],
        ['another scheme', ['Destination: ftp://127.0.0.1/fs/x'], 400],
        ['no scheme', ['Destination: //127.0.0.1/fs/x'], 400],
        ['another host', ['Destination: http://elsewhere.example/fs/x'], 502],
        ['another port', ['Destination: http://127.0.0.1:1/fs/x'], 502],
        ['a user in front of our host', ['Destination: http://127.0.0.1@evil.example/fs/x'], 502],
        ['another part of this server', ['Destination: /api/v1/x'], 502],
        ['a part that only begins like ours', ['Destination: /fsx/y'], 502],
        ['Overwrite of another sort', ['Destination: /fs/x', 'Overwrite: maybe'], 400],
        ['Depth of another sort', ['Destination: /fs/x', 'Depth: 2'], 400],
      ])('with %s is refused, as a COPY is', async (_, headers, status) => {
        await put('/a', 'text');
        for (const method of ['MOVE', 'COPY']) {
          expect(await statusOf(method, '/a', ...headers)).toBe(status);
        }
        expect(await get('/a')).toBe('text');
        expect(await server.fetch('/fs/x').then(({ status: found }) => found)).toBe(404);
      });

      it.each(['http://127.0.0.1', 'HTTP://127.0.0.1:80', 'https://127.0.0.1:443'])(
        'takes an absolute URL of this server: %s',
        async (origin) => {
          await put('/a', 'text');
          expect(await statusOf('MOVE', '/a', `Destination: ${origin}${dir}/b`)).toBe(201);
          expect(await get('/b')).toBe('text');
        },
      );

      it('of a directory alone, without what is in it, is refused', async () => {
        await put('/d/f', 'x');
        expect(await statusOf('MOVE', '/d', to('/x'), 'Depth: 0')).toBe(400);
        expect(await statusOf('DELETE', '/d', 'Depth: 0')).toBe(400);
        expect(await get('/d/f')).toBe('x');
      });

      it('of a file that is named as a directory finds nothing', async () => {
        await put('/a', 'text');
        expect(await statusOf('MOVE', '/a/', to('/b'))).toBe(404);
        expect(await statusOf('COPY', '/a/', to('/b'))).toBe(404);
      });
    });

    describe('COPY', () => {
      it('makes a file of its own with the same content', async () => {
        const { id, md5 } = await put('/a', 'text', 'Content-Type: text/x-a', 'X-DFS-Meta-K: v');
        expect(await statusOf('COPY', '/a', to('/b'))).toBe(201);
        await put('/a', 'changed');
        const { headers, body } = await send('GET', '/b');
        expect(body.toString()).toBe('text');
        expect(headers).toMatchObject({
          'x-dfs-md5': md5,
          'content-type': 'text/x-a',
          'x-dfs-meta-k': 'v',
        });
        expect(headers['x-dfs-id']).not.toBe(id);
        expect(await statusOf('DELETE', '/a')).toBe(204);
        expect(await get('/b')).toBe('text');
      });

      it('takes a directory with all that is in it, and neither shows in the other', async () => {
        await put('/d/e/f', 'deep');
        await send('MKCOL', '/d/empty');
        expect(await statusOf('COPY', '/d', to('/c'))).toBe(201);
        await put('/d/later', 'x');
        expect(await get('/c/e/f')).toBe('deep');
        expect(await get('/c/later')).toBe(404);
        expect(await statusOf('GET', '/c/empty/?format=json')).toBe(200);
        expect(await find('/c/')).toBe(`${here('/c/e/f')}\n`);
      });

      it('replaces a directory whole: nothing of the old one is left in it', async () => {
        await put('/d/f', 'new');
        await put('/c/stale', 'old');
        expect(await statusOf('COPY', '/d', to('/c'))).toBe(204);
        expect(await find('/c/')).toBe(`${here('/c/f')}\n`);
        expect(await trash()).toMatchObject([{ path: here('/c'), kind: 'directory', files: 1 }]);
      });

      it('with Depth 0 copies a directory alone', async () => {
        await put('/d/f', 'x');
        expect(await statusOf('COPY', '/d', to('/c'), 'Depth: 0')).toBe(201);
        expect(await find('/c/', '?format=json')).toBe('');
        expect(await statusOf('COPY', '/d', to('/e'), 'Depth: 1')).toBe(400);
      });

      it('replaces nothing where Overwrite is F', async () => {
        await put('/new', 'new');
        await put('/old', 'old');
        expect(await statusOf('COPY', '/new', to('/old'), 'Overwrite: F')).toBe(412);
        expect(await get('/old')).toBe('old');
      });
    });

    describe('a condition', () => {
      it.each(['MOVE', 'COPY'])('on what a %s takes is judged', async (method) => {
        const { md5 } = await put('/a', 'text');
        const past = `If-Unmodified-Since: ${new Date(0).toUTCString()}`;
        for (const header of ['If-Match: "x"', `If-None-Match: "${md5}"`, past]) {
          expect(await statusOf(method, '/a', to('/b'), header)).toBe(412);
        }
        expect(await get('/b')).toBe(404);
        expect(await statusOf(method, '/a', to('/b'), `If-Match: "${md5}"`)).toBe(201);
      });

      it('of a DELETE is judged', async () => {
        const { md5 } = await put('/a', 'text');
        expect(await statusOf('DELETE', '/a', 'If-Match: "x"')).toBe(412);
        expect(await statusOf('DELETE', '/a', `If-None-Match: "${md5}"`)).toBe(412);
        expect(await statusOf('DELETE', '/a', `If-Match: "${md5}"`)).toBe(204);
      });
    });

    describe('a condition on a directory, which has no entity tag and no time of change,', () => {
      const past = `If-Unmodified-Since: ${new Date(0).toUTCString()}`;
      const conditions: [string, boolean][] = [
        ['If-Match: *', true],
        ['If-Match: "x"', false],
        ['If-None-Match: *', false],
        ['If-None-Match: "x"', true],
        [past, true],
      ];
      const methods = ['DELETE', 'MOVE', 'COPY'];
      it.each(methods.flatMap((method) => conditions.map((each) => [method, ...each] as const)))(
        'is judged: %s %s, done: %s',
        async (method, header, isDone) => {
          await put('/d/f', 'text');
          const answer = await send(method, '/d/', to('/e'), header);
          if (!isDone) expect(errorOf(answer)).toEqual([412, 'precondition-failed']);
          else expect(answer.status).toBe(method === 'DELETE' ? 204 : 201);
          expect(await get('/d/f')).toBe(isDone && method !== 'COPY' ? 404 : 'text');
          expect(await get('/e/f')).toBe(isDone && method !== 'DELETE' ? 'text' : 404);
        },
      );

      it.each(methods)('asks %s about its own path, not about what it replaces', async (method) => {
        await put('/d/f', 'new');
        await put('/e/f', 'old');
        expect(await statusOf(method, '/nothing/', to('/e'), 'If-Match: *')).toBe(404);
        expect(await statusOf(method, '/d/', to('/e'), 'If-None-Match: *')).toBe(412);
        expect([await get('/d/f'), await get('/e/f')]).toEqual(['new', 'old']);
        expect(await statusOf(method, '/d/', to('/e'), 'If-Match: *')).toBe(204);
        expect(await get('/e/f')).toBe(method === 'DELETE' ? 'old' : 'new');
      });
    });

    describe('DELETE', () => {
      it('takes a directory with all that is in it', async () => {
        await put('/d/e/f', 'deep');
        expect(await statusOf('DELETE', '/d/')).toBe(204);
        expect(await get('/d/e/f')).toBe(404);
        expect(await statusOf('DELETE', '/d')).toBe(404);
        await put('/d/e/g', 'new');
        expect(await find('/d/')).toBe(`${here('/d/e/g')}\n`);
      });

      it.each([
        ['a file', 'file', '/d', 409, 'is-a-directory'],
        ['an empty directory', 'empty-directory', '/d', 409, 'conflict'],
        ['an empty directory', 'empty-directory', '/f', 409, 'not-a-directory'],
        ['nonsense', 'nonsense', '/f', 400, 'invalid-request'],
      ])('that expects %s (%s) leaves %s', async (_, expected, path, status, code) => {
        await put('/d/in', 'x');
        await put('/f', 'file');
        expect(errorOf(await send('DELETE', `${path}?expect=${expected}`))).toEqual([status, code]);
        expect([await get('/d/in'), await get('/f')]).toEqual(['x', 'file']);
      });

      it('takes what it expects', async () => {
        await put('/f', 'file');
        await send('MKCOL', '/d');
        expect(await statusOf('DELETE', '/f?expect=file')).toBe(204);
        expect(await statusOf('DELETE', '/d?expect=empty-directory')).toBe(204);
      });

      it('of the root is refused', async () => {
        expect(errorOf(await server.raw('DELETE /fs/'))).toEqual([409, 'conflict']);
      });

      it('with trash=0 leaves nothing to be brought back', async () => {
        await put('/f', 'file');
        await put('/d/f', 'file');
        expect(await statusOf('DELETE', '/f?trash=0')).toBe(204);
        expect(await statusOf('DELETE', '/d?trash=0')).toBe(204);
        expect(await trash()).toEqual([]);
      });
    });

    describe('the trash', () => {
      it('gives back a file under its name, with its id', async () => {
        const { id } = await put('/a', 'text');
        await send('DELETE', '/a');
        const [item] = await trash();
        expect(item).toMatchObject({
          path: here('/a'),
          kind: 'file',
          reason: 'deleted',
          size: 4,
          files: 1,
        });
        const restored = await api('POST', '/trash/restore', { id: item?.id });
        expect(restored).toEqual({ status: 200, body: { path: here('/a') } });
        const { headers, body } = await send('GET', '/a');
        expect([body.toString(), headers['x-dfs-id']]).toEqual(['text', id]);
        expect(await trash()).toEqual([]);
        expect((await api('POST', '/trash/restore', { id: item?.id })).status).toBe(404);
      });

      it('gives back a whole directory, also elsewhere', async () => {
        await put('/d/e/f', 'deep');
        await send('DELETE', '/d');
        const [item] = await trash();
        const answer = await api('POST', '/trash/restore', { id: item?.id, to: here('/x/y/z') });
        expect(answer.body).toEqual({ path: here('/x/y/z') });
        expect(await get('/x/y/z/e/f')).toBe('deep');
      });

      it('gives back what a PUT replaced', async () => {
        await put('/a', 'one');
        await put('/a', 'two');
        const [item] = await trash();
        expect(item).toMatchObject({ path: here('/a'), reason: 'replaced', size: 3 });
        expect((await api('POST', '/trash/restore', { id: item?.id })).status).toBe(412);
        const answer = await api('POST', '/trash/restore', { id: item?.id, onConflict: 'rename' });
        expect(answer.body).toEqual({ path: here('/a (1)') });
        expect([await get('/a'), await get('/a%20(1)')]).toEqual(['two', 'one']);
      });

      it('gives back in place of what has the name, which then is in the trash', async () => {
        await put('/a', 'one');
        await put('/a', 'two');
        const [item] = await trash();
        const answer = await api('POST', '/trash/restore', { id: item?.id, onConflict: 'replace' });
        expect(answer.body).toEqual({ path: here('/a') });
        expect(await get('/a')).toBe('one');
        expect(await trash()).toMatchObject([{ path: here('/a'), size: 3 }]);
      });

      it('is listed page by page, newest first', async () => {
        for (const name of ['/1', '/2', '/3']) {
          await put(name, name);
          await send('DELETE', name);
        }
        const query = `/trash?limit=2&path=${encodeURIComponent(here(''))}`;
        const first = (await api('GET', query)).body as TrashAnswer;
        expect(first.items.map(({ path }) => path)).toEqual([here('/3'), here('/2')]);
        const rest = await api('GET', `${query}&after=${encodeURIComponent(first.next ?? '')}`);
        expect(rest.body.items.map(({ path }: { path: string }) => path)).toEqual([here('/1')]);
        expect(rest.body.next).toBeUndefined();
      });

      it('is emptied of some, of what was at a path, and of nothing by an empty list', async () => {
        for (const name of ['/1', '/d/2', '/d/3']) {
          await put(name, name);
          await send('DELETE', name);
        }
        const [item] = await trash();
        expect((await api('POST', '/trash/empty', { ids: [] })).body).toEqual({ removed: 0 });
        expect((await api('POST', '/trash/empty', { ids: [item?.id] })).body).toEqual({
          removed: 1,
        });
        expect((await api('POST', '/trash/restore', { id: item?.id })).status).toBe(404);
        const answer = await api('POST', '/trash/empty', { path: here('/d') });
        expect(answer.body).toEqual({ removed: 1 });
        expect((await trash()).map(({ path }) => path)).toEqual([here('/1')]);
      });

      it.each([
        ['/trash/restore', {}],
        ['/trash/restore', { id: 'x' }],
        ['/trash/restore', { id: '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11', to: '/a/../b' }],
        ['/trash/restore', { id: '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11', onConflict: 'x' }],
        ['/trash/empty', { ids: 'all' }],
        ['/trash/empty', { ids: ['x'] }],
        ['/trash/empty', { path: 7 }],
        ['/trash/empty', { path: '/a', ids: [] }],
        ['/trash/empty', []],
      ])('refuses %s of %j', async (path, body) => {
        expect((await api('POST', path, body)).status).toBe(400);
      });
    });

    describe('find', () => {
      it('names every file below a directory, one a line, by the bytes of names', async () => {
        for (const path of ['/b/c', '/b', '/a/z', '/a/y/x', '/a.txt', '/%C3%A4', '/B']) {
          if (path !== '/b') await put(path, path);
        }
        await send('MKCOL', '/empty');
        const names = ['/B', '/a/y/x', '/a/z', '/a.txt', '/b/c', '/ä'];
        const answer = await server.fetch(`/find${dir.slice(3)}/`);
        expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8');
        expect(await answer.text()).toBe(names.map((each) => `${here('')}${each}\n`).join(''));
        expect(await find('')).toBe(await find('/'));
      });

      it('tells of files and directories as JSON, a line each', async () => {
        const { id, md5 } = await put('/d/f', 'text');
        const lines = (await find('/', '?format=json')).trimEnd().split('\n');
        const modified = expect.stringMatching(/^\d{4}-.*Z$/);
        expect(lines.map((line) => JSON.parse(line))).toEqual([
          { path: here('/d'), kind: 'directory', modified },
          { path: here('/d/f'), kind: 'file', modified, id, size: 4, md5 },
        ]);
        const kinds = await find('/', '?format=json&kind=directory');
        expect(JSON.parse(kinds)).toMatchObject({ path: here('/d') });
        expect(await find('/', '?kind=directory')).toBe(`${here('/d')}\n`);
      });

      it('lets no name pass for two, and its escapes can be undone', async () => {
        await put('/a%0A_etc', 'x');
        await put('/b%250A', 'y');
        await put('/100%25', 'z');
        const lines = (await find('/')).trimEnd().split('\n');
        expect(lines).toEqual([here('/100%'), here('/a%0A_etc'), here('/b%250A')]);
        const json = (await find('/', '?format=json')).trimEnd().split('\n');
        expect(json.map((line) => JSON.parse(line).path)).toEqual([
          `${here('')}/100%`,
          `${here('')}/a\n_etc`,
          `${here('')}/b%0A`,
        ]);
      });

      it('of nothing, of a file and with nonsense is refused', async () => {
        await put('/f', 'x');
        const at = dir.slice(3);
        for (const [path, status] of [
          [`/find${at}/nothing`, 404],
          [`/find${at}/f`, 404],
          [`/find${at}/?format=xml`, 400],
          [`/find${at}/?kind=link`, 400],
          [`/find${at}/%2e%2e`, 400],
        ] as const) {
          expect((await server.raw(`GET ${path}`)).status).toBe(status);
        }
        expect((await server.fetch(`/find${at}/`, { method: 'POST' })).status).toBe(405);
        expect((await server.fetch(`/find${at}/`, { method: 'HEAD' })).status).toBe(200);
      });

      it('shows a reader without a key public names alone', async () => {
        await put('/private', 'x');
        expect(await statusOf('PUT', '/public?mode=public', 'Content-Length: 0')).toBe(201);
        const anonymous = await server.raw(`GET /find${dir.slice(3)}/`, { key: null });
        expect(anonymous.status).toBe(401);
      });
    });

    describe('touch', () => {
      const modifiedOf = async (path: string) =>
        (await api('GET', `/stat${dir.slice(3)}${path}`)).body?.modified;

      it('makes an empty file, and parents', async () => {
        expect((await api('POST', `/touch${dir.slice(3)}/n/f`)).status).toBe(204);
        expect(await get('/n/f')).toBe('');
      });

      it('sets the time of what is there and leaves its content', async () => {
        const { md5 } = await put('/f', 'text');
        const modified = '2001-02-03T04:05:06.789Z';
        expect((await api('POST', `/touch${dir.slice(3)}/f`, { modified })).status).toBe(204);
        const stat = await api('GET', `/stat${dir.slice(3)}/f`);
        expect(stat.body).toMatchObject({ modified, md5 });
        expect((await api('POST', `/touch${dir.slice(3)}/`, { modified })).status).toBe(204);
        expect(await modifiedOf('/')).toBe(modified);
        expect(await trash()).toEqual([]);
      });

      it('makes nothing where it must not', async () => {
        const answer = await api('POST', `/touch${dir.slice(3)}/f`, { create: false });
        expect(answer.status).toBe(404);
        expect(await get('/f')).toBe(404);
      });

      it.each([
        { modified: 'yesterday' },
        { modified: '2001-02-03' },
        { modified: '2001-02-30T00:00:00Z' },
        { modified: '2001-02-03T04:05:06' },
        { modified: 7 },
        { create: 'yes' },
      ])('refuses %j', async (body) => {
        expect((await api('POST', `/touch${dir.slice(3)}/f`, body)).status).toBe(400);
        expect(await get('/f')).toBe(404);
      });

      it('takes the time of a PUT from its header', async () => {
        await put('/f', 'text', 'X-DFS-Modified: 2001-02-03T05:05:06.789+01:00');
        expect(await modifiedOf('/f')).toBe('2001-02-03T04:05:06.789Z');
        const { headers } = await send('GET', '/f');
        expect(headers['last-modified']).toBe('Sat, 03 Feb 2001 04:05:06 GMT');
        expect(await statusOf('PUT', '/g', 'Content-Length: 0', 'X-DFS-Modified: now')).toBe(400);
      });
    });

    describe('copies', () => {
      it('are set on a directory and shown there', async () => {
        const at = `/copies${dir.slice(3)}/`;
        const answer = await api('PUT', at, { copies: 2 });
        expect(answer).toMatchObject({ status: 200, body: { kind: 'directory', copiesSet: 2 } });
        const back = await api('PUT', at, { copies: null });
        expect(back.body).not.toHaveProperty('copiesSet');
      });

      it('are set on a file', async () => {
        await put('/f', 'x');
        const answer = await api('PUT', `/copies${dir.slice(3)}/f`, { copies: 1 });
        expect(answer.body).toMatchObject({ kind: 'file', copiesSet: 1 });
      });

      it.each([{}, { copies: 0 }, { copies: 17 }, { copies: 1.5 }, { copies: '2' }])(
        'refuses %j',
        async (body) => {
          expect((await api('PUT', `/copies${dir.slice(3)}/`, body)).status).toBe(400);
        },
      );

      it('of nothing are 404', async () => {
        expect((await api('PUT', `/copies${dir.slice(3)}/no`, { copies: 1 })).status).toBe(404);
      });
    });

    describe('usage', () => {
      it('of a file is its own, of nothing 404', async () => {
        await put('/f', 'text');
        expect((await api('GET', `/usage${dir.slice(3)}/f`)).body).toEqual({
          path: here('/f'),
          files: 1,
          directories: 0,
          bytes: 4,
        });
        expect((await api('GET', `/usage${dir.slice(3)}/no`)).status).toBe(404);
      });

      it('of a directory counts what is in it, and its listing says the same', async () => {
        await put('/f', 'text');
        await put('/g', 'longer text');
        const usage = { path: here(''), files: 2, directories: 0, bytes: 15 };
        expect((await api('GET', `/usage${dir.slice(3)}/`)).body).toEqual(usage);
        const listing = await send('GET', '/?format=json');
        expect(JSON.parse(listing.body.toString()).usage).toEqual(usage);
        const page = await server.fetch(`${dir}/`, { headers: { Accept: 'text/html' } });
        expect(await page.text()).toContain('<footer>2 files, 0 directories, 15 bytes</footer>');
      });
    });

    it('lets nobody change or see anything without a key', async () => {
      await put('/a', 'text');
      const requests: [string, string, string[]][] = [
        ['MKCOL', `${dir}/x`, []],
        ['MOVE', `${dir}/a`, [to('/x')]],
        ['COPY', `${dir}/a`, [to('/x')]],
        ['DELETE', `${dir}/a`, []],
        ['GET', `/find${dir.slice(3)}/`, []],
        ['GET', '/find/', []],
        ['GET', `/api/v1/usage${dir.slice(3)}/`, []],
        ['PUT', `/api/v1/copies${dir.slice(3)}/`, ['Content-Length: 0']],
        ['POST', `/api/v1/touch${dir.slice(3)}/a`, ['Content-Length: 0']],
        ['GET', '/api/v1/trash', []],
        ['GET', `/api/v1/trash?path=${dir.slice(3)}`, []],
        ['POST', '/api/v1/trash/restore', ['Content-Length: 0']],
        ['POST', '/api/v1/trash/empty', ['Content-Length: 0']],
      ];
      for (const [method, path, headers] of requests) {
        const answer = await server.raw(`${method} ${path}`, { headers, key: null });
        expect([method, path, answer.status]).toEqual([method, path, 401]);
      }
      expect(await get('/a')).toBe('text');
    });
  });
}
