import { spawn, spawnSync } from 'node:child_process';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryDirectory } from './harness/guard.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';

const isInstalled = spawnSync('litmus', ['--help']).error === undefined;

/** The WebDAV test suite of others (Debian: `apt-get install litmus`), as far as it is about names and bytes. */
describe.skipIf(!isInstalled)('litmus', () => {
  let cluster: LocalCluster;
  let gate: Server;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1, environment: { DFS_TRASH_TTL: '1h' } });
    gate = keyGate(cluster);
    await new Promise<void>((resolve) => gate.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    gate?.closeAllConnections();
    gate?.close();
    await cluster?.dispose();
  });

  const run = async (suite: string) => {
    const { port } = gate.address() as AddressInfo;
    const litmus = spawn('litmus', ['-k', `http://127.0.0.1:${port}/fs/`], {
      // It writes its log where it stands.
      cwd: temporaryDirectory('litmus'),
      env: { ...process.env, TESTS: suite },
    });
    const output = await text(litmus.stdout);
    return output
      .split(/[\r\n]+/)
      .filter((line) => /\.{2,} (?:FAIL|WARNING)/.test(line) || /summary/.test(line));
  };

  it.each([
    // That no DAV class is claimed is right: properties are for another door.
    ['basic', 1, 'FAIL (server does not claim WebDAV compliance)'],
    ['copymove', 0, ''],
    ['http', 0, ''],
  ])('%s passes but for %i', async (suite, failures, reason) => {
    const lines = await run(suite);
    const failed = lines.filter((line) => line.includes('FAIL'));
    expect(failed).toHaveLength(failures);
    for (const line of failed) expect(line).toContain(reason);
    expect(lines.at(-1)).toContain(`${failures} failed`);
  });
});

/** Adds the key to whatever comes: litmus knows passwords only. */
function keyGate(cluster: LocalCluster): Server {
  const { hostname, port } = new URL(cluster.url);
  return createServer((asked, answer) => {
    const headers = { ...asked.headers, 'shard-key': cluster.key };
    const sent = request(
      { host: hostname, port, path: asked.url, method: asked.method, headers },
      (got) => {
        answer.writeHead(got.statusCode ?? 502, got.headers);
        got.pipe(answer);
      },
    );
    sent.once('error', () => answer.destroy());
    asked.pipe(sent);
  });
}
