import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sendRaw } from '../testing/raw-http.ts';
import { snapshotOf, TestPublicServer, testKey } from '../testing/test-public-server.ts';

let server: TestPublicServer;
beforeAll(async () => {
  server = await new TestPublicServer().start();
});
afterAll(() => server.stop());

describe('the public port', () => {
  it('greets people with a page and programs with lines', async () => {
    const page = await server.fetch('/', { headers: { accept: 'text/html,*/*;q=0.8' } });
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toContain('href="/fs/"');
    const lines = await server.fetch('/');
    expect(lines.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await lines.text()).toContain('dfs 1.2.3');
  });

  it('says that it is alive', async () => {
    const answer = await server.raw('GET /healthz', { key: null });
    expect([answer.status, answer.body.toString()]).toEqual([200, 'ok\n']);
    const health = await server.raw('GET /api/v1/health', { key: null });
    expect(JSON.parse(health.body.toString())).toEqual({
      status: 'healthy',
      uptime: expect.any(Number),
      instance: 'test',
      known_instances: null,
    });
  });

  it('carries a request id: a new one, or the one that came if it is harmless', async () => {
    const idFor = async (header: string) =>
      (await server.raw('GET /healthz', { headers: [header] })).headers['x-request-id'];
    expect(await idFor('X-Request-Id: build-42.a')).toBe('build-42.a');
    for (const bad of [
      'X-Request-Id: <script>',
      'X-Request-Id: a',
      `X-Request-Id: ${'x'.repeat(65)}`,
    ]) {
      expect(await idFor(bad)).toMatch(/^[0-9a-f]{12}-[0-9a-z]+$/);
    }
    expect(await idFor('X: y')).not.toBe(await idFor('X: y'));
  });

  it('writes one line for each request, without its query', async () => {
    const before = server.lines.length;
    await server.raw('GET /fs/none?signature=secret');
    await expect.poll(() => server.lines.length).toBe(before + 1);
    const [line] = server.lines.slice(before);
    expect(line).toMatchObject({
      level: 'info',
      message: 'request',
      fields: { method: 'GET', path: '/fs/none', status: 404, code: 'not-found' },
    });
    expect(JSON.stringify(line)).not.toContain('secret');
    expect(line?.fields['ms']).toBeGreaterThanOrEqual(0);
    expect(line?.fields['in']).toBeGreaterThan(50);
    expect(line?.fields['out']).toBeGreaterThan(100);
  });
});

describe('readiness', () => {
  const readiness = async () => {
    const answer = await server.raw('GET /readyz', { key: null });
    return { status: answer.status, ...JSON.parse(answer.body.toString()) };
  };

  it('is there when the database answers and a node takes writes', async () => {
    expect(await readiness()).toEqual({ status: 200, ready: true, reasons: [] });
  });

  it('is not there without the database', async () => {
    server.isDatabaseOpen = false;
    const answer = await readiness();
    server.isDatabaseOpen = true;
    expect(answer).toMatchObject({ status: 503, reasons: ['The database does not answer.'] });
  });

  it('is not there in recovery', async () => {
    server.recovery = 'why';
    const answer = await readiness();
    server.recovery = undefined;
    expect(answer.status).toBe(503);
    expect(answer.reasons[0]).toContain('dfs restore');
  });

  it.each([
    ['no node', []],
    ['a node that is down', [snapshotOf({ state: 'down' })]],
    ['a node on its way out', [snapshotOf({ state: 'draining' })]],
    ['a full node', [snapshotOf({ freeBytes: 0 })]],
  ])('is not there with %s', async (_name, nodes) => {
    const before = server.nodes.splice(0, server.nodes.length, ...nodes);
    const answer = await readiness();
    server.nodes.splice(0, server.nodes.length, ...before);
    expect(answer).toMatchObject({ status: 503, reasons: ['No storage node takes writes.'] });
  });
});

describe('metrics', () => {
  it('tell what Prometheus wants to know', async () => {
    server.counts = {
      ...server.counts,
      replicas: { wanted: 2, stored: 7, corrupt: 1, dropping: 4 },
      blobsShort: 3,
    };
    await server.raw('GET /fs/none');
    const answer = await server.raw('GET /metrics');
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = answer.body.toString();
    for (const line of [
      'dfs_replicas{state="stored"} 7',
      'dfs_replicas{state="dropping"} 4',
      'dfs_replicas_wanted 6',
      'dfs_nodes{state="up"} 1',
      'dfs_failed_authentications_total 0',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
    expect(text).toMatch(/^dfs_requests_total\{method="GET",status="404"\} [1-9]/m);
    expect(text).toMatch(/^dfs_bytes_total\{direction="out"\} [1-9]/m);
    expect(text).toMatch(/^process_resident_memory_bytes /m);
  });
});

describe('a server without a key', () => {
  let open: TestPublicServer;
  beforeAll(async () => {
    open = await new TestPublicServer({ clusterKey: undefined }).start();
    await open.files.add('/private.txt', 'mine');
  });
  afterAll(() => open.stop());
  const get = (...headers: string[]) =>
    sendRaw(open.port, ['GET /fs/private.txt HTTP/1.1', ...headers, '', ''].join('\r\n'));

  it("serves this machine's user all", async () => {
    expect((await get('Host: localhost:7040')).body.toString()).toBe('mine');
    expect((await get(`Host: 127.0.0.1:${open.port}`)).status).toBe(200);
  });

  it.each([
    ['a name that was rebound to this machine', ['Host: evil.example']],
    ['a page elsewhere', ['Host: localhost', 'Origin: http://evil.example']],
    ['a frame elsewhere', ['Host: localhost', 'Sec-Fetch-Site: cross-site']],
  ])('refuses %s', async (_name, headers) => {
    const answer = await get(...headers);
    expect(answer.status).toBe(403);
    expect(JSON.parse(answer.body.toString()).error).toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining('localhost'),
    });
  });

  it('judges a target in absolute form by the host in it', async () => {
    const answer = await sendRaw(
      open.port,
      'GET http://evil.example/fs/private.txt HTTP/1.1\r\nHost: localhost\r\n\r\n',
    );
    expect(answer.status).toBe(403);
  });
});

it('the key never reaches the log', () => {
  expect(JSON.stringify(server.lines)).not.toContain(testKey);
});
