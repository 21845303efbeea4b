import { copyFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FsckLine, ScrubAnswer } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { flipByte } from './harness/disk.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

const sizeBytes = 1_500_000;

let cluster: LocalCluster;
beforeAll(async () => {
  // The collector compares inventories once in a grace time: here only fsck is to do so.
  cluster = await startCluster({ nodes: 4, copies: 2, environment: { DFS_GC_GRACE: '1h' } });
});
afterAll(() => cluster?.dispose());

async function storeFile(path: string) {
  const bytes = contentOf(path, sizeBytes);
  await cluster.store(path, bytes);
  await cluster.waitForCopies([path], 2);
  const copies = await cluster.replicas(path);
  return { bytes, copies, first: copies[0] as (typeof copies)[number] };
}

async function findings(...args: string[]) {
  const { code, stdout } = await cluster.dfs(['fsck', '--json', ...args]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as FsckLine);
  const found = lines.flatMap((line) => ('problem' in line ? [line] : []));
  const [last] = lines.flatMap((line) => ('summary' in line ? [line.summary] : []));
  return { code, found, last };
}

describe('a scrub', () => {
  it('finds what rotted unread, has it replaced, and proves that by reading it again', async () => {
    const rotten = await storeFile('/scrub/rotten.bin');
    const whole = await storeFile('/scrub/whole.bin');
    await flipByte(rotten.first.path, 1_200_000);
    const finished = await cluster.dfs(['scrub', '--json']);
    expect(finished.code, finished.stderr).toBe(0);
    const answers = finished.json<ScrubAnswer[]>();
    expect(answers).toHaveLength(4);
    const last = answers.map(({ status }) => status?.last);
    expect(last.every((pass) => pass?.isAsked)).toBe(true);
    expect(last.reduce((sum, pass) => sum + (pass?.damagedBlobs ?? 0), 0)).toBe(1);
    const repaired = answers.find(({ status }) => status?.repairedBlobs === 1);
    expect(repaired?.node.id).toBe(rotten.first.node.id);
    for (const { copies, bytes } of [rotten, whole]) {
      for (const { path } of copies) {
        const file = await readFile(path);
        expect(file.subarray(0, sizeBytes).equals(bytes)).toBe(true);
      }
    }
    const rows = await cluster.log({ path: '/scrub/rotten.bin' });
    expect(rows.map(({ outcome }) => outcome)).toContain('corrupt');
  });

  it('of one node leaves the others alone, and names a node that is none', async () => {
    const name = cluster.file().nodes[0]?.name ?? '';
    const one = await cluster.dfs(['scrub', name, '--json']);
    expect(one.json<ScrubAnswer[]>().map(({ node }) => node.name)).toEqual([name]);
    const none = await cluster.dfs(['scrub', 'nobody']);
    expect(none.code).toBe(3);
    expect(none.stderr).toContain('nobody');
  });

  it('shows people how each node stands', async () => {
    const { code, stdout } = await cluster.dfs(['scrub', '--status']);
    expect(code).toBe(0);
    for (const { name } of cluster.file().nodes) expect(stdout).toContain(name);
  });
});

describe('fsck', () => {
  it('tells what differs without changing it, and mends it when told', async () => {
    const lacking = await storeFile('/fsck/lacking.bin');
    const holding = await storeFile('/fsck/holding.bin');
    expect((await findings()).found).toEqual([]);

    rmSync(lacking.first.path);
    // A whole copy of a blob on a node that nobody counts on.
    const holders = new Set(holding.copies.map(({ node }) => node.id));
    const other = cluster.file().nodes.find(({ id }) => !holders.has(id));
    const { path } = holding.first;
    const extra = join(other?.dataDir ?? '', 'blobs', basename(dirname(path)), basename(path));
    copyFileSync(path, extra);

    const dry = await findings();
    expect(dry.code).toBe(7);
    expect(dry.found.map(({ problem, path: of, node }) => [problem, of, node?.id]).sort()).toEqual(
      [
        ['missing', '/fsck/lacking.bin', lacking.first.node.id],
        ['uncounted', '/fsck/holding.bin', other?.id],
      ].sort(),
    );
    // A node that was asked for a file which is gone tells so by itself; what only fsck knows of is as it was.
    const again = (await findings()).found.map(({ problem, path: of }) => [problem, of]);
    expect(again).toContainEqual(['uncounted', '/fsck/holding.bin']);

    const repair = await cluster.dfs(['fsck', '--repair']);
    expect(repair.code, repair.stderr).toBe(0);
    expect(repair.stdout).toContain('1 uncounted');
    await cluster.waitForCopies(['/fsck/lacking.bin', '/fsck/holding.bin'], 2);
    await waitUntil('database and nodes to agree', async () => {
      const { code, last } = await findings();
      return code === 0 && last?.notAsked.length === 0;
    });
    const got = await cluster.get('/fsck/lacking.bin');
    expect(got.body.equals(lacking.bytes)).toBe(true);
  });

  it('does not pass over a node that it could not ask', async () => {
    const node = cluster.file().nodes[3];
    await cluster.kill(node?.id ?? '');
    await waitUntil('the node to be down', async () => {
      const { last, code } = await findings();
      return code === 7 && last?.notAsked.some(({ id }) => id === node?.id);
    });
    const { stdout } = await cluster.dfs(['fsck']);
    expect(stdout).toContain(`Not asked, since they do not answer: ${node?.name}`);
  });
});
