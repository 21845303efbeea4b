import type { EntryId, NodeId } from '@dfs/shared';
import { recordingLogger } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { pathOf, TestCluster } from '../files/test-cluster.ts';
import { GracePeriod } from '../replication/grace-period.ts';
import { TreeUpkeep } from './tree-upkeep.ts';

const gcGraceMs = 15 * 60_000;
const dayMs = 86_400_000;

let cluster: TestCluster;
let upkeep: TreeUpkeep;
/** What the repair loop was asked for. */
let repairs: string[];
/** How often the database was asked for work. */
let asked: Record<string, number>;

beforeEach(async () => {
  cluster = await TestCluster.open({ capacityBytes: 10_000 });
  repairs = [];
  upkeep = makeUpkeep();
  asked = {};
  const { metadata } = cluster;
  for (const name of ['foldSizes', 'sweepCopies'] as const) {
    const original = metadata[name].bind(metadata) as (limit: number) => Promise<never>;
    metadata[name] = (limit: number) => {
      asked[name] = (asked[name] ?? 0) + 1;
      return original(limit);
    };
  }
});
afterEach(() => cluster.close());

const makeUpkeep = () =>
  new TreeUpkeep({
    grace: new GracePeriod(cluster.clock, gcGraceMs),
    metadata: cluster.metadata,
    nodes: cluster.nodes,
    clock: cluster.clock,
    logger: recordingLogger().logger,
    repair: { lookForShort: () => repairs.push('short'), scan: (id) => repairs.push(`scan ${id}`) },
    config: { copies: 3, gcGraceMs },
  });
const put = (path: string, sizeBytes = 10) => cluster.put(path, Buffer.alloc(sizeBytes, path));
const trashed = async () => (await cluster.files.listTrash({ limit: 100 })).items;
const namesInTrash = async () => (await cluster.metadata.counts()).trash.files;

describe('sizes', () => {
  it('reach the root however deep a file lies', async () => {
    await put('/a/b/c/d/e', 100);
    await put('/a/b/f', 20);
    await upkeep.step();
    expect(await cluster.files.usage(pathOf('/'))).toMatchObject({
      files: 2,
      directories: 4,
      bytes: 120,
    });
    await cluster.files.remove(pathOf('/a/b/c'));
    await upkeep.step();
    expect(await cluster.files.usage(pathOf('/a'))).toMatchObject({ files: 1, bytes: 20 });
  });

  it('cost nothing while nothing happens, and are behind only until they are folded', async () => {
    await put('/a/b');
    await upkeep.step();
    const before = { ...asked };
    for (let i = 0; i < 10; i += 1) await upkeep.step();
    expect(asked).toEqual(before);
    expect(upkeep.sizes.lagMs()).toBe(0);
    await put('/a/c');
    await upkeep.step();
    expect(asked['foldSizes']).toBeGreaterThan(before['foldSizes'] as number);
  });

  it('do not keep the database busy while people write without a pause', async () => {
    await put('/a/b');
    const { foldSizes } = cluster.metadata;
    cluster.metadata.foldSizes = async (limit) => {
      await put(`/a/${asked['foldSizes']}`);
      return foldSizes.call(cluster.metadata, limit);
    };
    await upkeep.sizes.step();
    expect(asked['foldSizes']).toBeLessThan(20);
    cluster.clock.advance(1_000);
    expect(upkeep.sizes.lagMs()).toBe(1_000);
    cluster.metadata.foldSizes = foldSizes;
    await upkeep.sizes.step();
    expect(upkeep.sizes.lagMs()).toBe(0);
  });

  it('that an earlier process left to be folded are found', async () => {
    await put('/a/b', 30);
    await makeUpkeep().step();
    expect(await cluster.files.usage(pathOf('/'))).toMatchObject({ bytes: 30 });
  });

  it('are behind for as long as folding fails', async () => {
    await put('/a/b');
    const { foldSizes } = cluster.metadata;
    cluster.metadata.foldSizes = () => Promise.reject(new Error('The database is away.'));
    await expect(upkeep.sizes.step()).rejects.toThrow('away');
    cluster.clock.advance(5_000);
    expect(upkeep.sizes.lagMs()).toBe(5_000);
    cluster.metadata.foldSizes = foldSizes;
    await upkeep.sizes.step();
    expect(upkeep.sizes.lagMs()).toBe(0);
  });
});

describe('copies', () => {
  it('that are missing or too many since a number was changed are told to the repair', async () => {
    const { info } = await put('/a/b/c');
    await upkeep.step();
    repairs.length = 0;
    await cluster.files.setCopies(pathOf('/a'), 1);
    await upkeep.step();
    expect(repairs).toEqual(cluster.nodes.all.map(({ id }) => `scan ${id}`));
    const primary = info.primary?.id as NodeId;
    const { blobs } = await cluster.metadata.blobsOnNode(primary, { limit: 10 });
    expect(blobs.map(({ copiesWanted }) => copiesWanted)).toEqual([1]);
    repairs.length = 0;
    await cluster.files.setCopies(pathOf('/a'), null);
    await upkeep.step();
    expect(repairs).toContain('short');
  });
});

describe('the trash', () => {
  it('keeps what it holds to the end of its time, then lets it go', async () => {
    await put('/d/a');
    await put('/d/b/c');
    await cluster.files.remove(pathOf('/d'));
    cluster.clock.advance(dayMs - 1_000);
    await upkeep.step();
    expect(await trashed()).toMatchObject([{ path: '/d', files: 2 }]);
    cluster.clock.advance(2_000);
    expect(await trashed()).toEqual([]);
    await upkeep.step();
    expect(await namesInTrash()).toBe(0);
    expect(cluster.nodes.all.flatMap(({ store }) => store.ids)).toHaveLength(2);
    expect(
      await cluster.metadata.releaseUnreferenced({
        beforeMs: cluster.clock.now() + 1,
        nowMs: cluster.clock.now(),
        held: new Set(),
        limit: 100,
      }),
    ).toBe(2);
  });

  it('that was switched off by a restart takes no more, and what it holds goes at the end of its time', async () => {
    await put('/d/a');
    await put('/f', 20);
    await cluster.files.remove(pathOf('/d'));
    cluster.clock.advance(1_000);
    await put('/f', 30);
    const files = cluster.restarted({ trashTtlMs: 0 });
    upkeep = makeUpkeep();
    await put('/from', 40);
    const { signal } = new AbortController();
    await files.copy({
      ...{ from: pathOf('/from'), to: pathOf('/f'), overwrite: true, depth: 'infinity', signal },
    });
    await files.remove(pathOf('/from'));
    await upkeep.step();
    // What was promised to be kept for a day is, and nothing else.
    expect((await trashed()).map(({ path, reason }) => [path, reason])).toEqual([
      ['/f', 'replaced'],
      ['/d', 'deleted'],
    ]);
    expect(await namesInTrash()).toBe(2);
    cluster.clock.advance(dayMs - 1_000);
    await upkeep.step();
    expect((await trashed()).map(({ path }) => path)).toEqual(['/f']);
    const [item] = await trashed();
    await files.restoreFromTrash(item?.id as EntryId, { onConflict: 'rename' });
    await files.remove(pathOf('/f (1)'));
    await upkeep.step();
    expect(await namesInTrash()).toBe(0);
    expect(await cluster.metadata.counts()).toMatchObject({ files: 1, logicalBytes: 40 });
  });

  it('takes a large directory apart in bounded transactions', async () => {
    await put('/d/first');
    for (let i = 0; i < 12; i += 1) {
      await cluster.files.copy({
        from: pathOf(i === 0 ? '/d/first' : '/d'),
        to: pathOf(i === 0 ? '/d/second' : `/e${i}`),
        overwrite: false,
        depth: 'infinity',
        signal: new AbortController().signal,
      });
      if (i > 0) {
        await cluster.files.move({
          from: pathOf(`/e${i}`),
          to: pathOf(`/d/more-${i}`),
          overwrite: false,
        });
      }
    }
    await cluster.files.remove(pathOf('/d'), { skipTrash: true });
    const { collectTrash } = cluster.metadata;
    const sizes: number[] = [];
    cluster.metadata.collectTrash = async (query) => {
      const collected = await collectTrash.call(cluster.metadata, query);
      sizes.push(collected.files + collected.directories);
      return collected;
    };
    await upkeep.trash.step();
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(4_096);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1_000);
    expect(await namesInTrash()).toBe(0);
    expect(await cluster.metadata.counts()).toMatchObject({ files: 0, directories: 0 });
  });

  it('is left alone in recovery and until a node has confirmed the database', async () => {
    await put('/a');
    await cluster.files.remove(pathOf('/a'));
    cluster.clock.advance(dayMs + 1_000);
    cluster.nodes.recoveryReason = 'The database is older than its nodes.';
    await upkeep.trash.step();
    expect(await namesInTrash()).toBe(1);
    cluster.nodes.recoveryReason = undefined;
    await upkeep.trash.step();
    expect(await namesInTrash()).toBe(0);
  });

  it('is not lost to a clock that is set ahead while much of it is taken apart', async () => {
    await put('/old');
    await cluster.files.remove(pathOf('/old'));
    cluster.clock.advance(dayMs + 1_000);
    await put('/new');
    await cluster.files.remove(pathOf('/new'));
    const { collectTrash } = cluster.metadata;
    let calls = 0;
    cluster.metadata.collectTrash = async (query) => {
      calls += 1;
      const collected = await collectTrash.call(cluster.metadata, query);
      cluster.clock.set(cluster.clock.now() + 2 * dayMs);
      return { ...collected, isDone: false };
    };
    await upkeep.trash.step();
    expect(calls).toBe(1);
    expect(await namesInTrash()).toBe(1);
  });

  it('is not lost to a wall clock that jumps ahead and is set right again', async () => {
    await put('/a');
    await cluster.files.remove(pathOf('/a'));
    await upkeep.trash.step();
    cluster.clock.set(cluster.clock.now() + 2 * dayMs);
    await upkeep.trash.step();
    expect(await trashed()).toEqual([]);
    cluster.clock.set(cluster.clock.now() - 2 * dayMs);
    await upkeep.trash.step();
    expect(await trashed()).toMatchObject([{ path: '/a' }]);
    cluster.clock.advance(dayMs + 1_000);
    await upkeep.trash.step();
    expect(await namesInTrash()).toBe(0);
  });

  it('goes first when room runs short: the oldest, as much as is missing, once', async () => {
    for (const [path, age] of [
      ['/old', 3_000],
      ['/middle', 2_000],
      ['/new', 1_000],
    ] as const) {
      await put(path, 200);
      await cluster.files.remove(pathOf(path));
      cluster.clock.advance(age);
    }
    const expired: number[] = [];
    const { metadata } = cluster;
    const original = metadata.expireOldestTrash.bind(metadata);
    metadata.expireOldestTrash = (bytes) => {
      expired.push(bytes);
      // The least that goes is more than all of this.
      return original(300);
    };
    await upkeep.trash.step();
    expect(expired).toEqual([]);
    for (const node of cluster.nodes.all) node.reservedBytes = 9_200;
    await upkeep.trash.step();
    expect(expired).toHaveLength(1);
    expect((await trashed()).map(({ path }) => path)).toEqual(['/new']);
    // What went is on its way off the disks: no more goes meanwhile.
    await upkeep.trash.step();
    expect((await trashed()).map(({ path }) => path)).toEqual(['/new']);
    cluster.clock.advance(30_000);
    await upkeep.trash.step();
    expect((await trashed()).map(({ path }) => path)).toEqual(['/new']);
    // The room that it made is full again: the collector frees after seconds, so about a minute is enough to wait, not the grace time.
    cluster.clock.advance(40_000);
    await upkeep.trash.step();
    expect(expired).toHaveLength(2);
    expect(await trashed()).toEqual([]);
  });
});
