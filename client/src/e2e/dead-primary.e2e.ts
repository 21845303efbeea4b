import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  contentOf,
  contentRange,
  contentStream,
  digestOfStream,
  md5OfContent,
} from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import type { Program } from './harness/program.ts';
import { TcpProxy } from './harness/tcp-proxy.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('when the primary is dead', () => {
  let cluster: LocalCluster;
  let doomed: LocalCluster;
  /** Gives up only after a minute, which passes while the other tests run. */
  let hopeless: Program;
  const hopelessFolder = temporaryDirectory('hopeless');

  beforeAll(async () => {
    doomed = await startCluster({ nodes: 2 });
    await doomed.store('/lost.bin', contentOf('lost', 100_000));
    await doomed.waitForCopies(['/lost.bin'], 2);
    await doomed.kill('node-1');
    await doomed.kill('node-2');
    hopeless = doomed.startDfs(['get', '/lost.bin'], { cwd: hopelessFolder });
    // Whatever is missing is not made anew meanwhile: the tests are about the copies there are.
    cluster = await startCluster({ nodes: 3, copies: 3, restart: true });
  });
  afterAll(async () => {
    await cluster?.dispose();
    await doomed?.dispose();
  });

  const bigBytes = 256 * 2 ** 20;
  const storeBig = async () => {
    if ((await cluster.get('/big.bin', { Range: 'bytes=0-0' })).status === 206) return;
    await cluster.store('/big.bin', contentStream('big', bigBytes), {
      headers: { 'Content-Length': String(bigBytes) },
    });
    await cluster.waitForCopies(['/big.bin'], 3, { withinMs: 120_000 });
  };

  it('a file is read at once from a replica', async () => {
    const bytes = contentOf('small', 500_000);
    await cluster.store('/small.bin', bytes);
    await cluster.waitForCopies(['/small.bin'], 3);
    const { primary } = await cluster.stat('/small.bin');
    // Suspended is worse than dead: nothing refuses the connection.
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      const member = primary?.name ?? '';
      const pid = cluster.pidOf(member);
      await cluster.kill(member, signal);
      const folder = temporaryDirectory('replica');
      const got = await cluster.dfs(['get', '/small.bin'], { cwd: folder });
      expect(got.code, got.stderr).toBe(0);
      expect(readFileSync(join(folder, 'small.bin')).equals(bytes)).toBe(true);
      const again = await cluster.get('/small.bin');
      if (signal === 'SIGSTOP') {
        expect(again.headers['x-dfs-node']).not.toBe(primary?.id);
        await cluster.kill(member, 'SIGCONT');
      } else {
        await cluster.waitForRestart(member, pid);
      }
      await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    }
  });

  it('a download of 256 MiB goes on from another copy, byte for byte, on the same connection', async () => {
    await storeBig();
    const answer = await cluster.open({ path: '/fs/big.bin' });
    const serving = answer.headers['x-dfs-node'] as string;
    let receivedBytes = 0;
    let killed: Promise<void> | undefined;
    async function* watched() {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        receivedBytes += chunk.length;
        if (!killed && receivedBytes > 20 * 2 ** 20) {
          killed = cluster.kill(serving);
          await killed;
        }
        yield chunk;
      }
    }
    const got = await digestOfStream(watched());
    expect(killed).toBeDefined();
    expect(got).toEqual({ md5: await md5OfContent('big', bigBytes), sizeBytes: bigBytes });
  });

  it('a range in the middle of a dead download is exact, too', async () => {
    await storeBig();
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    const [start, end] = [100 * 2 ** 20 - 7, 180 * 2 ** 20 + 11];
    const range = { Range: `bytes=${start}-${end - 1}` };
    const answer = await cluster.open({ path: '/fs/big.bin', headers: range });
    let isKilled = false;
    let receivedBytes = 0;
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      const expected = contentRange(
        'big',
        start + receivedBytes,
        start + receivedBytes + chunk.length,
      );
      if (!chunk.equals(expected)) throw new Error(`Wrong bytes near ${start + receivedBytes}.`);
      receivedBytes += chunk.length;
      if (!isKilled && receivedBytes > 30 * 2 ** 20) {
        isKilled = true;
        await cluster.kill(answer.headers['x-dfs-node'] as string);
      }
    }
    expect(receivedBytes).toBe(end - start);
  });

  it('and the master dies, too: dfs get goes on when it is back', async () => {
    await storeBig();
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    const proxy = await TcpProxy.start(cluster.url);
    try {
      const folder = temporaryDirectory('resumed');
      const held = proxy.holdAfter(60 * 2 ** 20);
      const getting = cluster.startDfs(['get', '/big.bin'], {
        cwd: folder,
        environment: { DFS_URL: proxy.url, DFS_KEY: cluster.key },
      });
      await held;
      const pid = cluster.pidOf('master');
      await cluster.kill('master');
      proxy.release();
      await cluster.waitForRestart('master', pid);
      const finished = await getting.finished;
      expect(finished.code, finished.stderr).toBe(0);
      expect(proxy.connections).toBeGreaterThan(1);
      // Resumed rather than begun anew: hardly more came than the file is long.
      expect(proxy.passedBytes).toBeLessThan(bigBytes * 1.2);
      expect(readdirSync(folder)).toEqual(['big.bin']);
      expect(finished.stdout).toContain(await md5OfContent('big', bigBytes));
    } finally {
      await proxy.close();
    }
  });

  it('and all other holders, too: it is 503 with their names', async () => {
    const got = await doomed.get('/lost.bin');
    expect(got.status).toBe(503);
    const { error } = got.json<ErrorAnswer>();
    expect(error.code).toBe('unavailable');
    expect(error.message).toContain('node-1');
    expect(error.message).toContain('node-2');
    expect(error.hint).toBeTruthy();
    expect(got.headers['retry-after']).toMatch(/^\d+$/);
    const head = await doomed.send({ method: 'HEAD', path: '/fs/lost.bin' });
    expect(head.status).toBe(503);
    const health = await waitUntil('the store to say that a file is lost', async () => {
      const status = await doomed.status();
      return status.health === 'lost' && status;
    });
    expect(health.nodes.up).toBe(0);
    expect((await doomed.dfs(['status'])).code).toBe(9);
  });

  it('and dfs get gives up in the end with the same names, leaving nothing', async () => {
    const finished = await hopeless.finished;
    expect(finished.code).toBe(6);
    expect(finished.stderr).toContain('node-1');
    expect(finished.stderr).toContain('node-2');
    expect(readdirSync(hopelessFolder)).toEqual([]);
    expect(existsSync(join(hopelessFolder, 'lost.bin'))).toBe(false);
  });
});
