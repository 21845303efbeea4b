import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import type { Store } from './harness/store.ts';
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

/** Stops the master's process and loses its database; nodes go on. Gives a master with an empty one beside the same nodes. */
async function withoutDatabase(
  cluster: LocalCluster,
  { nodes, masterDir }: { nodes?: readonly string[]; masterDir?: string } = {},
): Promise<SeparatePrograms> {
  const dataDirs = cluster.nodeDirectories();
  await cluster.kill('master');
  await cluster.stop();
  const programs = await startSeparatePrograms({
    nodes: 0,
    copies: 2,
    key: cluster.key,
    environment: settings,
    ...(masterDir === undefined ? {} : { masterDir }),
  });
  for (const [index, dataDir] of dataDirs.entries()) {
    const name = `node-${index + 1}`;
    if (nodes && !nodes.includes(name)) continue;
    await programs.launchNode({ name, dataDir });
  }
  await waitUntil(
    'the master to notice',
    async () => (await programs.status()).health === 'recovery',
  );
  return programs;
}

/** Without times: those of a file are when it was written, those of a directory are lost. */
const contentsOf = (tree: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(tree).map(([path, entry]) => [path, { ...(entry as object), modified: 0 }]),
  );

const settings = { DFS_SEGMENT_BYTES: '1MiB', DFS_TRASH_TTL: '1h', DFS_GC_GRACE: '10m' };

const restoreOf = (store: Store, ...args: string[]) => store.dfsJson<Report>(['restore', ...args]);

describe('a database rebuilt from the nodes', () => {
  it('has all files again from what their blobs say of themselves, when no node keeps a journal', async () => {
    const cluster = await startCluster({ nodes: 3, copies: 2, environment: settings });
    await work(cluster);
    await cluster.waitForAllCopies();
    const before = await treeOf(cluster);
    for (const directory of cluster.nodeDirectories()) {
      rmSync(join(directory, 'journal'), { recursive: true, force: true });
    }
    const programs = await withoutDatabase(cluster);
    try {
      const refused = await programs.put('/new.txt', 'new');
      expect(refused.status).toBe(503);
      const report = await restoreOf(programs);
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
      await waitUntil('the nodes to be accepted', async () =>
        (await programs.nodes()).every((node) => node.state === 'up'),
      );
      await programs.store('/after.txt', 'after');
      expect((await programs.get('/after.txt')).text).toBe('after');
    } finally {
      await programs.dispose();
    }
  });
});
