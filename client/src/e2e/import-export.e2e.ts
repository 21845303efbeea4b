import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { contentsOf, fillFolder, readFolder, setTimes } from './harness/folder.ts';
import { temporaryDirectory } from './harness/guard.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import type { Finished } from './harness/program.ts';
import { waitUntil } from './harness/wait-until.ts';

interface Report {
  readonly dryRun: boolean;
  readonly new: string[];
  readonly updated: string[];
  readonly deleted: string[];
  readonly unchanged: number;
  readonly bytes: number;
  readonly conflicts: { path: string; reason: string }[];
  readonly skipped: { path: string; reason: string }[];
  readonly failed: { path: string; code: string; message: string }[];
}

const oddNames = [
  'a',
  'a b',
  'a-b/a',
  'a.b',
  'ab',
  '日本語/😀.txt',
  'ﾞ half width',
  'é composed',
  'e\u0301 decomposed',
  '#?%&+=;:@!$,',
  '%41%2f',
  '-rf',
  '.hidden/.deeper',
  '\'quotes"',
  'back\\slash',
  'line\nfeed\ttab',
  '~',
  ' blank at both ends ',
  `long ${'é'.repeat(125)}`,
  'CON',
  '…',
];

describe('import and export', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2, restart: true });
  });
  afterAll(() => cluster?.dispose());

  const reportOf = (finished: Finished): Report => finished.json<Report>();
  const imported = async (local: string, path: string, ...more: string[]) =>
    cluster.dfsJson<Report>(['import', local, path, ...more]);
  const exported = async (path: string, local: string, ...more: string[]) =>
    cluster.dfsJson<Report>(['export', path, local, ...more]);
  const foundBelow = async (path: string) =>
    (await cluster.send({ path: `/find${path}/` })).text.split('\n').filter((line) => line !== '');

  it('bring a tree there and back: odd names, empty files and directories, times', async () => {
    const source = temporaryDirectory('source');
    fillFolder(source, Object.fromEntries(oddNames.map((name) => [name, `of ${name}`])));
    fillFolder(source, { 'empty file': '', empty: null, 'deep/er/empty': null });
    fillFolder(source, { 'long.bin': contentOf('long', 3_000_001) });
    setTimes(source, 1_500_000_000_123);
    utimesSync(source, 1_400_000_000.5, 1_400_000_000.5);
    const report = await imported(source, '/odd');
    expect([report.failed, report.skipped, report.conflicts]).toEqual([[], [], []]);
    const target = join(temporaryDirectory('target'), 'made', 'here');
    await exported('/odd', target);
    expect(readFolder(target)).toEqual(readFolder(source));
    expect(statSync(target).mtimeMs).toBe(1_400_000_000_500);
  });

  it('write only what differs when they are run again, and mend times', async () => {
    const source = temporaryDirectory('again');
    fillFolder(source, { a: 'a', 'd/b': 'b', 'd/c': 'c', 'd/gone': 'gone' });
    setTimes(source, 1_500_000_000_000);
    await imported(source, '/again');
    const second = await imported(source, '/again');
    expect([second.new, second.updated, second.unchanged]).toEqual([[], [], 4]);
    writeFileSync(join(source, 'd/b'), 'B');
    writeFileSync(join(source, 'new'), 'new');
    utimesSync(join(source, 'd/c'), 1_600_000_000, 1_600_000_000);
    rmSync(join(source, 'd/gone'));
    const dry = await imported(source, '/again', '--dry-run');
    const third = await imported(source, '/again');
    expect([third.new, third.updated, third.unchanged]).toEqual([['new'], ['d/b'], 2]);
    expect({ ...dry, dryRun: false }).toEqual(third);
    expect((await cluster.stat('/again/d/gone')).size).toBe(4);

    const target = temporaryDirectory('again-here');
    expect((await exported('/again', target)).new).toHaveLength(6);
    fillFolder(source, { 'd/gone': 'gone' });
    const goneMs = readFolder(target).get('d/gone')?.modifiedMs ?? 0;
    utimesSync(join(source, 'd/gone'), goneMs / 1000, goneMs / 1000);
    utimesSync(join(source, 'd'), 1_600_000_001, 1_600_000_001);
    utimesSync(join(target, 'd/c'), 1, 1);
    writeFileSync(join(target, 'a'), 'another');
    writeFileSync(join(target, 'own'), 'stays');
    await imported(source, '/again');
    const report = await exported('/again', target);
    expect([report.new, report.updated, report.unchanged]).toEqual([[], ['a'], 4]);
    expect(readFileSync(join(target, 'own'), 'utf8')).toBe('stays');
    rmSync(join(target, 'own'));
    expect(readFolder(target)).toEqual(readFolder(source));
  });

  it('take 2 000 small files, and a second look at them is quick', async () => {
    const source = temporaryDirectory('many');
    const contents: Record<string, string> = {};
    for (let n = 0; n < 2_000; n += 1) contents[`${n % 40}/file ${n}`] = `content ${n % 1_900}`;
    fillFolder(source, contents);
    const report = await imported(source, '/many');
    expect(report.new).toHaveLength(2_040);
    const startedAtMs = performance.now();
    expect((await imported(source, '/many')).unchanged).toBe(2_000);
    const secondMs = performance.now() - startedAtMs;
    const target = temporaryDirectory('many-here');
    expect((await exported('/many', target, '--transfers', '16')).new).toHaveLength(2_040);
    expect(contentsOf(target)).toEqual(contentsOf(source));
    // One request for the whole listing, not one for each file.
    expect(secondMs).toBeLessThan(15_000);
  });

  it('take a single file, into a directory or under a name', async () => {
    const source = temporaryDirectory('single');
    fillFolder(source, { 'report.txt': 'report' });
    utimesSync(join(source, 'report.txt'), 1_500_000_000.25, 1_500_000_000.25);
    const file = join(source, 'report.txt');
    for (const [target, path] of [
      ['/single/other.txt', '/single/other.txt'],
      ['/single/', '/single/report.txt'],
      ['/single', '/single/report.txt'],
    ] as const) {
      await imported(file, target);
      expect((await cluster.get(path)).text, target).toBe('report');
    }
    expect((await imported(file, '/single')).unchanged).toBe(1);
    await exported('/single/report.txt', source);
    await exported('/single/report.txt', join(source, 'new name'));
    expect(readFileSync(join(source, 'new name'), 'utf8')).toBe('report');
    expect(statSync(join(source, 'new name')).mtimeMs).toBe(1_500_000_000_250);
    const finished = await cluster.dfs(['export', '/single/report.txt', join(source, 'new name')]);
    expect(finished.stdout).toContain('1 unchanged');
  });

  it('skip what is no file, say so, and succeed all the same', async () => {
    const source = temporaryDirectory('kinds');
    fillFolder(source, { file: 'file', real: null });
    symlinkSync('/etc/passwd', join(source, 'link'));
    symlinkSync('real', join(source, 'directory link'));
    const server = createServer().listen(join(source, 'socket'));
    await waitUntil('a socket', () => existsSync(join(source, 'socket')));
    const finished = await cluster.dfs(['import', source, '/kinds']);
    server.close();
    expect([finished.code, finished.stderr]).toEqual([
      0,
      'dfs: skipped 2: a symbolic link\ndfs: skipped 1: a socket\n',
    ]);
    expect(await cluster.names('/kinds')).toEqual(['file', 'real']);
  });

  it('name what should have gone and did not, store all others, and fail', async () => {
    const source = temporaryDirectory('unnamed');
    fillFolder(source, { a: 'a', taken: 'a file here', z: 'z' });
    writeFileSync(Buffer.concat([Buffer.from(`${source}/b`), Buffer.from([0xff])]), 'bytes');
    await cluster.store('/unnamed/taken/inside', 'a directory there');
    const finished = await cluster.dfs(['import', '--json', source, '/unnamed']);
    expect(finished.code).toBe(5);
    const report = reportOf(finished);
    expect(report.conflicts).toEqual([{ path: 'taken', reason: 'other-kind' }]);
    expect(report.skipped).toEqual([{ path: 'b\ufffd', reason: 'the name is not UTF-8' }]);
    expect(await foundBelow('/unnamed')).toEqual([
      '/unnamed/a',
      '/unnamed/taken/inside',
      '/unnamed/z',
    ]);
    await cluster.remove('/unnamed/taken/inside');
    await cluster.remove('/unnamed/taken');
    expect((await cluster.dfs(['import', source, '/unnamed'])).code).toBe(1);
  });

  it('write nothing outside of the directory, through a symbolic link neither', async () => {
    for (const path of ['/links/out/file', '/links/pointed', '/links/fine'])
      await cluster.store(path, 'from the store');
    const outside = temporaryDirectory('outside');
    fillFolder(outside, { file: 'mine', pointed: 'mine' });
    const target = temporaryDirectory('links');
    symlinkSync(outside, join(target, 'out'));
    symlinkSync(join(outside, 'pointed'), join(target, 'pointed'));
    const finished = await cluster.dfs(['export', '--json', '/links', target]);
    expect(finished.code).toBe(5);
    expect(reportOf(finished).conflicts.map(({ path, reason }) => [path, reason])).toEqual([
      ['out', 'in-the-way'],
      ['pointed', 'in-the-way'],
    ]);
    expect(readFileSync(join(target, 'fine'), 'utf8')).toBe('from the store');
    expect(contentsOf(outside)).toEqual({
      file: md5Of(Buffer.from('mine')),
      pointed: md5Of(Buffer.from('mine')),
    });
  });

  it.each([
    ['a directory that is not here', ['import', '/nowhere/at/all', '/x'], 3],
    ['a path that is not there', ['export', '/nowhere', 'x'], 3],
    ['what is neither file nor directory', ['import', '/dev/null', '/x'], 2],
  ])('end at once for %s, and make nothing', async (_what, args, code) => {
    const cwd = temporaryDirectory('nothing');
    const finished = await cluster.dfs(args, { cwd });
    expect([finished.code, finished.stdout]).toEqual([code, '']);
    expect(finished.stderr).not.toMatch(/^\s+at /m);
    expect(readdirSync(cwd)).toEqual([]);
    expect((await cluster.send({ path: '/api/v1/stat/x' })).status).toBe(404);
  });

  describe('that are killed midway', () => {
    const count = 400;
    const bytesOf = (n: number) => contentOf(`killed ${n}`, 20_000);
    let source: string;
    beforeAll(() => {
      source = temporaryDirectory('killed');
      for (let n = 0; n < count; n += 1) fillFolder(source, { [`${n % 7}/${n}.bin`]: bytesOf(n) });
    });

    it('go on where they stopped', async () => {
      const first = cluster.startDfs(['import', source, '/killed', '--transfers', '2']);
      await waitUntil(
        'some files of the import',
        async () => (await foundBelow('/killed').catch(() => [])).length >= 40,
        { everyMs: 5 },
      );
      first.kill('SIGKILL');
      expect((await first.finished).signal).toBe('SIGKILL');
      const before = (await foundBelow('/killed')).length;
      expect(before).toBeLessThan(count);
      const report = await imported(source, '/killed');
      expect(report.unchanged).toBeGreaterThanOrEqual(before);
      expect(report.unchanged + report.new.filter((path) => !path.endsWith('/')).length).toBe(
        count,
      );

      const target = temporaryDirectory('killed-here');
      const download = cluster.startDfs(['export', '/killed', target, '--transfers', '2']);
      await waitUntil('some files of the export', () => readdirSync(target).length >= 3, {
        everyMs: 2,
      });
      download.kill('SIGKILL');
      await download.finished;
      const whole = [...readFolder(target)].filter(([path]) => path.endsWith('.bin'));
      // No file has its name before it is whole.
      for (const [path, { content }] of whole)
        expect(content).toBe(readFolder(source).get(path)?.content);
      const rest = await exported('/killed', target);
      expect(rest.unchanged).toBe(whole.length);
      // What was half written is gone, too.
      expect(contentsOf(target)).toEqual(contentsOf(source));
    });

    it('leave nothing half written when they are interrupted', async () => {
      const target = temporaryDirectory('interrupted');
      const running = cluster.startDfs(['export', '/killed', target, '-j', '4']);
      const parts = () =>
        readdirSync(target, { recursive: true, encoding: 'utf8' }).filter((name) =>
          name.endsWith('.part'),
        );
      await waitUntil('a file that is being written', () => parts().length > 0, { everyMs: 1 });
      running.kill('SIGINT');
      expect((await running.finished).code).toBe(130);
      expect(parts()).toEqual([]);
    });

    it('do not notice that a node dies meanwhile', async () => {
      const running = cluster.startDfs(['import', '--json', source, '/dying']);
      await waitUntil(
        'some files of the import',
        async () => (await foundBelow('/dying').catch(() => [])).length >= 20,
        { everyMs: 5 },
      );
      await cluster.kill('node-2');
      const finished = await running.finished;
      expect(finished.code, finished.stderr).toBe(0);
      expect(reportOf(finished).failed).toEqual([]);
      await cluster.waitForAllCopies({ withinMs: 60_000 });
      const target = temporaryDirectory('dying-here');
      const download = cluster.startDfs(['export', '--json', '/dying', target]);
      await waitUntil('some files of the export', () => readdirSync(target).length >= 2, {
        everyMs: 2,
      });
      await cluster.kill('node-1');
      const done = await download.finished;
      expect(done.code, done.stderr).toBe(0);
      expect(contentsOf(target)).toEqual(contentsOf(source));
    });

    it('wait for a master that is started again', async () => {
      const running = cluster.startDfs(['import', '--json', source, '/master', '-j', '4']);
      await waitUntil(
        'some files of the import',
        async () => (await foundBelow('/master').catch(() => [])).length >= 20,
        { everyMs: 5 },
      );
      const before = cluster.pidOf('master');
      await cluster.kill('master');
      await cluster.waitForRestart('master', before);
      const finished = await running.finished;
      expect(finished.code, finished.stdout + finished.stderr).toBe(0);
      const found = (await foundBelow('/master')).length;
      expect(found).toBe(count);
    });

    it('stop soon when the store is gone, and say how to go on', async () => {
      const environment = { ...cluster.environment, DFS_URL: 'http://127.0.0.1:9', DFS_KEY: 'k' };
      const finished = await cluster.dfs(['import', source, '/gone'], { environment });
      expect(finished.code).toBe(6);
      expect(finished.stderr).toContain('No store answers');
    });
  });

  it('make directories of another kind only where nothing is', async () => {
    const source = temporaryDirectory('kind');
    fillFolder(source, { 'd/file': 'inside' });
    await cluster.store('/kind/d', 'a file there');
    const finished = await cluster.dfs(['import', '--json', source, '/kind']);
    expect(finished.code).toBe(5);
    expect((await cluster.get('/kind/d')).text).toBe('a file there');
    const target = temporaryDirectory('kind-here');
    mkdirSync(join(target, 'd'));
    const back = await cluster.dfs(['export', '--json', '/kind', target]);
    expect(back.code).toBe(5);
    expect(readdirSync(join(target, 'd'))).toEqual([]);
  });
});
