import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FilePath, systemClock } from '@dfs/shared';
import { ClusterKeyring, createLogger, listen } from '@dfs/shared/cluster';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClusterServer } from '../../cluster/cluster-server.ts';
import type { HeartbeatNodeDirectory } from '../../cluster/heartbeat-node-directory.ts';
import type { MetadataRepository } from '../../metadata/metadata-repository.ts';
import { RawConnection, sendRaw } from '../testing/raw-http.ts';
import { TestPublicServer, testKey } from '../testing/test-public-server.ts';
import { forwardedTo } from './forwarded.ts';
import { edgeRoutes } from './routes.ts';

let front: TestPublicServer;
let management: ReturnType<typeof createClusterServer>;
let port: number;
const wrongKeysFrom: string[] = [];

beforeAll(async () => {
  front = await new TestPublicServer().start();
  await front.files.add('/private.txt', 'mine');
  await front.files.add('/public.txt', 'ours', { isPublic: true });
  const keyring = ClusterKeyring.of(testKey);
  management = createClusterServer({
    // Nothing here is about nodes or rows.
    metadata: {} as MetadataRepository,
    nodes: {} as HeartbeatNodeDirectory,
    clock: systemClock,
    logger: createLogger({ program: 'test', write: () => undefined }),
    keyring,
    random: Math.random,
    onAttempts: () => undefined,
    onDamage: () => undefined,
    edge: edgeRoutes(front.front),
    takeForwarded: forwardedTo(front.publicServer, keyring, (address) =>
      wrongKeysFrom.push(address),
    ),
    onWrongKey: (address) => wrongKeysFrom.push(address),
  });
  await listen(management, { host: '127.0.0.1', port: 0 });
  ({ port } = management.address() as AddressInfo);
});
afterAll(async () => {
  management.closeAllConnections();
  await new Promise((resolve) => management.close(resolve));
  await front.stop();
});

async function ask(path: string, question: object, key: string | null = testKey) {
  const response = await fetch(`http://127.0.0.1:${port}/cluster/${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
    },
    body: JSON.stringify(question),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

const read = (target: string, more: object = {}) =>
  ask('reads', { method: 'GET', target, headers: {}, clientAddress: '192.0.2.7', ...more });
const withKey = (key: string) => ({ headers: { 'shard-key': key } });

const passedOn = (
  requestLine: string,
  headers: readonly string[],
  { body = '', to = port }: { readonly body?: string; readonly to?: number } = {},
) =>
  sendRaw(
    to,
    [
      `${requestLine} HTTP/1.1`,
      'Host: files.example',
      `X-DFS-Forwarded-Key: ${testKey}`,
      'X-DFS-Client-Address: 192.0.2.7',
      'X-DFS-Client-Url: http://files.example',
      `X-DFS-By-Node: ${front.files.node.id}`,
      ...headers,
      '',
      body,
    ].join('\r\n'),
  );

describe('a node that asks whether its client may read', () => {
  it('is told all that an answer needs', async () => {
    const { status, body } = await read('/fs/public.txt?download=1');
    expect(status).toBe(200);
    expect(body).toMatchObject({
      kind: 'read',
      opening: { kind: 'public' },
      validForMs: 10_000,
      file: {
        path: '/public.txt',
        sizeBytes: 4,
        isPublic: true,
        isDownload: true,
        isById: false,
        blobs: [{ offsetBytes: 0, sizeBytes: 4, sources: [{ nodeId: front.files.node.id }] }],
      },
    });
  });

  it('is told so of a private file only with a key that opens it', async () => {
    expect((await read('/fs/private.txt', withKey(testKey))).body).toMatchObject({
      kind: 'read',
      opening: { kind: 'right' },
    });
    for (const headers of [{}, withKey('wrong'), withKey('')]) {
      expect((await read('/fs/private.txt', headers)).body).toEqual({ kind: 'forward' });
    }
  });

  it.each([
    ['stream/one@public.txt', false],
    ['download/public.txt', true],
  ])('is told so of the plain call %s', async (call, isDownload) => {
    const { body } = await read(`/api/v1/${call}`);
    expect(body).toMatchObject({
      kind: 'read',
      file: { path: '/public.txt', isDownload, isById: true },
    });
    for (const other of [`${call}x`, call.replace('public', 'private'), `${call}/../x`]) {
      expect((await read(`/api/v1/${other}`)).body).toEqual({ kind: 'forward' });
    }
  });

  it('finds a file by the id of its content', async () => {
    const id = (await read('/fs/public.txt')).body.file.id;
    expect((await read(`/api/v1/files/${id}`)).body).toMatchObject({
      kind: 'read',
      file: { isById: true, path: '/public.txt' },
    });
  });

  it.each([
    '/',
    '/fs/',
    '/fs/public.txt/',
    '/fs/none.txt',
    '/fs/../public.txt',
    '/fs/%2e%2e/public.txt',
    '/find/',
    '/api/v1/status',
    '/api/v1/files/none',
    '/fs/public.txt?redirect=1',
    '/fs/public.txt?avoid=x',
    'no target',
    '',
  ])('is to pass on %j', async (target) => {
    expect((await read(target, withKey(testKey))).body).toEqual({ kind: 'forward' });
  });

  it('is not heard without the cluster key, or when it makes no sense', async () => {
    expect((await ask('reads', {}, null)).status).toBe(401);
    expect((await ask('reads', {}, 'wrong')).status).toBe(401);
    for (const question of [
      {},
      [],
      { method: 'PUT', target: '/fs/a', headers: {}, clientAddress: '::1' },
      { method: 'GET', headers: {}, clientAddress: '::1' },
      { method: 'GET', target: '/fs/a', headers: null, clientAddress: '::1' },
      { method: 'GET', target: '/fs/a', headers: {} },
    ]) {
      expect((await ask('reads', question)).status).toBe(400);
    }
  });
});

it('a wrong key counts once: when its request is passed on', async () => {
  const wrong = async () => {
    const text = (await front.raw('GET /metrics')).body.toString();
    return Number(/^dfs_failed_authentications_total (\d+)/m.exec(text)?.[1]);
  };
  const before = await wrong();
  await read('/fs/private.txt', withKey('wrong'));
  expect(await wrong()).toBe(before);
  await passedOn('GET /fs/private.txt', ['SHARD-KEY: wrong']);
  expect(await wrong()).toBe(before + 1);
});

describe('a grant', () => {
  it("opens a file to its client's address until it is taken back", async () => {
    const fileId = (await read('/fs/private.txt', withKey(testKey))).body.file.id;
    const id = 'a-grant';
    await front.rights.addGrant({
      ...{ id, fileId, path: '/private.txt' as FilePath, network: '192.0.2.0/24' },
      ...{ createdBy: 'admin', createdAtMs: 0, expiresAtMs: Date.now() + 60_000 },
    });
    const granted = (await read('/fs/private.txt')).body;
    expect(granted.opening).toMatchObject({ kind: 'grant', network: '192.0.2.0/24' });
    expect((await read('/fs/private.txt', { clientAddress: '192.0.3.7' })).body.kind).toBe(
      'forward',
    );
    const question = { opening: granted.opening, fileId };
    expect((await ask('openings', question)).body).toEqual({ isOpen: true });
    const byAddress = await passedOn('GET /fs/private.txt', []);
    expect(byAddress.body.toString()).toBe('mine');
    await front.rights.removeGrants({ fileId });
    expect((await ask('openings', question)).body).toEqual({ isOpen: false });
    expect((await read('/fs/private.txt')).body.kind).toBe('forward');
  });

  it('is not relied on for longer than it lasts', async () => {
    const fileId = (await read('/fs/private.txt', withKey(testKey))).body.file.id;
    await front.rights.addGrant({
      ...{ id: 'a-short-grant', fileId, path: '/private.txt' as FilePath },
      ...{ network: '192.0.2.0/24', createdBy: 'admin', createdAtMs: 0 },
      expiresAtMs: Date.now() + 9_000,
    });
    const { opening, validForMs } = (await read('/fs/private.txt')).body;
    await front.rights.removeGrants({ fileId });
    expect(opening).toMatchObject({ kind: 'grant' });
    expect(validForMs).toBeLessThanOrEqual(9_000);
  });
});

describe('a node that asks for a judgement', () => {
  const judge = (operation: string, headers: object) =>
    ask('judgements', { operation, headers, clientAddress: '192.0.2.7' });

  it('is told what the rules say', async () => {
    expect((await judge('admin', { 'shard-key': testKey })).status).toBe(204);
    expect((await judge('admin', {})).status).toBe(401);
    expect((await judge('admin', { 'shard-key': 'wrong' })).status).toBe(401);
    expect((await judge('reign', { 'shard-key': testKey })).status).toBe(400);
  });
});

describe('a request that a node passes on', () => {
  it('is answered as at the public port', async () => {
    const key = `SHARD-KEY: ${testKey}`;
    expect((await passedOn('GET /fs/private.txt', [key])).body.toString()).toBe('mine');
    const stored = await passedOn('PUT /fs/new.txt', [key, 'Content-Length: 3'], {
      body: 'new',
    });
    expect(stored.status).toBe(201);
    expect((await passedOn('GET /fs/new.txt', [key])).body.toString()).toBe('new');
  });

  it('has the rights of its own key, not those of the node', async () => {
    expect((await passedOn('GET /fs/private.txt', [])).status).toBe(401);
    expect((await passedOn('GET /fs/private.txt', ['SHARD-KEY: wrong'])).status).toBe(401);
    expect((await passedOn('DELETE /fs/private.txt', [])).status).toBe(401);
  });

  it('comes without what the node added', async () => {
    const seen: string[][] = [];
    const take = forwardedTo(
      {
        take: ({ request, response }) => {
          seen.push(Object.keys(request.headers), request.rawHeaders);
          response.end();
        },
      },
      ClusterKeyring.of(testKey),
    );
    const server = createServer((request, response) => take(request, response, false));
    await listen(server, { host: '127.0.0.1', port: 0 });
    await passedOn('GET /fs/private.txt', ['X-Own: 1', 'Connection: close'], {
      to: (server.address() as AddressInfo).port,
    });
    await new Promise((resolve) => server.close(resolve));
    expect(seen).toEqual([
      ['host', 'x-own', 'connection'],
      ['Host', 'files.example', 'X-Own', '1', 'Connection', 'close'],
    ]);
  });

  it('does not reach what is for nodes', async () => {
    const answer = await passedOn('GET /cluster/nodes', [`SHARD-KEY: ${testKey}`]);
    expect(answer.status).toBe(404);
  });

  it.each([
    ['a wrong key', ['X-DFS-Client-Address: 192.0.2.7', 'X-DFS-Forwarded-Key: wrong']],
    ['no key', ['X-DFS-Client-Address: 192.0.2.7']],
    ['the key in another place', ['X-DFS-Client-Address: 192.0.2.7', `SHARD-KEY: ${testKey}`]],
  ])('is refused with %s', async (_what, headers) => {
    const answer = await sendRaw(
      port,
      ['GET /fs/public.txt HTTP/1.1', 'Host: a', ...headers, '', ''].join('\r\n'),
    );
    expect(answer.status).toBe(401);
  });

  it('says nothing of its client at the public port', async () => {
    const answer = await front.raw('GET /fs/private.txt', {
      key: null,
      headers: [`X-DFS-Forwarded-Key: ${testKey}`, 'X-DFS-Client-Address: 127.0.0.1'],
    });
    expect(answer.status).toBe(401);
  });

  it('registers a further node at the host that its client used where the master is on the same machine', async () => {
    const key = `SHARD-KEY: ${testKey}`;
    const answer = await passedOn('POST /api/v1/register', [key, 'Content-Length: 0']);
    expect(JSON.parse(answer.body.toString()).management).toBe('http://files.example:7041');
  });

  it('is asked for its body where the client waits for that', async () => {
    const connection = new RawConnection(port);
    connection.write(
      [
        'PUT /fs/asked.txt HTTP/1.1',
        'Host: a',
        `X-DFS-Forwarded-Key: ${testKey}`,
        'X-DFS-Client-Address: 192.0.2.7',
        `X-DFS-By-Node: ${front.files.node.id}`,
        `SHARD-KEY: ${testKey}`,
        'Expect: 100-continue',
        'Content-Length: 2',
        '',
        '',
      ].join('\r\n'),
    );
    expect((await connection.answer()).status).toBe(100);
    connection.write('ok');
    expect((await connection.answer()).status).toBe(201);
    connection.socket.destroy();
  });
});

describe('a wrong cluster key at the management port', () => {
  it('is told by its address, whichever header has it, and none at all is not', async () => {
    wrongKeysFrom.length = 0;
    const question = { method: 'GET', target: '/fs/public.txt', headers: {} };
    expect((await ask('reads', question, null)).status).toBe(401);
    expect(wrongKeysFrom).toEqual([]);
    expect((await ask('reads', question, 'wrong')).status).toBe(401);
    const lines = ['GET /fs/public.txt HTTP/1.1', 'Host: a', 'X-DFS-Client-Address: 192.0.2.7'];
    const forged = [...lines, 'X-DFS-Forwarded-Key: wrong', '', ''].join('\r\n');
    expect((await sendRaw(port, forged)).status).toBe(401);
    expect(wrongKeysFrom).toEqual(['127.0.0.1', '127.0.0.1']);
  });

  it('keeps the right one out no more than before, however many there were', async () => {
    for (let n = 0; n < 30; n += 1) await ask('reads', {}, `wrong ${n}`);
    expect((await read('/fs/public.txt')).status).toBe(200);
  });
});
