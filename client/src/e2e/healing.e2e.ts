import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusAnswer } from './harness/answers.ts';
import { contentOf } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import { isAlive, waitForEnd } from './harness/program.ts';
import {
  type SeparateNode,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('one of four nodes that dies under load', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({
      nodes: 4,
      copies: 2,
      environment: { DFS_REPLACE_AFTER: '1s', DFS_TRASH_TTL: '0' },
    });
  });
  afterAll(() => programs?.dispose());

  const paths = Array.from({ length: 80 }, (_, index) => `/kept/${index}.bin`);
  let dead: SeparateNode;

  const kill = async (node: SeparateNode) => {
    const pid = programs.pidOfNode(node.name);
    process.kill(pid, 'SIGKILL');
    await waitForEnd([pid]);
  };
  const until = (what: string, holds: (status: StatusAnswer) => boolean) =>
    waitUntil(
      what,
      async () => {
        const status = await programs.status();
        if (holds(status)) return status;
        throw new Error(JSON.stringify(status));
      },
      { withinMs: 90_000 },
    );

  it('fails no read and no write, is told of, and is made up for', async () => {
    for (const path of paths) await programs.store(path, contentOf(path, 20_000));
    await programs.waitForAllCopies();
    dead = programs.node('node-4');
    let isDone = false;
    const failures: string[] = [];
    const load = [1, 2].map(async (lane) => {
      for (let count = 0; !isDone; count += 1) {
        const path = `/meanwhile/${lane}-${count}.bin`;
        const put = await programs.put(path, contentOf(path, 20_000), { query: '?minCopies=2' });
        if (put.status !== 201) failures.push(`PUT ${put.status} ${put.text}`);
        const kept = paths[(count * 7 + lane) % paths.length] as string;
        const got = await programs.get(kept);
        if (got.status !== 200 || !got.body.equals(contentOf(kept, 20_000))) {
          failures.push(`GET ${got.status} ${got.text.slice(0, 200)}`);
        }
      }
    });
    try {
      await kill(dead);
      const down = await until('the node to be down', ({ away }) => away.length === 1);
      expect(down.away[0]?.node.name).toBe('node-4');
      const status = await until(
        'its copies to be made up for',
        ({ away, health }) => away[0]?.isReplaced === true && health === 'whole',
      );
      expect(status.healing.copies).toBe(0);
    } finally {
      isDone = true;
      await Promise.all(load);
    }
    expect(failures).toEqual([]);
    const shown = await programs.dfs(['status']);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toMatch(/node-4 is down, silent for .*: its copies are made up for/);
    for (const path of paths) {
      const living = (await programs.replicas(path)).filter(
        ({ node, state }) => state === 'stored' && node.name !== 'node-4',
      );
      expect(living).toHaveLength(2);
    }
  });

  it('comes back: what was deleted meanwhile leaves it, and copies too many are trimmed, with every file readable all the time', async () => {
    for (const path of paths.slice(0, 20)) expect((await programs.remove(path)).status).toBe(204);
    const kept = paths.slice(20);
    expect((await copiesOnDisk(dead.dataDir)).length).toBeGreaterThan(0);
    let isDone = false;
    const failures: string[] = [];
    const reads = (async () => {
      for (let count = 0; !isDone; count += 1) {
        const path = kept[count % kept.length] as string;
        const got = await programs.get(path);
        if (got.status !== 200 || !got.body.equals(contentOf(path, 20_000))) failures.push(path);
      }
    })();
    try {
      await programs.startNode({ name: 'node-4', dataDir: dead.dataDir, port: dead.port });
      await programs.waitForAllCopies({ withinMs: 90_000 });
      await waitUntil(
        'two copies of everything and no more',
        async () => {
          const { replicas } = await programs.status();
          const { copies } = await programs.onDisk();
          const files = (await programs.status()).files;
          if (copies === 2 * files && replicas.stored === copies) return true;
          throw new Error(`${copies} on disks, ${replicas.stored} counted, ${files} files`);
        },
        { withinMs: 90_000 },
      );
    } finally {
      isDone = true;
      await reads;
    }
    expect(failures).toEqual([]);
    for (const path of paths.slice(0, 20)) expect((await programs.get(path)).status).toBe(404);
  });

  it('waits for a node that is suspended no longer than its first silence', async () => {
    const pid = programs.pidOfNode('node-1');
    process.kill(pid, 'SIGSTOP');
    try {
      // One request meets the silence; those after it go to other nodes at once.
      const slow: number[] = [];
      for (let count = 0; count < 40; count += 1) {
        const path = paths[20 + count] as string;
        const startedAtMs = performance.now();
        const got = await programs.get(path);
        expect(got.body.equals(contentOf(path, 20_000))).toBe(true);
        const tookMs = performance.now() - startedAtMs;
        if (tookMs > 1_000) slow.push(tookMs);
      }
      expect(slow.length).toBeLessThanOrEqual(1);
    } finally {
      process.kill(pid, 'SIGCONT');
      expect(isAlive(pid)).toBe(true);
    }
    await programs.waitForAllCopies({ withinMs: 90_000 });
  });

  describe('whose nodes are put into two zones', () => {
    const zones: Readonly<Record<string, string>> = {
      'node-1': 'house',
      'node-2': 'house',
      'node-3': 'garage',
      'node-4': 'garage',
    };
    /** The zones that hold a copy, one for each copy. */
    const zonesOf = async (path: string) =>
      (await programs.replicas(path)).map(({ node }) => zones[node.name]).sort();
    const both = ['garage', 'house'];

    it('shows them, and gives a new file a copy in each', async () => {
      expect((await programs.dfs(['nodes'])).stdout).not.toMatch(/ZONE|house|garage/);
      await Promise.all(
        Object.entries(zones).map(async ([name, zone]) => {
          const { program, dataDir, port } = programs.node(name);
          await program.stop();
          await programs.startNode({ name, dataDir, port, zone });
        }),
      );
      await waitUntil('all zones to be known', async () =>
        (await programs.nodes()).every(({ name, zone }) => zone === zones[name]),
      );
      const [heading, ...rows] = (await programs.dfs(['nodes'])).stdout.trimEnd().split('\n');
      expect(heading).toMatch(/^NODE +STATE +ZONE +ADDRESS /);
      const shown = rows.map((row) => row.split(/ {2,}/));
      expect(Object.fromEntries(shown.map(([name, , zone]) => [name, zone]))).toEqual(zones);
      const added = Array.from({ length: 12 }, (_, index) => `/added/${index}.bin`);
      for (const path of added) await programs.store(path, contentOf(path, 5_000));
      await programs.waitForCopies(added, 2);
      for (const path of added) expect(await zonesOf(path), path).toEqual(both);
    });

    it('spreads what was stored before when it is told to rebalance, and loses nothing', async () => {
      await programs.waitForAllCopies({ withinMs: 90_000 });
      const kept = paths.slice(20);
      const before = await Promise.all(kept.map(zonesOf));
      expect(before.filter((held) => new Set(held).size === 1).length).toBeGreaterThan(0);
      expect((await programs.dfs(['rebalance'])).code).toBe(0);
      await until('rebalancing to end', ({ rebalance }) => !rebalance.running);
      await programs.waitForAllCopies({ withinMs: 90_000 });
      for (const path of kept) {
        await waitUntil(`${path} to be in both zones alone`, async () => {
          const held = await zonesOf(path);
          if (held.join() === both.join()) return true;
          throw new Error(held.join());
        });
        expect((await programs.get(path)).body.equals(contentOf(path, 20_000))).toBe(true);
      }
      expect((await programs.status()).rebalance.movedCopies).toBeGreaterThan(0);
    });
  });
});
