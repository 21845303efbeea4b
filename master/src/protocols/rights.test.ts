import { type AccessRole, type FilePath, parseFilePath } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Operation } from '../access/rules.ts';
import { createApp } from '../server.ts';
import { TestPublicServer, testKey } from './testing/test-public-server.ts';

let server: TestPublicServer;
const keys = new Map<string, string>();
beforeAll(async () => {
  server = await new TestPublicServer({
    safekeeping: {
      metadata: { snapshot: async function* () {} } as never,
      restorer: { run: async () => ({}) as never },
      stagingDir: '/nowhere',
    },
  }).start();
  for (const role of ['read', 'write', 'admin'] as const) {
    keys.set(`the ${role} key`, await server.keyFor(role, '/in'));
    keys.set(`the ${role} key of everything`, await server.keyFor(role, '/'));
  }
});
afterAll(() => server.stop());

interface Ask {
  readonly method?: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | FormData | URLSearchParams;
}

/** Where a request is about: a directory with a file in it. */
interface Place {
  readonly dir: string;
  readonly id: string;
}

const json = (value: unknown) => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
});

function form(fields: Readonly<Record<string, string>>, file?: string): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  if (file !== undefined) data.append('file', new Blob(['new']), file);
  return data;
}

/** For each thing that can be asked: which right it needs. `all of it`: being public does not help, since it tells what only those may know who may read all that is there. */
const requests: readonly [string, Operation | 'all of it', (place: Place) => Ask][] = [
  ['GET /fs/<file>', 'read', ({ dir }) => ({ path: `/fs${dir}/f` })],
  ['HEAD /fs/<file>', 'read', ({ dir }) => ({ method: 'HEAD', path: `/fs${dir}/f` })],
  ['GET /api/v1/files/<id>', 'read', ({ id }) => ({ path: `/api/v1/files/${id}` })],
  ['GET /api/v1/stream', 'read', ({ dir }) => ({ path: `/api/v1/stream/one@${dir.slice(1)}/f` })],
  ['GET /api/v1/download', 'read', ({ dir }) => ({ path: `/api/v1/download${dir}/f` })],
  ['GET /api/v1/stat/<file>', 'read', ({ dir }) => ({ path: `/api/v1/stat${dir}/f` })],
  ['GET /api/v1/stat/<dir>', 'list', ({ dir }) => ({ path: `/api/v1/stat${dir}` })],
  ['GET /fs/<dir>/', 'list', ({ dir }) => ({ path: `/fs${dir}/` })],
  ['GET /find/<dir>/', 'list', ({ dir }) => ({ path: `/find${dir}/` })],
  ['GET /api/v1/usage', 'all of it', ({ dir }) => ({ path: `/api/v1/usage${dir}` })],
  ['GET /api/v1/replicas', 'all of it', ({ dir }) => ({ path: `/api/v1/replicas${dir}/f` })],
  ['GET /api/v1/log?path=', 'all of it', ({ dir }) => ({ path: `/api/v1/log?path=${dir}/f` })],
  ['PUT /fs/<file>', 'write', ({ dir }) => ({ method: 'PUT', path: `/fs${dir}/f`, body: 'x' })],
  [
    'POST /fs/<dir>/',
    'write',
    ({ dir }) => ({ method: 'POST', path: `/fs${dir}/`, body: form({}, 'g') }),
  ],
  ['MKCOL', 'write', ({ dir }) => ({ method: 'MKCOL', path: `/fs${dir}/new` })],
  ['POST /api/v1/touch', 'write', ({ dir }) => ({ method: 'POST', path: `/api/v1/touch${dir}/f` })],
  [
    'PUT /api/v1/copies',
    'write',
    ({ dir }) => ({ method: 'PUT', path: `/api/v1/copies${dir}/f`, ...json({ copies: 2 }) }),
  ],
  [
    'PUT /api/v1/visibility',
    'write',
    ({ dir }) => ({
      method: 'PUT',
      path: `/api/v1/visibility${dir}/f`,
      ...json({ visibility: 'inherit' }),
    }),
  ],
  [
    'POST /api/v1/store',
    'write',
    ({ dir }) => ({
      method: 'POST',
      path: '/api/v1/store',
      body: form({ filename: `${dir.slice(1)}/s` }, 's'),
    }),
  ],
  ['DELETE', 'delete', ({ dir }) => ({ method: 'DELETE', path: `/fs${dir}/f` })],
  [
    'MOVE',
    'delete',
    ({ dir }) => ({ method: 'MOVE', path: `/fs${dir}/f`, headers: { destination: `/fs${dir}/g` } }),
  ],
  [
    'COPY',
    'write',
    ({ dir }) => ({ method: 'COPY', path: `/fs${dir}/f`, headers: { destination: `/fs${dir}/g` } }),
  ],
  [
    'POST /api/v1/delete',
    'delete',
    ({ dir }) => ({
      method: 'POST',
      path: '/api/v1/delete',
      body: form({ query_string: `one@${dir.slice(1)}/f` }),
    }),
  ],
  ['GET /api/v1/trash?path=', 'delete', ({ dir }) => ({ path: `/api/v1/trash?path=${dir}` })],
  [
    'POST /api/v1/trash/empty',
    'delete',
    ({ dir }) => ({ method: 'POST', path: '/api/v1/trash/empty', ...json({ path: dir }) }),
  ],
  ['GET /api/v1/presign', 'share', ({ dir }) => ({ path: `/api/v1/presign${dir}/f?duration=60` })],
  [
    'GET /api/v1/ipv4access',
    'share',
    ({ dir }) => ({ path: `/api/v1/ipv4access${dir}/f?duration=60&ipv4=192.0.2.1` }),
  ],
  [
    'DELETE /api/v1/ipv4access',
    'share',
    ({ dir }) => ({ method: 'DELETE', path: `/api/v1/ipv4access${dir}/f?ipv4=192.0.2.1` }),
  ],
  [
    'POST /api/v1/shares',
    'share',
    ({ dir }) => ({ method: 'POST', path: `/api/v1/shares${dir}/f`, ...json({ seconds: 60 }) }),
  ],
  [
    'DELETE /api/v1/shares',
    'share',
    ({ dir }) => ({ method: 'DELETE', path: `/api/v1/shares${dir}/f` }),
  ],
  [
    'POST /api/v1/grants',
    'share',
    ({ dir }) => ({
      method: 'POST',
      path: `/api/v1/grants${dir}/f`,
      ...json({ network: '192.0.2.1', seconds: 60 }),
    }),
  ],
  ['GET /api/v1/grants', 'share', ({ dir }) => ({ path: `/api/v1/grants${dir}` })],
  [
    'DELETE /api/v1/grants',
    'share',
    ({ dir }) => ({ method: 'DELETE', path: `/api/v1/grants${dir}/f` }),
  ],
  [
    'POST /api/v1/caches',
    'write',
    ({ dir }) => ({ method: 'POST', path: `/api/v1/caches${dir}/f`, ...json({}) }),
  ],
  [
    'DELETE /api/v1/caches',
    'write',
    ({ dir }) => ({ method: 'DELETE', path: `/api/v1/caches${dir}/f` }),
  ],
  [
    'POST /api/v1/cache',
    'write',
    ({ dir }) => ({
      method: 'POST',
      path: '/api/v1/cache',
      body: form({ query_string: `one@${dir.slice(1)}/f` }),
    }),
  ],
  [
    'POST /api/v1/shard_cache',
    'write',
    ({ dir }) => ({
      method: 'POST',
      path: '/api/v1/shard_cache',
      body: form({ query_string: `one@${dir.slice(1)}/f` }),
    }),
  ],
  [
    'POST /api/v1/delete_cache',
    'write',
    ({ dir }) => ({
      method: 'POST',
      path: '/api/v1/delete_cache',
      body: form({ query_string: `one@${dir.slice(1)}/f` }),
    }),
  ],
  [
    'POST /api/v1/keys',
    'admin',
    ({ dir }) => ({ method: 'POST', path: '/api/v1/keys', ...json({ prefix: dir }) }),
  ],
];

/** What is about the whole cluster. */
const clusterRequests: readonly [string, Ask][] = [
  ['GET /api/v1/status', { path: '/api/v1/status' }],
  ['GET /api/v1/nodes', { path: '/api/v1/nodes' }],
  ['POST /api/v1/nodes/<id>/drain', { method: 'POST', path: '/api/v1/nodes/one/drain' }],
  ['DELETE /api/v1/nodes/<id>', { method: 'DELETE', path: '/api/v1/nodes/one' }],
  ['POST /api/v1/rebalance', { method: 'POST', path: '/api/v1/rebalance' }],
  ['GET /api/v1/log', { path: '/api/v1/log' }],
  ['GET /api/v1/backup', { path: '/api/v1/backup' }],
  ['POST /api/v1/restore', { method: 'POST', path: '/api/v1/restore' }],
  ['POST /api/v1/scrub', { method: 'POST', path: '/api/v1/scrub' }],
  ['GET /api/v1/scrub', { path: '/api/v1/scrub' }],
  ['POST /api/v1/fsck', { method: 'POST', path: '/api/v1/fsck' }],
  ['GET /api/v1/fsck', { path: '/api/v1/fsck' }],
  ['GET /api/v1/hot', { path: '/api/v1/hot' }],
  ['GET /api/v1/registered_instances', { path: '/api/v1/registered_instances' }],
  ['GET /api/v1/information', { path: '/api/v1/information' }],
  ['GET /api/v1/logs', { path: '/api/v1/logs' }],
  ['DELETE /api/v1/logs', { method: 'DELETE', path: '/api/v1/logs' }],
  ['GET /metrics', { path: '/metrics' }],
];

const roleOperations: Readonly<Record<AccessRole, readonly (Operation | 'all of it')[]>> = {
  read: ['read', 'list', 'all of it'],
  write: ['read', 'list', 'all of it', 'write', 'delete', 'share'],
  admin: ['read', 'list', 'all of it', 'write', 'delete', 'share', 'admin'],
};

const strangers = [
  ...(['read', 'write', 'admin'] as const).flatMap((role) => [
    { who: `the ${role} key`, role, prefix: '/in' },
    { who: `the ${role} key of everything`, role, prefix: '/' },
  ]),
  { who: 'a stranger', role: undefined, prefix: undefined },
];

async function statusOf(
  who: string,
  { method = 'GET', path, headers, body }: Ask,
): Promise<number> {
  const key = who === 'the cluster key' ? testKey : keys.get(who);
  const answer = await fetch(`${server.url}${path}`, {
    method,
    redirect: 'manual',
    headers: { ...headers, ...(key === undefined ? {} : { 'shard-key': key }) },
    ...(body === undefined ? {} : { body }),
  });
  await answer.arrayBuffer();
  return answer.status;
}

/** What the cluster key gets, by what is asked for and where: the same for all who are compared with it. */
const fullStatuses = new Map<string, Promise<number>>();
function fullStatusOf(name: string, ask: () => Promise<Ask>): Promise<number> {
  const known = fullStatuses.get(name) ?? ask().then((asked) => statusOf('the cluster key', asked));
  fullStatuses.set(name, known);
  return known;
}

let places = 0;
/** A new directory with a file in it. */
async function placeIn(part: string, isPublic: boolean): Promise<Place> {
  places += 1;
  const dir = `${part}/p${places}`;
  await server.files.makeDirectory(parseFilePath(part), { parents: true });
  await server.files.makeDirectory(dir as FilePath);
  await server.files.setVisibility(dir as FilePath, isPublic ? 'public' : 'private');
  const { id } = (await server.files.add(`${dir}/f`, 'content', { isPublic })) as { id: string };
  return { dir, id };
}

const parts = [
  ['inside', '/in/a'],
  // Only its beginning is the same.
  ['outside', '/info'],
] as const;

describe.each(strangers)('over HTTP, $who', ({ who, role, prefix }) => {
  it.each(requests)('may %s with the right to %s, by the table', async (name, needed, ask) => {
    for (const [where, part] of parts) {
      for (const isPublic of [false, true]) {
        const hasRight =
          role !== undefined &&
          roleOperations[role].includes(needed) &&
          (prefix === '/' || where === 'inside');
        const isOpen = isPublic && (needed === 'read' || needed === 'list');
        const full = await fullStatusOf(`${name} ${where} ${isPublic}`, async () =>
          ask(await placeIn(part, isPublic)),
        );
        expect([200, 201, 204, ...(needed === 'share' && isPublic ? [400, 409] : [])]).toContain(
          full,
        );
        const refused = role === undefined ? 401 : 403;
        const expected = hasRight || isOpen ? full : refused;
        const status = await statusOf(who, ask(await placeIn(part, isPublic)));
        expect(status, `${where}, ${isPublic ? 'public' : 'private'}`).toBe(expected);
      }
    }
  });

  it.each(clusterRequests)('may %s as an administrator of everything alone', async (_name, ask) => {
    const full = await statusOf('the cluster key', ask);
    expect([200, 202, 204]).toContain(full);
    const mayAll = role === 'admin' && prefix === '/';
    expect(await statusOf(who, ask)).toBe(mayAll ? full : role === undefined ? 401 : 403);
  });

  it('is no program of the cluster', async () => {
    const ask = { method: 'POST', path: '/api/v1/register' };
    expect(await statusOf('the cluster key', ask)).toBe(200);
    expect(await statusOf(who, ask)).toBe(role === undefined ? 401 : 403);
  });
});

interface Layer {
  readonly route?: {
    readonly path: string | RegExp;
    readonly methods: Readonly<Record<string, boolean>>;
  };
  readonly handle: { readonly stack?: readonly Layer[] };
  match(path: string): unknown;
}

/** All routes below, each with its methods. */
const routesIn = (stack: readonly Layer[]): readonly Layer[] =>
  stack.flatMap((layer) => (layer.route ? [layer] : routesIn(layer.handle.stack ?? [])));

it('every route is among those that are proved here, or is open to all, or is proved elsewhere', () => {
  const sample = { dir: '/in/a', id: '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11' };
  const asked = [
    ...requests.map(([, , ask]) => ask(sample)),
    ...clusterRequests.map(([, ask]) => ask),
  ].map(({ method = 'GET', path }) => ({
    method: method.toLowerCase().replace('head', 'get'),
    path: path.replace(/\?.*/, ''),
  }));
  const { stack } = createApp(server.front).router as unknown as { stack: readonly Layer[] };
  const unproved = routesIn(stack).flatMap((layer) => {
    const { path = '', methods = {} } = layer.route ?? {};
    return Object.keys(methods)
      .filter((method) => method !== '_all')
      .filter((method) => !asked.some((ask) => ask.method === method && layer.match(ask.path)))
      .map((method) => `${method} ${path}`);
  });
  expect(unproved.toSorted()).toEqual(
    [
      // For anybody: they tell nothing of what is stored.
      'get /',
      'get /healthz',
      'get /readyz',
      'get /api/v1/health',
      'options /^\\*$/',
      'options /^\\/fs(?:\\/|$)/',
      // Needs the cluster key itself, see below; by what key items of the trash and keys can be named, too; links are judged by what they open.
      'post /api/v1/register',
      'post /api/v1/trash/restore',
      'get /api/v1/keys',
      'delete /^\\/api\\/v1\\/keys\\/[^/]+$/',
      'delete /api/v1/shares',
      'delete /api/v1/presign',
    ].toSorted(),
  );
});

describe('over HTTP, the holder of a key', () => {
  const ask = async (key: string, path: string, more: RequestInit = {}) => {
    const answer = await fetch(`${server.url}${path}`, {
      ...more,
      headers: { ...more.headers, 'shard-key': key, accept: 'application/json' },
    });
    return { status: answer.status, text: await answer.text() };
  };
  const namesIn = (text: string) =>
    (JSON.parse(text) as { entries: { name: string }[] }).entries.map(({ name }) => name);

  it('sees of the directories above its prefix what leads there or is public, and no sums', async () => {
    const key = await server.keyFor('read', '/deep/a/b');
    for (const path of ['/deep/a/b/f', '/deep/a/b/d/f', '/deep/a/f', '/deep/c/f', '/deep/ab/f']) {
      await server.files.add(path, 'x');
    }
    await server.files.add('/deep/open', 'x', { isPublic: true });
    expect(namesIn((await ask(key, '/fs/deep/')).text)).toEqual(['a', 'open']);
    expect(namesIn((await ask(key, '/fs/deep/a/')).text)).toEqual(['b']);
    expect(namesIn((await ask(key, '/fs/deep/a/b/')).text)).toEqual(['d', 'f']);
    expect((await ask(key, '/fs/deep/c/')).status).toBe(403);
    const found = (await ask(key, '/find/deep/')).text.trimEnd().split('\n');
    expect(found).toEqual(['/deep/a/b/d/f', '/deep/a/b/f', '/deep/open']);
    const all = (await ask(key, '/find/deep/?format=json')).text.trimEnd().split('\n');
    expect(all.map((line) => (JSON.parse(line) as { path: string }).path)).toEqual([
      '/deep/a',
      '/deep/a/b',
      '/deep/a/b/d',
      '/deep/a/b/d/f',
      '/deep/a/b/f',
      '/deep/open',
    ]);
    expect((await ask(key, '/api/v1/stat/deep/a')).status).toBe(200);
    expect((await ask(key, '/fs/deep/a/')).text).not.toContain('"usage"');
    expect((await ask(key, '/fs/deep/a/b/')).text).toContain('"usage"');
  });

  it('cannot tell what is private elsewhere from what is not there', async () => {
    const key = keys.get('the read key') as string;
    const { id } = (await server.files.add('/hidden/f', 'x')) as { id: string };
    const refusals = await Promise.all(
      [
        '/fs/hidden/f',
        '/fs/hidden',
        '/fs/hidden/none',
        '/api/v1/stat/hidden',
        '/api/v1/stat/no',
      ].map(async (path) => {
        const { status, text } = await ask(key, path);
        const { code, message, hint } = JSON.parse(text).error;
        return { status, code, message: message.replace(/\/(hidden|no)[^ ]*\.$/, 'there'), hint };
      }),
    );
    expect(new Set(refusals.map((each) => JSON.stringify(each))).size).toBe(1);
    const other = '0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11';
    const byId = await Promise.all(
      [id, other].map(async (each) => {
        const { status, text } = await ask(key, `/api/v1/files/${each}`);
        return { status, message: JSON.parse(text).error.message };
      }),
    );
    expect(byId[0]).toEqual(byId[1]);
    expect(byId[0]?.message).not.toContain('hidden');
  });

  it('reads by id what its prefix holds now, wherever it was before', async () => {
    const key = keys.get('the read key') as string;
    const { id } = (await server.files.add('/in/moved', 'x')) as { id: string };
    expect((await ask(key, `/api/v1/files/${id}`)).status).toBe(200);
    await server.files.move({
      from: '/in/moved' as FilePath,
      to: '/moved' as FilePath,
      overwrite: false,
    });
    expect((await ask(key, `/api/v1/files/${id}`)).status).toBe(403);
  });

  it('copies what is public, and of a directory only what it may read whole', async () => {
    const key = keys.get('the write key') as string;
    await server.files.add('/gallery/open', 'x', { isPublic: true });
    await server.files.setVisibility('/gallery' as FilePath, 'public');
    const copy = (from: string) =>
      ask(key, from, { method: 'COPY', headers: { destination: '/fs/in/copied' } });
    expect((await copy('/fs/gallery/open')).status).toBe(201);
    expect((await copy('/fs/gallery')).status).toBe(403);
    const out = await ask(key, '/fs/in/copied', {
      method: 'MOVE',
      headers: { destination: '/fs/gallery/mine' },
    });
    expect(out.status).toBe(403);
  });

  it('sees, brings back and lets go of nothing in the trash but what was in its prefix', async () => {
    const key = keys.get('the write key') as string;
    const admin = testKey;
    for (const path of ['/in/t1', '/in/t2', '/in/t3', '/secret/t1', '/inner/t2']) {
      await server.files.add(path, 'x');
      await server.files.remove(path as FilePath);
    }
    const itemsOf = async (text: string) =>
      (JSON.parse(text) as { items: { id: string; path: string }[] }).items;
    const idAt = async (path: string) =>
      (await itemsOf((await ask(admin, '/api/v1/trash')).text)).find((item) => item.path === path)
        ?.id;
    const post = (path: string, body: unknown) =>
      ask(key, `/api/v1/trash/${path}`, { method: 'POST', ...json(body) });
    const seen = await itemsOf((await ask(key, '/api/v1/trash')).text);
    expect(seen.map(({ path }) => path).filter((path) => !path.startsWith('/in/'))).toEqual([]);
    expect(seen.length).toBeGreaterThanOrEqual(3);
    expect((await ask(key, '/api/v1/trash?path=/')).status).toBe(403);
    const [mine, theirs] = [await idAt('/in/t1'), await idAt('/secret/t1')];
    expect((await post('restore', { id: theirs })).status).toBe(404);
    expect((await post('restore', { id: theirs, to: '/in/stolen' })).status).toBe(404);
    expect((await post('restore', { id: mine, to: '/secret/gift' })).status).toBe(403);
    expect((await post('restore', { id: mine })).status).toBe(200);
    expect(JSON.parse((await post('empty', { ids: [theirs, await idAt('/in/t2')] })).text)).toEqual(
      {
        removed: 1,
      },
    );
    expect((await post('empty', { path: '/secret' })).status).toBe(403);
    expect((await post('empty', {})).status).toBe(200);
    const left = (await itemsOf((await ask(admin, '/api/v1/trash')).text)).map(({ path }) => path);
    expect(left).toEqual(expect.arrayContaining(['/secret/t1', '/inner/t2']));
    expect(left.filter((path) => path.startsWith('/in/'))).toEqual([]);
  });
});
