import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf } from './harness/content.ts';
import { sendHttp } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

interface NodeJournal {
  readonly epoch: number;
  readonly last: number;
  readonly runs: readonly { readonly first: number; readonly last: number }[];
}

interface JournalState {
  readonly number: number;
  readonly keepers: readonly { readonly name: string; readonly current: boolean }[];
}

describe('the journal', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2, restart: true });
  });
  afterAll(() => cluster?.dispose());

  const state = async () =>
    (await cluster.send({ path: '/api/v1/status' })).json<{ journal: JournalState }>().journal;

  const askNode = async (name: string, path: string) => {
    const { id, url } = cluster.node(name);
    const headers = { 'x-dfs-node': id, 'SHARD-KEY': cluster.key };
    return sendHttp(url, { path, headers });
  };

  const journalOf = async (name: string) => (await askNode(name, '/journal')).json<NodeJournal>();

  /** Its records as it sends them, a line each. */
  async function recordsOf(name: string): Promise<string[]> {
    const lines: string[] = [];
    for (;;) {
      const { status, text } = await askNode(name, `/journal/records?after=${lines.length}`);
      expect(status).toBe(200);
      if (text === '') return lines;
      lines.push(...text.trimEnd().split('\n'));
    }
  }

  const names = ['node-1', 'node-2', 'node-3'];

  const allShipped = (withinMs = 30_000) =>
    waitUntil(
      'all nodes to have the whole journal',
      async () => {
        const { number } = await state();
        const kept = await Promise.all(names.map(journalOf));
        return number > 0 && kept.every(({ last }) => last === number);
      },
      { withinMs },
    );

  async function expectSameEverywhere(): Promise<string[]> {
    const [first = [], ...others] = await Promise.all(names.map(recordsOf));
    for (const other of others) expect(other).toEqual(first);
    const numbers = first.map((line) => (JSON.parse(line) as { number: number }).number);
    expect(numbers).toEqual(numbers.map((_, at) => at + 1));
    return first;
  }

  const expectOk = (status: number) => expect([200, 201, 204]).toContain(status);

  async function work(folder: string): Promise<void> {
    for (let i = 0; i < 10; i += 1) await cluster.store(`/${folder}/${i}.txt`, `${folder} ${i}`);
    const headers = { Destination: `/fs/${folder}/moved.txt` };
    const move = { method: 'MOVE', path: `/fs/${folder}/0.txt`, headers };
    expectOk((await cluster.send(move)).status);
    expectOk((await cluster.remove(`/${folder}/1.txt`)).status);
    const renamed = { Destination: `/fs/${folder}-renamed/` };
    await cluster.send({ method: 'MOVE', path: `/fs/${folder}`, headers: renamed });
  }

  it('lies on every node of three, the same on each, within seconds', async () => {
    await work('files');
    await allShipped();
    const lines = await expectSameEverywhere();
    expect(lines.length).toBe((await state()).number);
    expect(lines.join('\n')).toContain('files-renamed');
    const { keepers } = await state();
    expect(keepers.map(({ name }) => name).sort()).toEqual(names);
    await waitUntil('all keepers to count as current', async () =>
      (await state()).keepers.every(({ current }) => current),
    );
    const metrics = (await cluster.send({ path: '/metrics' })).text;
    expect(metrics).toMatch(/dfs_journal_number \d+/);
    expect(metrics).toMatch(/dfs_journal_lag_records\{node="node-1"\} 0/);
    expect(metrics).toMatch(/dfs_journal_lag_seconds\{node="node-1"\} 0(\.\d+)?$/m);
  });

  it('is shown by nobody without the key', async () => {
    const { url, id } = cluster.node('node-1');
    for (const path of ['/journal', '/journal/records?after=0', '/journal/snapshots/1-1']) {
      const { status } = await sendHttp(url, { path, headers: { 'x-dfs-node': id } });
      expect([path, status]).toEqual([path, 401]);
    }
  });

  it('reaches a node that was killed while files came in', async () => {
    const pid = cluster.pidOf('node-2');
    const working = work('while-dying');
    await cluster.kill('node-2');
    await working;
    await cluster.waitForRestart('node-2', pid);
    await allShipped(60_000);
    await expectSameEverywhere();
  });

  it('goes on when the master was killed in the middle', async () => {
    for (let round = 0; round < 3; round += 1) {
      const pid = cluster.pidOf('master');
      const storing = Promise.allSettled(
        Array.from({ length: 20 }, (_, i) =>
          cluster.store(`/round-${round}/${i}.bin`, contentOf(`${round} ${i}`, 2_000)),
        ),
      );
      await cluster.kill('master');
      await storing;
      await cluster.waitForRestart('master', pid);
      await waitUntil('the master to serve', () => cluster.isReady().catch(() => false));
      await cluster.store(`/round-${round}/last.txt`, 'after the start');
    }
    await allShipped(60_000);
    const lines = await expectSameEverywhere();
    expect(lines.join('\n')).toContain('last.txt');
  });
});
