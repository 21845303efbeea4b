import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PutAnswer } from './harness/answers.ts';
import { contentOf, contentStream, md5Of, md5OfContent } from './harness/content.ts';
import { headOf } from './harness/disk.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { dfsCommand, Program } from './harness/program.ts';

describe('put and get', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2 });
  });
  afterAll(() => cluster?.dispose());

  const localFile = (name: string, bytes: Uint8Array | string) => {
    const path = join(temporaryDirectory('local'), name);
    writeFileSync(path, bytes);
    return path;
  };

  it('answers a put in exactly the promised shape', async () => {
    const bytes = Buffer.from('hello, shards\n');
    const answer = await cluster.dfsJson<PutAnswer>(['put', localFile('file.txt', bytes)]);
    expect(answer).toEqual({
      path: '/file.txt',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      size: bytes.length,
      md5: md5Of(bytes),
      contentType: expect.stringMatching(/^text\/plain\b/),
      primary: { id: expect.any(String), name: expect.stringMatching(/^node-[123]$/) },
      copies: { stored: expect.any(Number), wanted: 2 },
    });
    expect(answer.copies.stored).toBeGreaterThanOrEqual(1);
    const node = cluster.node(answer.primary.name);
    expect(node.id).toBe(answer.primary.id);
    const overHttp = await cluster.store('/http.txt', bytes);
    expect(Object.keys(overHttp)).toEqual(Object.keys(answer));
  });

  it('has the bytes on the primary when it answers', async () => {
    const bytes = contentOf('durable', 300_000);
    const answer = await cluster.store('/durable.bin', bytes);
    const copies = await cluster.replicas('/durable.bin');
    const primary = copies.find(({ role }) => role === 'primary');
    expect(primary?.node).toEqual(answer.primary);
    expect(primary?.state).toBe('stored');
    expect((await headOf(primary?.path ?? '', bytes.length)).equals(bytes)).toBe(true);
  });

  it('tells a person what became of the file', async () => {
    const finished = await cluster.dfs(['put', localFile('told.txt', 'told')]);
    expect(finished.code, finished.stderr).toBe(0);
    expect(finished.stdout).toContain('/told.txt');
    expect(finished.stdout).toContain(md5Of(Buffer.from('told')));
    expect(finished.stdout.trim().split('\n')).toHaveLength(1);
  });

  it('picks primaries at random, so that every node is used', async () => {
    const puts = Array.from({ length: 90 }, (_, index) =>
      cluster.store(`/spread/${index}.txt`, `file ${index}`),
    );
    const primaries = (await Promise.all(puts)).map((answer) => answer.primary.name);
    for (const node of ['node-1', 'node-2', 'node-3']) {
      // With equal room each has 30 on average; fewer than 8 would come once in a hundred million runs.
      const count = primaries.filter((name) => name === node).length;
      expect(count, node).toBeGreaterThanOrEqual(8);
    }
  });

  it.each([0, 1, 65_536, 1_048_576, 1_048_577, 9_000_001])(
    'gives %i bytes back as they were',
    async (sizeBytes) => {
      const bytes = contentOf(`size ${sizeBytes}`, sizeBytes);
      const put = await cluster.dfsJson<PutAnswer>([
        'put',
        localFile(`size-${sizeBytes}.bin`, bytes),
      ]);
      expect([put.size, put.md5]).toEqual([sizeBytes, md5Of(bytes)]);
      const folder = temporaryDirectory('got');
      const got = await cluster.dfs(['get', put.path], { cwd: folder });
      expect(got.code, got.stderr).toBe(0);
      expect(readdirSync(folder)).toEqual([`size-${sizeBytes}.bin`]);
      expect(readFileSync(join(folder, `size-${sizeBytes}.bin`)).equals(bytes)).toBe(true);
    },
  );

  it('reads standard input and writes standard output, byte for byte', async () => {
    const sizeBytes = 5_000_003;
    const put = await cluster.dfsJson<PutAnswer>(['put', '-', 'piped.bin'], {
      stdin: contentStream('piped', sizeBytes),
    });
    const md5 = await md5OfContent('piped', sizeBytes);
    expect(put).toMatchObject({ path: '/piped.bin', size: sizeBytes, md5 });
    const got = await cluster.dfs(['get', '/piped.bin', '-']);
    expect([got.code, md5Of(got.bytes), got.stderr]).toEqual([0, md5, '']);
    const empty = await cluster.dfsJson<PutAnswer>(['put', '-', 'empty-pipe'], { stdin: '' });
    expect(empty.size).toBe(0);
  });

  it('puts several files in one call, and those that can be stored when one cannot', async () => {
    const [first, second] = [localFile('first.txt', 'one'), localFile('second.txt', 'two')];
    const answers = await cluster.dfsJson<PutAnswer[]>(['put', first, second, '/several/']);
    expect(answers.map((answer) => answer.path)).toEqual([
      '/several/first.txt',
      '/several/second.txt',
    ]);
    const third = localFile('third.txt', 'three');
    const finished = await cluster.dfs(['put', `${third}.absent`, third, '--to', '/several/']);
    expect(finished.code).not.toBe(0);
    expect(finished.stderr).toContain('third.txt.absent');
    expect((await cluster.get('/several/third.txt')).text).toBe('three');
  });

  it('gets into a directory, onto a name, and over an older file', async () => {
    await cluster.store('/where.txt', 'new');
    const folder = temporaryDirectory('where');
    mkdirSync(join(folder, 'inner'));
    writeFileSync(join(folder, 'old.txt'), 'old');
    for (const target of ['inner', 'old.txt', 'fresh.txt']) {
      const got = await cluster.dfs(['get', 'where.txt', target], { cwd: folder });
      expect(got.code, got.stderr).toBe(0);
    }
    const texts = ['inner/where.txt', 'old.txt', 'fresh.txt'].map((name) =>
      readFileSync(join(folder, name), 'utf8'),
    );
    expect(texts).toEqual(['new', 'new', 'new']);
    expect(readdirSync(folder).sort()).toEqual(['fresh.txt', 'inner', 'old.txt']);
  });

  it('refuses to get a directory, and writes nothing', async () => {
    await cluster.store('/folder/inside.txt', 'inside');
    const folder = temporaryDirectory('directory');
    for (const directory of ['/folder', '/folder/', '/']) {
      const name = directory.replace(/(.)\/$/, '$1');
      for (const args of [[directory], [directory, 'kept.txt'], [directory, '-']]) {
        const got = await cluster.dfs(['get', ...args], { cwd: folder });
        expect([args, got.code, got.stdout]).toEqual([args, 5, '']);
        expect(got.stderr).toBe(
          `dfs: ${name} is a directory.\n     Name a file in that directory.\n`,
        );
      }
    }
    expect(readdirSync(folder)).toEqual([]);
    // The words of every other command.
    const asked = await cluster.dfs(['replicas', '/folder']);
    const got = await cluster.dfs(['get', '/folder'], { cwd: folder });
    expect([got.code, got.stderr]).toEqual([asked.code, asked.stderr]);
  });

  it('says in one line that standard output takes no more', async () => {
    await cluster.store('/to-full.bin', contentOf('to full', 300_000));
    const local = localFile('from-full.txt', 'x');
    for (const args of ['get /to-full.bin -', 'ls', 'ls --json', `put ${local} --json`]) {
      const command = `exec "$0" "$1" ${args} > /dev/full`;
      const { code, stderr } = await new Program(
        ['sh', '-c', command, process.execPath, dfsCommand],
        { environment: cluster.environment },
      ).finished;
      expect([args, code]).toEqual([args, 1]);
      expect(stderr).toContain('cannot write to standard output: ENOSPC');
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stderr.match(/cannot write/g)).toHaveLength(1);
    }
  });

  it('names the file that finds no room here', async () => {
    await cluster.store('/to-full.bin', contentOf('to full', 300_000));
    const { code, stderr } = await cluster.dfs(['get', '/to-full.bin', '/dev/full']);
    expect([code, stderr]).toEqual([
      1,
      'dfs: /dev/full cannot be written (ENOSPC).\n     Make room here, or name another place on this machine.\n',
    ]);
  });

  it('refuses an empty target in words of the command', async () => {
    const local = localFile('nowhere.txt', 'x');
    for (const args of [
      [local, '--to', ''],
      ['-', ''],
    ]) {
      const put = await cluster.dfs(['put', ...args]);
      expect(put.code).toBe(2);
      expect(put.stderr).toMatch(/target .*empty/);
      expect(put.stderr).not.toContain('MKCOL');
    }
  });

  it('says failures as one JSON line to programs', async () => {
    const failed = async (args: readonly string[]) => {
      const { code, stdout, stderr } = await cluster.dfs([...args, '--json']);
      expect(stdout).toBe('');
      expect(stderr.trimEnd().split('\n')).toHaveLength(1);
      return { code, ...(JSON.parse(stderr) as ErrorAnswer) };
    };
    const message = expect.stringContaining('/absent.txt');
    const absent = { code: 3, error: { code: 'not-found', message, hint: expect.any(String) } };
    expect(await failed(['stat', '/absent.txt'])).toMatchObject(absent);
    expect(await failed(['get', '/absent.txt'])).toMatchObject(absent);
    expect(await failed(['put', '/no-such-1', '/no-such-2', '/there/'])).toMatchObject({
      code: 2,
      error: { code: 'invalid-request', message: expect.stringMatching(/no-such-1.*no-such-2/) },
    });
    expect(await failed(['ls', '--unknown'])).toMatchObject({
      code: 2,
      error: { code: 'invalid-request', message: expect.stringContaining('--unknown') },
    });
  });

  it('says of a log that there is no such file, unless rows of it are left', async () => {
    const absent = await cluster.dfs(['log', '/nope.txt']);
    expect([absent.code, absent.stdout]).toEqual([3, '']);
    expect(absent.stderr).toContain('/nope.txt');
    await cluster.store('/gone.txt', 'gone');
    await cluster.waitForCopies(['/gone.txt'], 2);
    await cluster.remove('/gone.txt');
    const gone = await cluster.dfs(['log', '/gone.txt']);
    expect(gone.code, gone.stderr).toBe(0);
    expect(gone.stdout).toContain('/gone.txt');
    expect((await cluster.dfs(['log', '/'])).code).toBe(0);
  });

  it('gets by the id of the content', async () => {
    const { id } = await cluster.store('/by-id.txt', 'by id');
    const got = await cluster.dfs(['get', `id:${id}`, '-']);
    expect([got.code, got.stdout]).toEqual([0, 'by id']);
  });

  const oddNames = [
    'no-extension',
    '.hidden',
    '..almost',
    'two words.txt',
    ' leading and trailing ',
    'dots...in.the..middle.',
    '100%.txt',
    '%2e%2e',
    'a+b&c=d?e#f;g.txt',
    'quo"te\'s.txt',
    'back\\slash.txt',
    'star*[1]{2}.txt',
    '-dash',
    '~tilde',
    'Grüße – 文件 🎉.txt',
    'e\u0301 and \u00e9 are two names',
    'tab\tand\nnew line',
    'x'.repeat(255),
    '文'.repeat(85),
  ];

  it('keeps every name that a file can have', async () => {
    for (const name of oddNames) {
      const text = `the file ${name}`;
      const local = localFile(name, text);
      const put = await cluster.dfsJson<PutAnswer>(['put', '--to', `/odd/${name}`, '--', local]);
      expect(put.path).toBe(`/odd/${name}`);
      const folder = temporaryDirectory('odd');
      const got = await cluster.dfs(['get', `/odd/${name}`], { cwd: folder });
      expect([name, got.code, got.stderr]).toEqual([name, 0, '']);
      expect(readFileSync(join(folder, name), 'utf8')).toBe(text);
    }
    expect((await cluster.names('/odd')).sort()).toEqual([...oddNames].sort());
  });

  it('ends with 3 where there is no file, with 4 by a wrong key, and leaves nothing', async () => {
    const folder = temporaryDirectory('nothing');
    const absent = await cluster.dfs(['get', '/absent.txt'], { cwd: folder });
    expect(absent.code).toBe(3);
    expect(absent.stderr).toContain('/absent.txt');
    await cluster.store('/locked.txt', 'locked');
    const denied = await cluster.dfs(['get', '/locked.txt'], {
      cwd: folder,
      environment: { DFS_KEY: 'a wrong key' },
    });
    expect(denied.code).toBe(4);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('lists, and tells all it knows of a file', async () => {
    const { id, md5 } = await cluster.store('/look/at.txt', 'at');
    const listed = await cluster.dfsJson<{ name: string; size: number; md5: string }[]>([
      'ls',
      '/look',
    ]);
    expect(listed).toMatchObject([{ name: 'at.txt', kind: 'file', size: 2, md5, id }]);
    const stat = await cluster.dfsJson<object>(['stat', '/look/at.txt']);
    expect(stat).toMatchObject({ path: '/look/at.txt', kind: 'file', size: 2, md5, id });
    expect((await cluster.dfs(['ls', '/look'])).stdout).toBe('at.txt\n');
    expect((await cluster.dfs(['stat', '/look/at.txt'])).stdout).toContain(md5);
    expect((await cluster.dfs(['ls', '/no-such'])).code).toBe(3);
  });

  it('puts nothing when the file cannot be read', async () => {
    const absent = join(temporaryDirectory('absent'), 'absent.txt');
    const finished = await cluster.dfs(['put', absent]);
    expect(finished.code).not.toBe(0);
    expect(finished.stderr).toContain('absent.txt');
    expect(await cluster.names()).not.toContain('absent.txt');
  });

  it('waits for more copies where it is asked to', async () => {
    const put = await cluster.dfsJson<PutAnswer>([
      'put',
      localFile('two-at-once.txt', 'two'),
      '--min-copies',
      '2',
    ]);
    expect(put.copies).toEqual({ stored: 2, wanted: 2 });
    const refused = await cluster.put('/four.txt', 'four', { query: '?minCopies=4' });
    expect(refused.status).toBe(503);
    expect((await cluster.get('/four.txt')).status).toBe(404);
    // Right for who speaks HTTP and for who calls the command.
    expect(refused.json<ErrorAnswer>().error.hint).toMatch(/minCopies.*--min-copies/);
  });
});
