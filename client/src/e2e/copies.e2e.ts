import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LogAnswer, ReplicaAnswer } from './harness/answers.ts';
import { contentOf } from './harness/content.ts';
import { headOf } from './harness/disk.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('copies', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3 });
  });
  afterAll(() => cluster?.dispose());

  it('are three where there are three nodes, each on another one', async () => {
    await cluster.store('/three.bin', contentOf('three', 2_500_000));
    await cluster.waitForCopies(['/three.bin'], 3);
    const copies = await cluster.replicas('/three.bin');
    expect(new Set(copies.map(({ node }) => node.id)).size).toBe(3);
    expect(copies.map(({ role }) => role).sort()).toEqual(['primary', 'replica', 'replica']);
    expect((await cluster.stat('/three.bin')).copies).toEqual({ stored: 3, wanted: 3 });
  });

  it('lie on disk where dfs replicas says, beginning with the bytes of the file', async () => {
    const bytes = contentOf('on disk', 1_300_000);
    await cluster.store('/on-disk.bin', bytes);
    await cluster.waitForCopies(['/on-disk.bin'], 3);
    const copies = await cluster.dfsJson<ReplicaAnswer[]>(['replicas', '/on-disk.bin']);
    expect(copies).toHaveLength(3);
    for (const copy of copies) {
      expect(Object.keys(copy).slice(0, 4)).toEqual(['node', 'role', 'state', 'path']);
      expect(copy.path.startsWith(cluster.node(copy.node.id).dataDir)).toBe(true);
      expect((await headOf(copy.path, bytes.length)).equals(bytes)).toBe(true);
    }
    const shown = (await cluster.dfs(['replicas', '/on-disk.bin'])).stdout;
    for (const copy of copies) {
      const line = shown.split('\n').find((text) => text.includes(copy.path));
      expect(line).toContain(copy.node.name);
      expect(line).toContain(copy.role);
      expect(line).toContain(copy.state);
    }
  });

  it('are made once each, and the log tells of every one', async () => {
    const { primary } = await cluster.store('/logged.bin', contentOf('logged', 700_000));
    await cluster.waitForCopies(['/logged.bin'], 3);
    const rows = await waitUntil('the log of both copies', async () => {
      const found = await cluster.dfsJson<LogAnswer[]>(['log', '/logged.bin']);
      return found.length >= 2 && found;
    });
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row).toMatchObject({ path: '/logged.bin', outcome: 'stored' });
      expect(row.milliseconds).toBeGreaterThanOrEqual(0);
      expect(Math.abs(Date.now() - Date.parse(row.time))).toBeLessThan(120_000);
      expect(row.source?.id).not.toBe(row.target.id);
      expect(row.target.id).not.toBe(primary.id);
    }
    const holders = (await cluster.replicas('/logged.bin')).map(({ node }) => node.id).sort();
    expect([primary.id, ...rows.map((row) => row.target.id)].sort()).toEqual(holders);
    const shown = (await cluster.dfs(['log', '/logged.bin'])).stdout.trim().split('\n');
    expect(shown).toHaveLength(2);
    expect(shown[0]).toMatch(/stored .*node-\d → node-\d +\d+ ms +\/logged\.bin/);
  });

  it('are logged newest last, and as many as asked for', async () => {
    for (const name of ['a', 'b', 'c']) {
      await cluster.store(`/order/${name}.txt`, name);
      await cluster.waitForCopies([`/order/${name}.txt`], 3);
    }
    const rows = await cluster.dfsJson<LogAnswer[]>(['log', '-n', '6']);
    expect(rows.map((row) => row.path)).toEqual(
      ['a', 'a', 'b', 'b', 'c', 'c'].map((name) => `/order/${name}.txt`),
    );
    expect(rows.map((row) => row.id)).toEqual(rows.map((row) => row.id).toSorted((a, b) => a - b));
    const two = await cluster.dfsJson<LogAnswer[]>(['log', '-n', '2']);
    expect(two).toEqual(rows.slice(-2));
  });

  it('are told while they are made to whoever follows the log', async () => {
    const following = cluster.startDfs(['log', '--follow', '--json', '-n', '1']);
    try {
      await following.printed(/\n/);
      await cluster.store('/followed.txt', 'followed');
      await following.printed(
        /"path":"\/followed\.txt".*\n(?:.*\n)*.*"path":"\/followed\.txt".*\n/,
      );
      const rows = following.output
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as LogAnswer)
        .filter((row) => row.path === '/followed.txt');
      expect(rows.map((row) => row.outcome)).toEqual(['stored', 'stored']);
    } finally {
      following.kill('SIGINT');
      await following.finished;
    }
  });

  it('are counted by status and metrics: nothing is missing once all are made', async () => {
    const status = await cluster.waitForAllCopies();
    expect(status.replicas.stored).toBe((await cluster.onDisk()).copies);
    const metrics = (await cluster.send({ path: '/metrics' })).text;
    expect(metrics).toMatch(/^dfs_replicas_wanted 0$/m);
    expect((await cluster.dfs(['status'])).code).toBe(0);
  });

  it('of an empty file are made, too', async () => {
    await cluster.store('/empty', '');
    await cluster.waitForCopies(['/empty'], 3);
    expect((await cluster.get('/empty')).body).toHaveLength(0);
  });
});

describe('copies for which there are too few nodes', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 2, copies: 3 });
  });
  afterAll(() => programs?.dispose());

  it('are made when a node joins later', async () => {
    const paths = ['/1.bin', '/2.bin', '/3.bin', '/4.bin', '/5.bin'];
    for (const path of paths) await programs.store(path, contentOf(path, 400_000));
    await programs.waitForCopies(paths, 2);
    const before = await programs.status();
    expect(before.blobsShort).toBe(5);
    expect((await programs.stat('/1.bin')).copies).toEqual({ stored: 2, wanted: 3 });

    const joined = await programs.startNode({ name: 'late' });
    await programs.waitForCopies(paths, 3);
    for (const path of paths) {
      const copy = (await programs.replicas(path)).find(({ node }) => node.name === 'late');
      expect(copy?.path.startsWith(joined.dataDir)).toBe(true);
      const bytes = contentOf(path, 400_000);
      expect((await headOf(copy?.path ?? '', bytes.length)).equals(bytes)).toBe(true);
    }
    await programs.waitUntilTidy();
  });
});
