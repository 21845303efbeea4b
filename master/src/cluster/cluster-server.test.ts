import type { AddressInfo } from 'node:net';
import { systemClock } from '@dfs/shared';
import { ClusterKeyring, listen } from '@dfs/shared/cluster';
import { recordingLogger } from '@dfs/shared/testing';
import { afterEach, describe, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { sendRaw } from '../protocols/testing/raw-http.ts';
import { createClusterServer } from './cluster-server.ts';
import type { HeartbeatNodeDirectory } from './heartbeat-node-directory.ts';

let server: ReturnType<typeof createClusterServer>;
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** The status of `GET /cluster/nodes` with these headers. */
async function statusOf(keyring: ClusterKeyring, headers: readonly string[]): Promise<number> {
  server = createClusterServer({
    metadata: {} as MetadataRepository,
    nodes: { nodeMap: () => ({ nodes: [] }) } as unknown as HeartbeatNodeDirectory,
    clock: systemClock,
    logger: recordingLogger().logger,
    keyring,
    random: Math.random,
    onAttempts: () => undefined,
    onDamage: () => undefined,
  });
  await listen(server, { host: '127.0.0.1', port: 0 });
  const { port } = server.address() as AddressInfo;
  const lines = ['GET /cluster/nodes HTTP/1.1', ...headers, 'Connection: close', '', ''];
  return (await sendRaw(port, lines.join('\r\n'))).status;
}

describe('the management port', () => {
  const local = 'Host: 127.0.0.1:7041';

  it.each<[string, string[], number]>([
    ['a program of this machine', [local], 200],
    ['a page under a name that leads here', ['Host: evil.example:7041'], 403],
    ['a page of another origin', [local, 'Origin: http://evil.example'], 403],
    ['a page of another site', [local, 'Sec-Fetch-Site: cross-site'], 403],
  ])('of a cluster without a key answers %s: %j', async (_who, headers, status) => {
    expect(await statusOf(ClusterKeyring.of(), headers)).toBe(status);
  });

  it.each<[string, string[], number]>([
    ['the key, by whatever name it is reached', ['Host: master', 'SHARD-KEY: right'], 200],
    ['a wrong key', [local, 'SHARD-KEY: wrong'], 401],
    ['no key', [local], 401],
  ])('of a cluster with a key answers who has %s: %j', async (_what, headers, status) => {
    expect(await statusOf(ClusterKeyring.of('right'), headers)).toBe(status);
  });
});
