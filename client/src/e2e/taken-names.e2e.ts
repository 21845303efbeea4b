import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PutAnswer } from './harness/answers.ts';
import { contentOf, md5Of } from './harness/content.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { TcpProxy } from './harness/tcp-proxy.ts';

describe('a name that is taken', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2 });
  });
  afterAll(() => cluster?.dispose());

  const localFile = (name: string, text: string) => {
    const path = join(temporaryDirectory('local'), name);
    writeFileSync(path, text);
    return path;
  };

  it('is kept by dfs put, which prints the new one', async () => {
    const first = await cluster.dfs(['put', localFile('report.pdf', 'first')]);
    const second = await cluster.dfs(['put', localFile('report.pdf', 'second')]);
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(second.stdout).toContain('/report (1).pdf');
    expect((await cluster.get('/report.pdf')).text).toBe('first');
    expect((await cluster.get('/report (1).pdf')).text).toBe('second');
  });

  it.each([
    ['README', 'README (1)'],
    ['.env', '.env (1)'],
    ['archive.tar.gz', 'archive.tar (1).gz'],
    ['two words.txt', 'two words (1).txt'],
    ['v1.2', 'v1 (1).2'],
    ['文件.txt', '文件 (1).txt'],
    ['🎉', '🎉 (1)'],
    [`${'x'.repeat(251)}.txt`, `${'x'.repeat(247)} (1).txt`],
  ])('%s becomes %s', async (name, renamed) => {
    const asked = `/renamed/${name}`;
    const [first, second, third] = [
      await cluster.store(asked, 'first', { query: '?onConflict=rename' }),
      await cluster.store(asked, 'second', { query: '?onConflict=rename' }),
      await cluster.store(asked, 'third', { query: '?onConflict=rename' }),
    ];
    expect([first.path, second.path]).toEqual([asked, `/renamed/${renamed}`]);
    expect(new Set([first.path, second.path, third.path]).size).toBe(3);
    const texts = await Promise.all(
      [first, second, third].map(async ({ path }) => (await cluster.get(path)).text),
    );
    expect(texts).toEqual(['first', 'second', 'third']);
  });

  it('is handled by the command as --on-conflict says', async () => {
    const put = (what: string, text: string) =>
      cluster.dfs(['put', localFile('choice.txt', text), '--on-conflict', what, '--json']);
    await put('fail', 'first');
    const refused = await put('fail', 'second');
    expect(refused.code).toBe(5);
    expect((await cluster.get('/choice.txt')).text).toBe('first');
    const replaced = await put('replace', 'third');
    expect(replaced.json<PutAnswer>().path).toBe('/choice.txt');
    expect((await cluster.get('/choice.txt')).text).toBe('third');
    const renamed = await put('rename', 'fourth');
    expect(renamed.json<PutAnswer>().path).toBe('/choice (1).txt');
  });

  it('is replaced atomically by PUT: readers see the old content or the new one', async () => {
    const contents = Array.from({ length: 30 }, (_, index) =>
      contentOf(`v${index}`, 90_000 + index),
    );
    const md5s = new Set(contents.map(md5Of));
    await cluster.store('/replaced.bin', contents[0] ?? '');
    let isDone = false;
    let reads = 0;
    const reader = async () => {
      while (!isDone) {
        const got = await cluster.get('/replaced.bin');
        expect(got.status).toBe(200);
        const md5 = md5Of(got.body);
        expect(got.headers.etag).toBe(`"${md5}"`);
        expect(md5s.has(md5)).toBe(true);
        reads += 1;
      }
    };
    const readers = Promise.all([reader(), reader(), reader()]);
    try {
      for (const content of contents) await cluster.store('/replaced.bin', content);
    } finally {
      isDone = true;
      await readers;
    }
    expect(reads).toBeGreaterThan(10);
    expect(md5Of((await cluster.get('/replaced.bin')).body)).toBe(
      md5Of(contents.at(-1) ?? Buffer.of()),
    );
  });

  /** Four writers of one name at once, each with a content of its own. */
  async function fourWriters(path: string, onConflict: string, sizeBytes: number) {
    const contents = [0, 1, 2, 3].map((writer) => contentOf(`${path} ${writer}`, sizeBytes));
    const query = `?onConflict=${onConflict}`;
    const answers = await Promise.all(contents.map((bytes) => cluster.put(path, bytes, { query })));
    return { contents, answers };
  }

  describe.each([100, 300_000, 1_500_000])('written by four at once with %i bytes', (sizeBytes) => {
    it.each([1, 2, 3])('gives four files by rename (round %i)', async (round) => {
      const path = `/race-${sizeBytes}/rename-${round}.bin`;
      const { contents, answers } = await fourWriters(path, 'rename', sizeBytes);
      expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201]);
      const puts = answers.map((answer) => answer.json<PutAnswer>());
      expect(new Set(puts.map((put) => put.path)).size).toBe(4);
      for (const [index, put] of puts.entries()) {
        const got = await cluster.get(put.path);
        expect(got.body.equals(contents[index] ?? Buffer.of())).toBe(true);
      }
    });

    it.each([1, 2, 3])('gives one winner by replace (round %i)', async (round) => {
      const path = `/race-${sizeBytes}/replace-${round}.bin`;
      const { contents, answers } = await fourWriters(path, 'replace', sizeBytes);
      expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201]);
      const got = await cluster.get(path);
      expect(contents.map(md5Of)).toContain(md5Of(got.body));
      expect(
        (await cluster.names(`/race-${sizeBytes}`)).filter((n) => n.includes(`place-${round}`)),
      ).toHaveLength(1);
    });

    it.each([1, 2, 3])(
      'gives one winner by fail, and 412 for the others (round %i)',
      async (round) => {
        const path = `/race-${sizeBytes}/fail-${round}.bin`;
        const { contents, answers } = await fourWriters(path, 'fail', sizeBytes);
        expect(answers.map((answer) => answer.status).sort()).toEqual([201, 412, 412, 412]);
        const winner = answers.findIndex((answer) => answer.status === 201);
        const got = await cluster.get(path);
        expect(got.body.equals(contents[winner] ?? Buffer.of())).toBe(true);
        const loser = answers.find((answer) => answer.status === 412);
        expect(loser?.json<ErrorAnswer>().error.code).toBe('precondition-failed');
      },
    );
  });

  it('is no obstacle to a directory of parents that four writers make at once', async () => {
    const paths = [0, 1, 2, 3].map((writer) => `/made/by/all/${writer}.txt`);
    const answers = await Promise.all(paths.map((path) => cluster.put(path, path)));
    expect(answers.map((answer) => answer.status)).toEqual([201, 201, 201, 201]);
    expect(await cluster.names('/made/by/all')).toHaveLength(4);
  });

  it('refuses a file where a directory is, and a directory where a file is', async () => {
    await cluster.store('/kind/file.txt', 'x');
    const onDirectory = await cluster.put('/kind', 'x');
    const belowFile = await cluster.put('/kind/file.txt/below.txt', 'x');
    expect([onDirectory.status, onDirectory.json<ErrorAnswer>().error.code]).toEqual([
      409,
      'is-a-directory',
    ]);
    expect([belowFile.status, belowFile.json<ErrorAnswer>().error.code]).toEqual([
      409,
      'not-a-directory',
    ]);
  });
});

describe('a put whose answer was lost', () => {
  let cluster: LocalCluster;
  let proxy: TcpProxy;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
    proxy = await TcpProxy.start(cluster.url);
  });
  afterAll(async () => {
    await proxy?.close();
    await cluster?.dispose();
  });

  it.each([
    ['small', 20_000],
    ['long', 3_000_000],
  ])('is stored once when it is tried again: a %s file', async (name, sizeBytes) => {
    const local = join(temporaryDirectory('lost'), `${name}.bin`);
    const bytes = contentOf(name, sizeBytes);
    writeFileSync(local, bytes);
    proxy.dropAnswers(2);
    const put = await cluster.dfs(['put', local, '--to', `/lost-${name}/`, '--json'], {
      environment: { DFS_URL: proxy.url, DFS_KEY: cluster.key },
    });
    expect(put.code, put.stderr).toBe(0);
    expect(put.json<PutAnswer>()).toMatchObject({ path: `/lost-${name}/${name}.bin` });
    expect(await cluster.names(`/lost-${name}`)).toEqual([`${name}.bin`]);
    const got = await cluster.get(`/lost-${name}/${name}.bin`);
    expect(got.body.equals(bytes)).toBe(true);
    await cluster.waitUntilTidy();
  });

  it('is answered the same for the same Idempotency-Key, and refused for another path', async () => {
    const headers = { 'Idempotency-Key': 'upload-0001' };
    const query = '?onConflict=rename';
    const first = await cluster.store('/once.txt', 'once', { headers, query });
    const second = await cluster.store('/once.txt', 'once', { headers, query });
    expect([second.id, second.path]).toEqual([first.id, first.path]);
    const other = await cluster.put('/other.txt', 'once', { headers, query });
    expect([other.status, other.json<ErrorAnswer>().error.code]).toEqual([
      409,
      'idempotency-conflict',
    ]);
    expect(await cluster.names()).not.toContain('once (1).txt');
  });

  it('is stored once when both attempts run at the same time', async () => {
    const headers = { 'Idempotency-Key': 'upload-0002' };
    const query = '?onConflict=rename';
    const puts = Array.from({ length: 4 }, () =>
      cluster.store('/together/once.txt', 'once', { headers, query }),
    );
    const answers = await Promise.all(puts);
    expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
    expect(await cluster.names('/together')).toEqual(['once.txt']);
  });
});
