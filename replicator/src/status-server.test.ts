import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { ClusterKeyring } from '@dfs/shared/cluster';
import { afterEach, describe, expect, it } from 'vitest';
import { type StatusServer, serveStatus } from './status-server.ts';

let server: StatusServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function get(path: string, headers: Record<string, string> = {}) {
  const { port } = server as StatusServer;
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, headers, agent: false }, (response) => {
      text(response).then((body) => resolve({ status: response.statusCode, body }), reject);
    })
      .once('error', reject)
      .end();
  });
}

describe('the status port', () => {
  it('tells anyone that the process turns, and only the cluster its figures', async () => {
    server = await serveStatus({
      host: '127.0.0.1',
      port: 0,
      keyring: ClusterKeyring.of('secret'),
    });
    expect(await get('/healthz')).toEqual({ status: 200, body: 'ok\n' });
    expect((await get('/metrics')).status).toBe(401);
    expect((await get('/metrics', { Authorization: 'Bearer other' })).status).toBe(401);
    const figures = await get('/metrics', { Authorization: 'Bearer secret' });
    expect(figures.status).toBe(200);
    expect(figures.body).toContain('process_resident_memory_bytes');
    expect((await get('/')).status).toBe(404);
  });

  it('without a key shows its figures to local programs, not to pages that call it by another name', async () => {
    server = await serveStatus({ host: undefined, port: 0, keyring: ClusterKeyring.of() });
    expect((await get('/metrics')).status).toBe(200);
    expect((await get('/metrics', { Host: 'evil.example' })).status).toBe(401);
  });

  it.each(['0.0.0.0', '::', '10.0.0.5', '127.example'])(
    'is not opened at %s without a key',
    async (host) => {
      const opened = serveStatus({ host, port: 0, keyring: ClusterKeyring.of() });
      await expect(opened).rejects.toThrow(`DFS_HOST is ${host}, but no cluster key is set`);
    },
  );

  it('names the port when another program has it', async () => {
    server = await serveStatus({ host: '127.0.0.1', port: 0, keyring: ClusterKeyring.of() });
    const { port } = server;
    const second = serveStatus({ host: '127.0.0.1', port, keyring: ClusterKeyring.of() });
    await expect(second).rejects.toThrow(`Port ${port} of 127.0.0.1 is taken`);
  });
});
