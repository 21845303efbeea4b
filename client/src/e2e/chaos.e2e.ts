import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { chaosRounds, chaosSeed, runChaos } from './chaos/chaos.ts';
import { contentOf } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { startCluster } from './harness/local-cluster.ts';
import { findRedis, TestRedis } from './harness/redis.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

/** Programs take a second or more to start, and on a busy machine many more. */
const chaosLimitMs = 1_200_000;

// Side by side, since most of the time each waits for its launcher to bring back what was killed.
describe('programs killed at random instants', { concurrent: true }, () => {
  it(
    'lose nothing that was acknowledged, and leave nothing over',
    async () => {
      await runChaos({ rounds: chaosRounds(200), seed: chaosSeed() });
    },
    chaosLimitMs,
  );

  const executable = findRedis();
  it.skipIf(executable === undefined)(
    'lose nothing with Redis between them, which dies and is emptied, too',
    async () => {
      const redis = await TestRedis.start(executable ?? '');
      try {
        await runChaos({ rounds: chaosRounds(200), seed: chaosSeed(), redis });
      } finally {
        await redis.stop();
      }
    },
    chaosLimitMs,
  );
});

describe('Redis', () => {
  const executable = findRedis();
  it.skipIf(executable === undefined)(
    'may be emptied at any time: every copy is made all the same',
    async () => {
      const redis = await TestRedis.start(executable ?? '');
      const cluster = await startCluster({ nodes: 2, environment: { DFS_REDIS_URL: redis.url } });
      try {
        await cluster.kill('replicator', 'SIGSTOP');
        const paths = Array.from({ length: 30 }, (_, index) => `/flushed/${index}.bin`);
        for (const path of paths) await cluster.store(path, contentOf(path, 20_000));
        await redis.flush();
        await cluster.kill('replicator', 'SIGCONT');
        await cluster.waitForCopies(paths, 2, { withinMs: 60_000 });
        await redis.killAndRestart();
        await cluster.store('/after.bin', contentOf('after', 20_000));
        await cluster.waitForCopies(['/after.bin'], 2, { withinMs: 60_000 });
        await cluster.waitUntilTidy();
      } finally {
        await cluster.dispose();
        await redis.stop();
      }
    },
  );

  it.skipIf(executable === undefined)(
    'may be away: files are stored, and copied later',
    async () => {
      const redis = await TestRedis.start(executable ?? '');
      const cluster = await startCluster({ nodes: 2, environment: { DFS_REDIS_URL: redis.url } });
      try {
        await redis.stop();
        const bytes = contentOf('away', 50_000);
        await cluster.store('/away.bin', bytes);
        expect((await cluster.get('/away.bin')).body.equals(bytes)).toBe(true);
        await redis.killAndRestart();
        await cluster.waitForCopies(['/away.bin'], 2, { withinMs: 60_000 });
      } finally {
        await cluster.dispose();
        await redis.stop();
      }
    },
  );
});

describe('a master whose database is not the one of its nodes', () => {
  const paths = Array.from({ length: 6 }, (_, index) => `/full/${index}.bin`);
  const graceMs = 2_000;

  /** A cluster of two nodes with files, stopped; and its master's directory as it was before the last of them. */
  async function stoppedCluster() {
    const cluster = await startCluster({ nodes: 2 });
    for (const path of paths.slice(0, 3)) await cluster.store(path, contentOf(path, 40_000));
    await cluster.waitForAllCopies();
    await cluster.stop();
    const older = join(temporaryDirectory('older'), 'master');
    cpSync(join(cluster.dataDir, 'master'), older, { recursive: true });
    const again = await startCluster({ nodes: 2, dataDir: cluster.dataDir });
    try {
      for (const path of paths.slice(3)) await again.store(path, contentOf(path, 40_000));
      await again.waitForAllCopies();
      await delay(1_000);
    } finally {
      await again.stop();
    }
    return { cluster, older };
  }

  async function expectRecovery(programs: SeparatePrograms, dataDirs: readonly string[]) {
    const before = await Promise.all(dataDirs.map(copiesOnDisk));
    expect(before.map((copies) => copies.length)).toEqual([paths.length, paths.length]);
    for (const [index, dataDir] of dataDirs.entries()) {
      await programs.launchNode({ name: `node-${index + 1}`, dataDir });
    }
    const { error } = await waitUntil('the master to notice', async () => {
      const answer = await programs.get(paths[0] ?? '');
      expect(answer.status).toBe(503);
      const refusal = answer.json<ErrorAnswer>();
      return refusal.error.code === 'in-recovery' && refusal;
    });
    expect(`${error.message} ${error.hint}`).toContain('dfs restore');
    const write = await programs.put('/new.txt', 'new');
    expect([write.status, write.json<ErrorAnswer>().error.code]).toEqual([503, 'in-recovery']);
    expect((await programs.send({ path: '/readyz', withKey: false })).status).toBe(503);
    expect((await programs.send({ path: '/healthz', withKey: false })).status).toBe(200);
    const status = await programs.dfs(['status']);
    expect(status.code).not.toBe(0);
    expect(`${status.stdout}${status.stderr}`).toContain('dfs restore');
    // Long enough for collection to have found everything that the database does not know.
    await delay(4 * graceMs);
    const after = await Promise.all(dataDirs.map(copiesOnDisk));
    expect(after).toEqual(before);
  }

  it('deletes nothing and says what to do: an empty one, and one that is older than its nodes', async () => {
    const { cluster, older } = await stoppedCluster();
    const dataDirs = cluster.nodeDirectories();
    const common = { nodes: 0, copies: 2, key: cluster.key };

    const empty = await startSeparatePrograms(common);
    try {
      await expectRecovery(empty, dataDirs);
    } finally {
      await empty.dispose();
    }
    const old = await startSeparatePrograms({ ...common, masterDir: older });
    try {
      await expectRecovery(old, dataDirs);
    } finally {
      await old.dispose();
    }
    // With the right database all is there again.
    const right = await startCluster({ nodes: 2, dataDir: cluster.dataDir });
    try {
      for (const path of paths) {
        expect((await right.get(path)).body.equals(contentOf(path, 40_000))).toBe(true);
      }
      await right.waitUntilTidy();
    } finally {
      await right.dispose();
    }
  });
});
