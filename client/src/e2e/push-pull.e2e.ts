import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { contentsOf, fillFolder, readFolder } from './harness/folder.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { TcpProxy } from './harness/tcp-proxy.ts';
import { waitUntil } from './harness/wait-until.ts';

interface Report {
  readonly new: string[];
  readonly updated: string[];
  readonly deleted: string[];
  readonly unchanged: number;
  readonly kept: number;
  readonly conflicts: { path: string; reason: string }[];
  readonly failed: { path: string; code: string; message: string }[];
}

describe('push and pull', () => {
  let cluster: LocalCluster;
  /** The folders of one test, here and in the store. */
  let local: string;
  let remote: string;
  let folders = 0;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2, restart: true });
  });
  afterAll(() => cluster?.dispose());
  beforeEach(() => {
    folders += 1;
    remote = `/folder-${folders}`;
    local = temporaryDirectory('local');
  });

  const run = (command: 'push' | 'pull', ...more: string[]) =>
    cluster.dfs([command, '--json', '--remote', remote, ...more], { cwd: local });
  async function synchronise(command: 'push' | 'pull', ...more: string[]): Promise<Report> {
    const finished = await run(command, ...more);
    expect(finished.code, finished.stdout + finished.stderr).toBe(0);
    return finished.json<Report>();
  }
  const store = (path: string, text: string) => cluster.store(`${remote}/${path}`, text);
  const textOf = async (path: string) => (await cluster.get(`${remote}/${path}`)).text;
  /** What the store holds, in the form of `contentsOf`. */
  async function stored(): Promise<Record<string, string>> {
    const { text } = await cluster.send({ path: `/find${remote}/?format=json` });
    const lines = text.split('\n').filter((line) => line !== '');
    const entries = lines.map((line) => JSON.parse(line) as { path: string; md5?: string });
    return Object.fromEntries(
      entries.map(({ path, md5 }) => [path.slice(remote.length + 1), md5 ?? 'directory']),
    );
  }

  it('make one folder equal to the other, in groups, and then find nothing to do', async () => {
    fillFolder(local, { a: 'a', 'd/b': 'b', 'd/日本': 'c', empty: null });
    const first = await synchronise('push');
    expect(first.new).toEqual(expect.arrayContaining(['a', 'd/', 'd/b', 'd/日本', 'empty/']));
    expect(await stored()).toEqual(contentsOf(local));
    fillFolder(local, { 'd/b': 'B', e: 'e' });
    rmSync(join(local, 'a'));
    const second = await synchronise('push');
    expect([second.new, second.updated, second.deleted]).toEqual([['e'], ['d/b'], []]);
    expect([second.unchanged, second.kept]).toEqual([1, 1]);
    const other = temporaryDirectory('other');
    const pulled = await cluster.dfs(['pull', '--remote', remote], { cwd: other });
    expect([pulled.code, pulled.stderr]).toEqual([0, '']);
    expect(pulled.stdout).toMatch(/^new:\n {2}a\n {2}d\/\n/);
    expect(pulled.stdout).not.toContain('\u001b');
    expect(contentsOf(other)).toEqual(await stored());
    const nothing = await synchronise('push');
    expect([nothing.new, nothing.updated, nothing.deleted, nothing.unchanged]).toEqual([
      [],
      [],
      [],
      3,
    ]);
  });

  it('keep the times of files', async () => {
    fillFolder(local, { a: 'a' });
    const { modifiedMs } = readFolder(local).get('a') ?? {};
    await synchronise('push');
    const other = temporaryDirectory('times');
    await cluster.dfs(['pull', '--remote', remote], { cwd: other });
    expect(readFolder(other).get('a')?.modifiedMs).toBe(modifiedMs);
  });

  it('touch the named folder alone, never what is only named alike', async () => {
    for (const path of ['ab/x', 'a.txt', 'ab.txt', 'a/old']) await store(path, 'theirs');
    fillFolder(local, { 'a/x': 'mine', 'ab/y': 'not pushed' });
    const finished = await cluster.dfs(
      ['push', 'a', '--delete', '--remote', `${remote}/a`, '--json'],
      { cwd: local },
    );
    expect(finished.code, finished.stderr).toBe(0);
    expect(finished.json<Report>()).toMatchObject({ new: ['x'], deleted: ['old'] });
    expect(Object.keys(await stored()).sort()).toEqual(
      ['a', 'a/x', 'a.txt', 'ab', 'ab.txt', 'ab/x'].sort(),
    );
  });

  it('go from the folder that "dfs cd" led to, and . is that one', async () => {
    fillFolder(local, { 'photos/a': 'a', b: 'b' });
    for (const args of [
      ['mkdir', '-p', `${remote}/here`],
      ['cd', `${remote}/here`],
    ])
      expect((await cluster.dfs(args)).code).toBe(0);
    try {
      const named = await cluster.dfs(['push', 'photos'], { cwd: local });
      expect([named.code, named.stderr]).toEqual([0, '']);
      expect(named.stdout).toContain(`${remote}/here/photos: 1 new`);
      const current = await cluster.dfs(['push'], { cwd: join(local, 'photos') });
      expect(current.stdout).toContain(`${remote}/here: 1 new`);
      const above = await cluster.dfs(['push', '..'], { cwd: join(local, 'photos') });
      expect(above.stdout).toContain(`${remote}: 2 new`);
      expect(Object.keys(await stored()).sort()).toEqual(
        ['b', 'here', 'here/a', 'here/photos', 'here/photos/a', 'photos', 'photos/a'].sort(),
      );
    } finally {
      await cluster.dfs(['cd', '/']);
    }
  });

  it('delete with --delete alone, and --dry-run shows what that would be', async () => {
    fillFolder(local, { a: 'a', 'gone/b': 'b', 'gone/deep/c': 'c', 'stays/d': 'd' });
    await synchronise('push');
    rmSync(join(local, 'gone'), { recursive: true });
    await store('only there', 'x');
    const before = await stored();
    expect((await synchronise('push')).kept).toBe(3);
    const shown = await cluster.dfs(['push', '--remote', remote, '--delete', '-n'], { cwd: local });
    expect(shown.stdout).toContain(
      'would be deleted:\n  gone/\n  gone/b\n  gone/deep/\n  gone/deep/c\n  only there\n',
    );
    expect(shown.stdout).toContain('Dry run: ');
    expect(await stored()).toEqual(before);
    const report = await synchronise('push', '--delete');
    expect(report.deleted.toSorted()).toEqual(
      ['gone/', 'gone/b', 'gone/deep/', 'gone/deep/c', 'only there'].sort(),
    );
    expect(await stored()).toEqual(contentsOf(local));

    await cluster.send({ method: 'DELETE', path: `/fs${remote}/stays` });
    fillFolder(local, { 'only here': 'x' });
    expect((await synchronise('pull')).kept).toBe(2);
    await synchronise('pull', '--delete');
    expect(contentsOf(local)).toEqual(await stored());
    expect(Object.keys(contentsOf(local))).toEqual(['a']);
  });

  it('leave alone what changed on both sides, and take a side with --force', async () => {
    fillFolder(local, { both: 'old', gone: 'old', here: 'old', there: 'old' });
    await synchronise('push');
    fillFolder(local, { both: 'mine', here: 'mine', gone: 'mine' });
    await store('both', 'theirs');
    await store('there', 'theirs');
    await cluster.remove(`${remote}/gone`);
    const finished = await run('push');
    expect(finished.code).toBe(5);
    const report = finished.json<Report>();
    expect(report.updated).toEqual(['here']);
    expect(report.conflicts.map(({ path, reason }) => `${path} ${reason}`)).toEqual([
      'both both-changed',
      'gone both-changed',
      'there target-changed',
    ]);
    expect([await textOf('both'), await textOf('there')]).toEqual(['theirs', 'theirs']);
    const pulled = await run('pull');
    expect([pulled.code, pulled.json<Report>().updated]).toEqual([5, ['there']]);
    expect(readFileSync(join(local, 'both'), 'utf8')).toBe('mine');
    const text = await cluster.dfs(['pull', '--remote', remote], { cwd: local });
    expect(text.stderr).toContain('dfs: both: left alone, changed on both sides\n');
    await synchronise('push', '--force');
    expect(await stored()).toEqual(contentsOf(local));
    expect(await textOf('both')).toBe('mine');
  });

  it('do not take a folder that was never pushed for an older one', async () => {
    fillFolder(local, { same: 'same', differs: 'mine' });
    await store('same', 'same');
    await store('differs', 'theirs');
    for (const command of ['push', 'pull'] as const) {
      const finished = await run(command);
      expect(finished.code).toBe(5);
      expect(finished.json<Report>()).toMatchObject({
        unchanged: 1,
        conflicts: [{ path: 'differs', reason: 'never-synchronised' }],
      });
    }
    await synchronise('pull', '--force');
    expect(readFileSync(join(local, 'differs'), 'utf8')).toBe('theirs');
  });

  it('replace a file by a directory and the reverse with --delete', async () => {
    fillFolder(local, { 'was dir/x': 'x', 'was file': 'f' });
    await synchronise('push');
    rmSync(join(local, 'was dir'), { recursive: true });
    rmSync(join(local, 'was file'));
    fillFolder(local, { 'was dir': 'now a file', 'was file/y': 'y' });
    const finished = await run('push');
    expect(finished.code).toBe(5);
    expect(finished.json<Report>().conflicts.map(({ reason }) => reason)).toEqual([
      'other-kind',
      'other-kind',
    ]);
    await synchronise('push', '--delete');
    expect(await stored()).toEqual(contentsOf(local));
    const other = temporaryDirectory('kinds');
    fillFolder(other, { 'was dir/x': 'x', 'was file': 'f' });
    const pulled = await cluster.dfs(['pull', '--remote', remote, '--delete', '--force'], {
      cwd: other,
    });
    expect(pulled.code, pulled.stderr).toBe(0);
    expect(contentsOf(other)).toEqual(await stored());
  });

  it('continue where they stopped when they were killed, with no conflict of their own making', async () => {
    const count = 300;
    for (let n = 0; n < count; n += 1)
      fillFolder(local, { [`${n % 5}/${n}`]: contentOf(`${n}`, 15_000) });
    const first = cluster.startDfs(['push', '--remote', remote, '-j', '2'], { cwd: local });
    const files = async () =>
      Object.entries(await stored().catch(() => ({}))).filter(([, md5]) => md5 !== 'directory');
    await waitUntil('some pushed files', async () => (await files()).length >= 50, { everyMs: 5 });
    first.kill('SIGKILL');
    await first.finished;
    const pushed = await files();
    expect(pushed.length).toBeLessThan(count);
    // The first ones were settled long before the end: to go on with them is no conflict.
    const [changed] = pushed.map(([path]) => path);
    fillFolder(local, { [changed as string]: 'changed since' });
    const report = await synchronise('push');
    expect(report.updated).toEqual([changed]);
    // What was on its way when it was killed may have arrived since.
    expect(report.unchanged).toBeGreaterThanOrEqual(pushed.length - 1);
    const created = report.new.filter((path) => !path.endsWith('/'));
    expect(report.unchanged + created.length).toBe(count - 1);
    expect(await stored()).toEqual(contentsOf(local));

    const other = temporaryDirectory('killed');
    const download = cluster.startDfs(['pull', '--remote', remote, '-j', '2'], { cwd: other });
    await waitUntil('some pulled files', () => Object.keys(contentsOf(other)).length >= 40, {
      everyMs: 2,
    });
    download.kill('SIGKILL');
    await download.finished;
    const again = await cluster.dfs(['pull', '--remote', remote], { cwd: other });
    expect(again.code, again.stderr).toBe(0);
    expect(contentsOf(other)).toEqual(contentsOf(local));
  });

  it('do not notice that a node dies meanwhile', async () => {
    for (let n = 0; n < 300; n += 1)
      fillFolder(local, { [`${n}`]: contentOf(`dies ${n}`, 15_000) });
    const running = cluster.startDfs(['push', '--remote', remote, '--json'], { cwd: local });
    await waitUntil(
      'some pushed files',
      async () => Object.keys(await stored().catch(() => ({}))).length >= 20,
      { everyMs: 5 },
    );
    await cluster.kill('node-3');
    const finished = await running.finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(await stored()).toEqual(contentsOf(local));
  });

  it('take an answer that was lost for no conflict, neither of a write nor of a deletion', async () => {
    fillFolder(local, { small: 'old', long: contentOf('long', 2_000_000), gone: 'gone' });
    await synchronise('push');
    fillFolder(local, { small: 'new', long: contentOf('longer', 2_500_000), more: 'more' });
    rmSync(join(local, 'gone'));
    const proxy = await TcpProxy.start(cluster.url);
    // The state of the folders is that of the store's own address.
    const environment = { DFS_URL: proxy.url, DFS_KEY: cluster.key };
    const args = ['push', '--json', '--remote', remote, '--delete', '--force'];
    try {
      const settled = await cluster.dfs(args, { cwd: local, environment });
      expect(settled.code, settled.stderr).toBe(0);
      fillFolder(local, { small: 'newest', long: contentOf('longest', 2_700_000), last: 'last' });
      rmSync(join(local, 'more'));
      const running = cluster.startDfs(args, { cwd: local, environment });
      const passed = proxy.passedBytes;
      await waitUntil('the listing', () => proxy.passedBytes > passed, { everyMs: 1 });
      proxy.dropAnswers(6);
      const finished = await running.finished;
      expect(finished.code, finished.stdout + finished.stderr).toBe(0);
      expect(await stored()).toEqual(contentsOf(local));
    } finally {
      await proxy.close();
    }
  });

  it('never lose what somebody else stores while they run', async () => {
    for (let n = 0; n < 150; n += 1) fillFolder(local, { [`${n}`.padStart(3, '0')]: `${n}` });
    await synchronise('push');
    for (let n = 0; n < 150; n += 1) fillFolder(local, { [`${n}`.padStart(3, '0')]: `new ${n}` });
    const running = cluster.startDfs(['push', '--json', '--force', '--remote', remote, '-j', '1'], {
      cwd: local,
    });
    await waitUntil('the first write', async () => (await textOf('000')) === 'new 0', {
      everyMs: 2,
    });
    await store('149', 'theirs');
    const finished = await running.finished;
    const { conflicts, updated } = finished.json<Report>();
    expect(await textOf('149')).toBe('theirs');
    expect(updated).toHaveLength(149);
    expect([finished.code, conflicts]).toEqual([
      5,
      [expect.objectContaining({ path: '149', reason: 'changed-meanwhile' })],
    ]);
  });

  it('refuse what would be a mistake, and touch nothing', async () => {
    const cwd = temporaryDirectory('mistakes');
    await store('kept', 'kept');
    writeFileSync(join(cwd, 'file'), '');
    mkdirSync(join(cwd, 'sub'));
    const cases = [
      // A folder that is missing is not an empty one.
      [['push', 'absent', '--delete', '--remote', remote], 3],
      [['pull', '--delete', '--remote', '/absent/folder'], 3],
      [['push', 'file', '--remote', remote], 5],
      [['pull', '--delete', '--remote', `${remote}/kept`], 5],
      [['push', join(cwd, 'sub')], 2],
      [['push', '--transfers', '0'], 2],
    ] as const;
    for (const [args, code] of cases) {
      const finished = await cluster.dfs(args, { cwd });
      expect([args.join(' '), finished.code, finished.stdout]).toEqual([args.join(' '), code, '']);
      expect(finished.stderr).not.toMatch(/^\s+at /m);
    }
    expect(await stored()).toEqual({ kept: md5Of(Buffer.from('kept')) });
    expect(Object.keys(contentsOf(cwd))).toEqual(['file', 'sub']);
  });

  it('delete nothing for who has no key and sees a part of the names', async () => {
    await cluster.store(`${remote}/public`, 'seen', { query: '?mode=public' });
    await store('private', 'unseen');
    fillFolder(local, { public: 'seen', private: 'unseen' });
    const environment = { DFS_URL: cluster.url, DFS_KEY: undefined, HOME: temporaryDirectory('h') };
    const finished = await cluster.dfs(['pull', '--delete', '--remote', remote], {
      cwd: local,
      environment: { ...environment, XDG_CONFIG_HOME: undefined },
    });
    expect(finished.code, finished.stdout).toBe(4);
    expect(Object.keys(contentsOf(local))).toEqual(['private', 'public']);
  });

  it('do not run twice at once for the same folders', async () => {
    for (let n = 0; n < 200; n += 1) fillFolder(local, { [`${n}`]: contentOf(`once ${n}`, 9_000) });
    const first = cluster.startDfs(['push', '--remote', remote, '-j', '1'], { cwd: local });
    await waitUntil(
      'the first one to work',
      async () => Object.keys(await stored().catch(() => ({}))).length > 0,
      { everyMs: 5 },
    );
    const second = await run('push');
    expect(second.code).toBe(6);
    expect(second.stderr).toContain('Another push or pull');
    expect((await first.finished).code).toBe(0);
    expect((await synchronise('push')).unchanged).toBe(200);
  });
});
