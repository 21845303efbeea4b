import { cpSync, existsSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { type Store, urlPathOf } from './harness/store.ts';
import { waitUntil } from './harness/wait-until.ts';

interface Report {
  readonly base: string;
  readonly epoch: number;
  readonly clusterId: string;
  readonly files: number;
  readonly journal: { readonly last: number; readonly records: number };
  readonly withoutCopy: { readonly count: number; readonly paths: readonly string[] };
  readonly found: { readonly count: number; readonly paths: readonly string[] };
  readonly doubtful: { readonly count: number };
  readonly contested: { readonly count: number; readonly paths: readonly string[] };
  readonly nodes: readonly { readonly name: string; readonly problem?: string }[];
  readonly warnings: readonly string[];
  readonly differences?: Readonly<Record<string, { readonly count: number }>>;
}

/** What a tree is made of: every path with its kind, size, MD5 and time of change. */
async function treeOf(store: Store, directory = '/'): Promise<Record<string, unknown>> {
  const tree: Record<string, unknown> = {};
  for (const entry of await store.list(directory)) {
    const path = `${directory.replace(/\/$/, '')}/${entry.name}`;
    const { kind, size, md5, modified } = entry;
    tree[path] = kind === 'directory' ? { kind, modified } : { kind, size, md5, modified };
    if (kind === 'directory') Object.assign(tree, await treeOf(store, path));
  }
  return tree;
}

/** Everything that a rebuilt database must know. */
async function work(store: Store): Promise<void> {
  for (let i = 0; i < 12; i += 1) {
    await store.store(`/photos/2030/${i}.jpg`, contentOf(`photo ${i}`, 20_000 + i));
  }
  await store.store('/long.bin', contentOf('long', 5_000_000));
  await store.store('/replaced.txt', 'first');
  await store.store('/replaced.txt', 'second');
  await store.store('/gone.txt', 'to be deleted');
  expect((await store.remove('/gone.txt')).status).toBe(204);
  await store.store('/open.txt', 'for all', { query: '?mode=public' });
  await store.store('/empty.txt', '');
}

interface Beside {
  /** All of them by default. */
  readonly nodes?: readonly string[];
  /** An empty one by default. */
  readonly masterDir?: string;
  /** What the nodes keep of the journal is lost, too. */
  readonly forgetJournals?: boolean;
  /** The master reaches them through proxies that can break. */
  readonly proxied?: boolean;
}

/** Kills the master, stops the rest, and gives a master with another database beside the same nodes, in recovery. */
async function withoutDatabase(
  cluster: LocalCluster,
  options: Beside = {},
): Promise<SeparatePrograms> {
  await cluster.kill('master');
  await cluster.stop();
  return startBeside(cluster, options);
}

async function startBeside(
  cluster: LocalCluster,
  { nodes, masterDir, forgetJournals, proxied = false }: Beside,
): Promise<SeparatePrograms> {
  const programs = await startSeparatePrograms({
    nodes: 0,
    copies: 2,
    key: cluster.key,
    environment: settings,
    ...(masterDir === undefined ? {} : { masterDir }),
  });
  const launched = [];
  for (const [index, dataDir] of cluster.nodeDirectories().entries()) {
    const name = `node-${index + 1}`;
    if (nodes && !nodes.includes(name)) continue;
    if (forgetJournals) rmSync(join(dataDir, 'journal'), { recursive: true, force: true });
    launched.push(await programs.launchNode({ name, dataDir, proxied }));
  }
  const isHeard = /refuses this node|registered with the master/;
  await Promise.all(launched.map(({ program }) => program.printed(isHeard, 60_000)));
  await programs.waitForRecovery();
  expect((await programs.dfs(['status'])).code).toBe(6);
  return programs;
}

async function move(store: Store, from: string, to: string): Promise<void> {
  const headers = { Destination: `/fs${urlPathOf(to)}` };
  const answer = await store.send({ method: 'MOVE', path: `/fs${urlPathOf(from)}`, headers });
  expect(answer.status, answer.text).toBe(201);
}

async function setCopies(store: Store, path: string, copies: number): Promise<void> {
  const answer = await store.send({
    method: 'PUT',
    path: `/api/v1/copies${urlPathOf(path)}`,
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ copies }),
  });
  expect(answer.status, answer.text).toBe(200);
}

/** A link to a file, in its full length. */
const share = async (store: Store, path: string) =>
  (await store.dfsJson<{ url: string }>(['share', path])).url;

/** A key that reads what is below a path. */
async function makeKey(store: Store, prefix: string): Promise<string> {
  const made = await store.dfs(['key', 'add', '--prefix', prefix]);
  expect(made.code, made.stderr).toBe(0);
  return made.stdout.trim();
}

/** What of a link is the same at every address of the store. */
function pathOf(link: string): string {
  const { pathname, search } = new URL(link);
  return pathname + search;
}

/** Everything in the trash, with times. */
async function trashOf(store: Store): Promise<readonly unknown[]> {
  const answer = await store.send({ path: '/api/v1/trash?limit=1000' });
  expect(answer.status, answer.text).toBe(200);
  return answer.json<{ items: readonly unknown[] }>().items;
}

async function makeDirectory(store: Store, path: string): Promise<void> {
  const answer = await store.send({ method: 'MKCOL', path: `/fs${urlPathOf(path)}?parents=1` });
  expect(answer.status, answer.text).toBe(201);
}

/** Without times: those of a file are when it was written, those of a directory are lost. */
const contentsOf = (tree: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(tree).map(([path, entry]) => [path, { ...(entry as object), modified: 0 }]),
  );

const settings = { DFS_SEGMENT_BYTES: '1MiB', DFS_TRASH_TTL: '1h', DFS_GC_GRACE: '10m' };

const restoreOf = (store: Store, ...args: string[]) => store.dfsJson<Report>(['restore', ...args]);

describe('a database rebuilt from the nodes', () => {
  it('is equal to the one that was lost: names after moves, directories, times, MD5s, visibility; deleted stays deleted', async () => {
    const cluster = await startCluster({ nodes: 3, copies: 2, environment: settings });
    await work(cluster);
    await move(cluster, '/photos', '/pictures');
    await makeDirectory(cluster, '/empty/directory/');
    await setCopies(cluster, '/pictures', 3);
    const shared = [await share(cluster, '/replaced.txt'), await share(cluster, '/replaced.txt')];
    expect((await cluster.dfs(['unshare', shared[0] ?? ''])).code).toBe(0);
    expect((await cluster.dfs(['grant', '/long.bin', '127.0.0.1'])).code).toBe(0);
    expect((await cluster.dfs(['chmod', 'public', '/empty'])).code).toBe(0);
    const keys = [await makeKey(cluster, '/pictures'), await makeKey(cluster, '/pictures')];
    expect((await cluster.dfs(['key', 'rm', keys[0] ?? ''])).code).toBe(0);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    const trash = await trashOf(cluster);
    expect(trash.length).toBeGreaterThan(0);
    await cluster.waitUntilShipped();
    const programs = await withoutDatabase(cluster);
    try {
      expect((await programs.put('/new.txt', 'new')).status).toBe(503);
      const withKeys = () =>
        Promise.all(
          keys.map(async (key) => {
            const headers = { 'SHARD-KEY': key };
            return (await programs.send({ path: '/fs/pictures/', headers, withKey: false })).status;
          }),
        );
      // Nobody knows yet which of them was removed.
      expect(await withKeys()).toEqual([503, 503]);
      const report = await restoreOf(programs);
      expect(report).toMatchObject({
        epoch: 2,
        withoutCopy: { count: 0 },
        found: { count: 0 },
        doubtful: { count: 0 },
        contested: { count: 0 },
      });
      expect(['snapshot', 'journal']).toContain(report.base);
      expect(await treeOf(programs)).toEqual(before);
      expect(await trashOf(programs)).toEqual(trash);
      expect((await programs.stat('/pictures/2030/1.jpg')).copies.wanted).toBe(3);
      expect((await programs.get('/long.bin')).body.equals(contentOf('long', 5_000_000))).toBe(
        true,
      );
      const stranger = await programs.send({ path: '/fs/open.txt', withKey: false });
      expect([stranger.status, stranger.text]).toEqual([200, 'for all']);
      const closed = ['/fs/replaced.txt', pathOf(shared[0] ?? '')];
      const open = [pathOf(shared[1] ?? ''), '/fs/long.bin', '/fs/empty/'];
      const statusOf = async (path: string) =>
        (await programs.send({ path, withKey: false })).status;
      expect(await Promise.all(closed.map(statusOf))).toEqual([401, 401]);
      expect(await Promise.all(open.map(statusOf))).toEqual([200, 200, 200]);
      await waitUntil('the access keys to count again', async () => (await withKeys())[1] === 200);
      expect(await withKeys()).toEqual([401, 200]);
      // The nodes are part of the new epoch, and nothing comes back later.
      await programs.store('/after.txt', 'after');
      programs.startReplicator();
      await programs.waitForAllCopies();
      expect((await programs.get('/gone.txt')).status).toBe(404);
      const again = await programs.dfs(['restore']);
      expect(again.code).toBe(5);
      expect(again.stderr).toContain('--into');
    } finally {
      await programs.dispose();
    }
  });

  it('can be lost again: the journal goes on in the epoch that the restore began', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    await work(cluster);
    await cluster.waitUntilShipped();
    const programs = await withoutDatabase(cluster);
    try {
      await restoreOf(programs);
      await programs.store('/after.txt', 'after');
      await programs.store('/open.txt', 'replaced');
      expect((await programs.remove('/long.bin')).status).toBe(204);
      await move(programs, '/photos/2030', '/photos/2031');
      const before = await treeOf(programs);
      const trash = await trashOf(programs);
      await programs.waitUntilShipped();
      await programs.loseDatabase();
      const report = await restoreOf(programs);
      expect(report).toMatchObject({ epoch: 3, found: { count: 0 }, doubtful: { count: 0 } });
      expect(await treeOf(programs)).toEqual(before);
      expect(await trashOf(programs)).toEqual(trash);
    } finally {
      await programs.dispose();
    }
  });

  it('can be read with one of three nodes missing, and says what may be stale', async () => {
    const cluster = await startCluster({ nodes: 3, copies: 2, environment: settings });
    await work(cluster);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    await cluster.waitUntilShipped();
    const programs = await withoutDatabase(cluster, { nodes: ['node-1', 'node-3'] });
    try {
      const report = await restoreOf(programs);
      expect(report).toMatchObject({ withoutCopy: { count: 0 } });
      expect(report.warnings.join('\n')).toMatch(/Changes after .* are lost/);
      expect(await treeOf(programs)).toEqual(before);
      for (const path of Object.keys(before)) {
        const { md5 } = before[path] as { md5?: string };
        if (md5 !== undefined) expect((await programs.get(path)).status, path).toBe(200);
      }
      // What was away is compared when it returns: nothing of it is lost, and nothing returns by it.
      const [, dataDir = ''] = cluster.nodeDirectories();
      await programs.startNode({ name: 'node-2', dataDir });
      programs.startReplicator();
      await programs.waitForAllCopies();
      expect(await treeOf(programs)).toEqual(before);
    } finally {
      await programs.dispose();
    }
  });

  it('has all files again from what their blobs say of themselves, when no node keeps a journal', async () => {
    const cluster = await startCluster({ nodes: 3, copies: 2, environment: settings });
    await work(cluster);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    const programs = await withoutDatabase(cluster, { forgetJournals: true });
    try {
      const refused = await programs.dfs(['restore']);
      expect(refused.code).not.toBe(0);
      expect(refused.stderr).toMatch(/keep no journal[\s\S]*--accept-loss/);
      const report = await restoreOf(programs, '--accept-loss');
      expect(report).toMatchObject({
        base: 'blobs',
        withoutCopy: { count: 0 },
        doubtful: { count: 0 },
        contested: { paths: ['/replaced.txt'] },
      });
      const after = await treeOf(programs);
      // Without a journal nobody knows that it was deleted.
      expect(Object.keys(after)).toContain('/gone.txt');
      expect(contentsOf(after)).toMatchObject(contentsOf(before));
      expect(Object.keys(after)).toHaveLength(Object.keys(before).length + 1);
      expect((await programs.get('/long.bin')).body.equals(contentOf('long', 5_000_000))).toBe(
        true,
      );
      expect((await programs.get('/replaced.txt')).text).toBe('second');
    } finally {
      await programs.dispose();
    }
  });

  it('goes on from an old copy of itself with what the nodes know of later', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    await cluster.store('/early.txt', 'early');
    await cluster.store('/both.txt', 'old');
    await cluster.waitForAllCopies();
    await cluster.stop();
    const older = join(temporaryDirectory('older'), 'master');
    cpSync(join(cluster.dataDir, 'master'), older, { recursive: true });
    const later = await startCluster({
      nodes: 2,
      copies: 2,
      environment: settings,
      dataDir: cluster.dataDir,
    });
    await later.store('/both.txt', 'new');
    await later.store('/late.txt', 'late');
    expect((await later.remove('/early.txt')).status).toBe(204);
    await later.waitForAllCopies();
    const before = await treeOf(later);
    await later.waitUntilShipped();
    const programs = await withoutDatabase(later, { masterDir: older });
    try {
      const report = await restoreOf(programs);
      expect(report).toMatchObject({
        base: 'database',
        epoch: 2,
        withoutCopy: { count: 0 },
        found: { count: 0 },
      });
      expect(await treeOf(programs)).toEqual(before);
      expect((await programs.get('/both.txt')).text).toBe('new');
      expect((await programs.get('/early.txt')).status).toBe(404);
    } finally {
      await programs.dispose();
    }
  });

  it('is begun again after the master died in the middle of it', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    await work(cluster);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    await cluster.waitUntilShipped();
    const first = await withoutDatabase(cluster, { proxied: true });
    let programs = first;
    try {
      first
        .node('node-1')
        .proxy?.break(({ path }) => (path.startsWith('/inventory') ? { kind: 'hang' } : undefined));
      const restoring = first.startDfs(['restore']);
      // All rows are loaded and half of the copies are counted.
      await restoring.printed(/Reading what the nodes hold/, 60_000);
      process.kill(first.pidOfMaster(), 'SIGKILL');
      expect((await restoring.finished).code).not.toBe(0);
      await first.dispose();
      programs = await startBeside(cluster, { masterDir: first.masterDir });
      const refused = await programs.get('/open.txt');
      expect(refused.status).toBe(503);
      expect(refused.text).toContain('dfs restore');
      await restoreOf(programs);
      expect(await treeOf(programs)).toEqual(before);
    } finally {
      await programs.dispose();
    }
  });

  it('is not written over: a database with files of its own is left alone, and compared with a new one beside it', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    try {
      await work(cluster);
      await cluster.waitForAllCopies();
      await cluster.waitUntilShipped();
      const refused = await cluster.dfs(['restore']);
      expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('not empty')]);
      const into = join(temporaryDirectory('aside'), 'aside.sqlite');
      const report = await restoreOf(cluster, '--into', into);
      expect(report.differences).toMatchObject({
        onlyInDatabase: { count: 0 },
        onlyOnNodes: { count: 0 },
        different: { count: 0 },
      });
      expect(statSync(into).size).toBeGreaterThan(0);
      const again = await cluster.dfs(['restore', '--into', into]);
      expect([again.code, again.stderr]).toEqual([5, expect.stringContaining('exists already')]);
      expect((await cluster.get('/replaced.txt')).text).toBe('second');
    } finally {
      await cluster.dispose();
    }
  });

  it('is not made of two clusters: they are listed, and one has to be chosen', async () => {
    const [one, two] = await Promise.all([
      startCluster({ nodes: 1, copies: 1, environment: settings }),
      startCluster({ nodes: 1, copies: 1, environment: settings }),
    ]);
    await one.store('/one.txt', 'one');
    await two.store('/two.txt', 'two');
    const wanted = (await one.status()).clusterId;
    await one.waitUntilShipped();
    await two.stop();
    const programs = await withoutDatabase(one);
    try {
      const [dataDir = ''] = two.nodeDirectories();
      const stranger = await programs.launchNode({ name: 'stranger', dataDir });
      await stranger.program.printed(/refuses this node/, 30_000);
      const refused = await programs.dfs(['restore']);
      expect([refused.code, refused.stderr]).toEqual([
        5,
        expect.stringMatching(new RegExp(`Several clusters.*${wanted} \\(node node-1\\)`)),
      ]);
      const report = await restoreOf(programs, '--cluster', wanted);
      expect(report.clusterId).toBe(wanted);
      expect(await programs.names()).toEqual(['one.txt']);
    } finally {
      await programs.dispose();
    }
  });
});

describe('a backup', () => {
  it('is taken while the store runs, and brings its database back together with what the nodes know of later', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    const file = join(temporaryDirectory('backups'), 'dfs.backup');
    await work(cluster);
    const taken = await cluster.dfsJson<{ rows: number }>(['backup', file]);
    expect(taken.rows).toBeGreaterThan(20);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const refused = await cluster.dfs(['backup', file]);
    expect([refused.code, refused.stderr]).toEqual([5, expect.stringContaining('--force')]);
    const piped = await cluster.dfs(['backup', '-']);
    expect(piped.code).toBe(0);
    expect(piped.stdout.length).toBeGreaterThan(100);
    await cluster.store('/later.txt', 'later');
    expect((await cluster.remove('/empty.txt')).status).toBe(204);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    await cluster.waitUntilShipped();

    const programs = await withoutDatabase(cluster);
    try {
      const half = join(temporaryDirectory('backups'), 'half.backup');
      cpSync(file, half);
      truncateSync(half, statSync(file).size - 30);
      const torn = await programs.dfs(['restore', '--from', half]);
      expect([torn.code, torn.stderr]).toEqual([2, expect.stringContaining('no whole backup')]);
      const report = await restoreOf(programs, '--from', file);
      expect(report.base).toBe('backup');
      expect(await treeOf(programs)).toEqual(before);
    } finally {
      await programs.dispose();
    }
  });

  it('brings its own state back where the nodes keep no journal, and what was written since under the names that it was written to', async () => {
    const cluster = await startCluster({ nodes: 2, copies: 2, environment: settings });
    const file = join(temporaryDirectory('backups'), 'dfs.backup');
    await work(cluster);
    await move(cluster, '/photos', '/pictures');
    await cluster.waitForAllCopies();
    await cluster.dfsJson(['backup', file]);
    // So much later that no clock is in doubt.
    await delay(6_000);
    await cluster.store('/later.txt', 'later');
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    const programs = await withoutDatabase(cluster, { forgetJournals: true });
    try {
      const report = await restoreOf(programs, '--from', file, '--accept-loss');
      expect(report).toMatchObject({ base: 'backup', found: { paths: ['/later.txt'] } });
      expect(contentsOf(await treeOf(programs))).toEqual(contentsOf(before));
    } finally {
      await programs.dispose();
    }
  });

  it('leaves nothing of a file that could not be written whole', async () => {
    const cluster = await startCluster({ nodes: 1, copies: 1, environment: settings });
    try {
      const folder = temporaryDirectory('backups');
      const file = join(folder, 'missing', 'dfs.backup');
      expect((await cluster.dfs(['backup', file])).code).not.toBe(0);
      expect(existsSync(file)).toBe(false);
      writeFileSync(join(folder, 'no.backup'), 'no backup');
      const refused = await cluster.dfs(['restore', '--from', join(folder, 'no.backup')]);
      expect([refused.code, refused.stderr]).toEqual([
        2,
        expect.stringContaining('no whole backup'),
      ]);
    } finally {
      await cluster.dispose();
    }
  });
});
