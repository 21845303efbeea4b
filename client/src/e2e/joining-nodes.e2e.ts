import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeAnswer } from './harness/answers.ts';
import { contentOf, md5Of } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import { waitForEnd } from './harness/program.ts';
import {
  freePort,
  type SeparatePrograms,
  startSeparatePrograms,
} from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

describe('a node that joins while everything runs', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 1, copies: 2 });
  });
  afterAll(() => programs?.dispose());

  it('is known, gets what is missing and its share of what is new, and nothing fails meanwhile', async () => {
    const early = Array.from({ length: 8 }, (_, index) => `/early/${index}.bin`);
    for (const path of early) await programs.store(path, contentOf(path, 50_000));
    let isDone = false;
    const primaries: string[] = [];
    const writer = (async () => {
      for (let count = 0; !isDone; count += 1) {
        const path = `/meanwhile/${count}.bin`;
        const bytes = contentOf(path, 20_000);
        primaries.push((await programs.store(path, bytes)).primary.name);
        expect((await programs.get(path)).body.equals(bytes)).toBe(true);
      }
    })();
    try {
      await programs.startNode({ name: 'node-2' });
      await waitUntil('new files on the new node', () => primaries.includes('node-2'));
    } finally {
      isDone = true;
      await writer;
    }
    const known = await programs.dfsJson<NodeAnswer[]>(['nodes']);
    expect(known.map(({ name, state }) => [name, state]).sort()).toEqual([
      ['node-1', 'up'],
      ['node-2', 'up'],
    ]);
    expect((await programs.dfs(['nodes'])).stdout).toContain('node-2');
    const [heading, row] = (await programs.dfs(['nodes', '--verbose'])).stdout.split('\n');
    expect(heading).toMatch(/FREE +CACHED +SERVES AT +REDIRECTED TO +DATA +ID/);
    expect(row).toContain(known[0]?.dataDir);
    expect(known[0]).toMatchObject({ cached: 0, cachedBlobs: 0 });
    await programs.waitForCopies(early, 2);
    await programs.waitUntilTidy();
  });

  it('may come back on another address with the same id', async () => {
    const before = programs.node('node-2');
    const idBefore = (await programs.nodes()).find(({ name }) => name === 'node-2')?.id;
    const copies = (await copiesOnDisk(before.dataDir)).length;
    await before.program.stop();
    const port = await freePort();
    expect(port).not.toBe(before.port);
    await programs.startNode({ name: 'node-2', dataDir: before.dataDir, port });
    const known = await programs.nodes();
    expect(known).toHaveLength(2);
    const found = known.find(({ name }) => name === 'node-2');
    expect(found).toMatchObject({ id: idBefore, url: `http://127.0.0.1:${port}` });
    for (const index of [0, 1, 2, 3, 4, 5, 6, 7]) {
      const path = `/early/${index}.bin`;
      const other = (await programs.replicas(path)).find(({ node }) => node.name === 'node-1');
      const got = await programs.get(path, {}, `?avoid=${other?.node.id}`);
      expect(got.headers['x-dfs-node']).toBe(idBefore);
      expect(got.body.equals(contentOf(path, 50_000))).toBe(true);
    }
    expect((await copiesOnDisk(before.dataDir)).length).toBeGreaterThanOrEqual(copies);
    await programs.waitUntilTidy();
  });

  it('keeps its id also when it is given another name', async () => {
    const before = programs.node('node-2');
    const idBefore = (await programs.nodes()).find(({ name }) => name === 'node-2')?.id;
    await before.program.stop();
    programs.nodeList.splice(programs.nodeList.indexOf(before), 1);
    await programs.startNode({ name: 'renamed', dataDir: before.dataDir, port: before.port });
    const known = await programs.nodes();
    expect(known.map(({ id }) => id)).toContain(idBefore);
    expect(known).toHaveLength(2);
  });
});

describe('two nodes that swap their addresses', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    // One copy each: whatever touches the wrong node is seen at once.
    programs = await startSeparatePrograms({ nodes: 2, copies: 1 });
  });
  afterAll(() => programs?.dispose());

  it('never touch each other’s blobs, whatever is asked of them meanwhile', async () => {
    const contents = new Map<string, string>();
    const put = async (path: string) => {
      const bytes = contentOf(path, 30_000);
      const answer = await programs.put(path, bytes);
      if (answer.status === 201) contents.set(path, md5Of(bytes));
      return answer.status;
    };
    for (let index = 0; index < 30; index += 1) expect(await put(`/kept/${index}.bin`)).toBe(201);
    const doomed = Array.from({ length: 20 }, (_, index) => `/doomed/${index}.bin`);
    for (const path of doomed) expect(await put(path)).toBe(201);

    const [one, two] = [programs.node('node-1'), programs.node('node-2')];
    one.program.kill('SIGKILL');
    two.program.kill('SIGKILL');
    await waitForEnd([one.program.pid, two.program.pid]);
    await portsFree([one.port, two.port]);
    // Their copies become due to be dropped while the master still has the old addresses.
    for (const path of doomed) {
      expect((await programs.remove(path)).status).toBe(204);
      contents.delete(path);
    }
    let isDone = false;
    const statuses = new Set<number>();
    const asking = (async () => {
      for (let count = 0; !isDone; count += 1) {
        statuses.add(await put(`/during/${count}.bin`));
        const path = `/kept/${count % 30}.bin`;
        const got = await programs.get(path);
        statuses.add(got.status);
        if (got.status === 200) expect(md5Of(got.body)).toBe(contents.get(path));
      }
    })();
    try {
      await Promise.all([
        programs.startNode({ name: 'node-1', dataDir: one.dataDir, port: two.port }),
        programs.startNode({ name: 'node-2', dataDir: two.dataDir, port: one.port }),
      ]);
    } finally {
      isDone = true;
      await asking;
    }
    // An outage is allowed while both are away, a wrong answer is not.
    expect([...statuses].filter((status) => ![200, 201, 503].includes(status))).toEqual([]);
    for (const [path, md5] of contents) {
      const got = await programs.get(path);
      expect([path, got.status, md5Of(got.body)]).toEqual([path, 200, md5]);
    }
    const status = await programs.waitUntilTidy();
    expect(status.replicas.stored).toBe(contents.size);
    expect(status.blobsWithoutCopy).toBe(0);
  });

  /** The programs behind the killed commands take a moment to notice. */
  const portsFree = (ports: number[]) =>
    waitUntil('the end of both nodes', async () => {
      const answers = await Promise.allSettled(
        ports.map((port) => fetch(`http://127.0.0.1:${port}/healthz`)),
      );
      return answers.every(({ status }) => status === 'rejected');
    });
});
