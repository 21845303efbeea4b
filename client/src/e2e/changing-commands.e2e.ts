import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { commandsOf, done, failed } from './harness/commands.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2, environment: { DFS_TRASH_TTL: '1h' } });
});
afterAll(() => cluster?.dispose());
// A test that failed leaves no other directory to the next one.
afterEach(() => cluster?.dfs(['cd']));

const { dfs, store, content, all } = commandsOf(() => cluster);

const oddNames = [
  'with space',
  ' edges ',
  "it's",
  'a "quoted" one',
  'line\nbreak',
  'tab\there',
  'back\\slash',
  '😀',
  'ä\u2028ö',
  '-dash',
  '--force',
  'report (1).pdf',
  'star*',
  'what?',
  '[brackets]',
  '$HOME',
  '%2F',
  '#',
  '.hidden',
  '...',
  'id:1',
];

describe('names', () => {
  it('with every odd character can be made, listed, copied, moved and removed', async () => {
    await Promise.all(oddNames.map((name) => cluster.store(`/odd/${name}`, `<${name}>`)));
    expect(await dfs(['cd', '/odd'])).toEqual(done());
    expect(await dfs(['cat', '--', ...oddNames])).toEqual(
      done(oddNames.map((name) => `<${name}>`).join('')),
    );
    const byBytes = oddNames.toSorted((one, other) =>
      Buffer.compare(Buffer.from(one), Buffer.from(other)),
    );
    expect(await dfs(['find', '.', '-type', 'f', '-print0'])).toEqual(
      done(byBytes.map((name) => `./${name}\0`).join('')),
    );
    const listed = await cluster.dfsJson<{ name: string; path: string }[]>(['ls']);
    expect(listed.map(({ name }) => name)).toEqual(byBytes);
    expect(listed.map(({ path }) => path)).toEqual(byBytes.map((name) => `/odd/${name}`));
    expect(await dfs(['mkdir', '--', ...oddNames.map((name) => `${name}.d`)])).toEqual(done());
    expect(await dfs(['rmdir', '--', ...oddNames.map((name) => `${name}.d`)])).toEqual(done());
    expect(await dfs(['mkdir', 'moved', 'copied'])).toEqual(done());
    expect(await dfs(['mv', '-t', 'moved', '--', ...oddNames])).toEqual(done());
    expect(await cluster.names('/odd')).toEqual(['copied', 'moved']);
    await dfs(['cd', 'moved']);
    expect(await dfs(['cp', '-t', '../copied', '--', ...oddNames])).toEqual(done());
    expect(await dfs(['rm', '--', ...oddNames])).toEqual(done());
    expect(await dfs(['touch', '--', ...oddNames])).toEqual(done());
    expect(await cluster.names('/odd/moved')).toEqual(byBytes);
    for (const name of oddNames) expect(await content(`/odd/copied/${name}`)).toBe(`<${name}>`);
  });
});

describe('dfs mkdir and rmdir', () => {
  it('make and remove directories, and say why not', async () => {
    await store('/mk/file');
    expect(await dfs(['mkdir', '/mk/a'])).toEqual(done());
    expect(await dfs(['mkdir', '/mk/a', '/mk/b'])).toEqual(
      failed(1, "dfs mkdir: cannot create directory '/mk/a': File exists"),
    );
    expect(await dfs(['mkdir', '/mk/file'])).toEqual(failed(1, /'\/mk\/file': File exists/));
    expect(await dfs(['mkdir', '/mk/no/such'])).toEqual(
      failed(5, "dfs mkdir: cannot create directory '/mk/no/such': No such file or directory"),
    );
    expect(await dfs(['mkdir', '-p', '/mk/a'])).toEqual(done());
    expect(await dfs(['mkdir', '-pv', '/mk/c/d/e', '/mk/a'])).toEqual(
      done(
        "created directory '/mk/c'\ncreated directory '/mk/c/d'\ncreated directory '/mk/c/d/e'\n",
      ),
    );
    expect((await dfs(['mkdir', '-p', '/mk/file/x']))[0]).not.toBe(0);
    expect(await cluster.names('/mk')).toEqual(['a', 'b', 'c', 'file']);
    expect(await dfs(['rmdir', '/mk/c', '/mk/a', '/mk/file', '/mk/nope'])).toEqual(
      failed(
        5,
        [
          "dfs rmdir: failed to remove '/mk/c': Directory not empty",
          "dfs rmdir: failed to remove '/mk/file': Not a directory",
          "dfs rmdir: failed to remove '/mk/nope': No such file or directory",
        ].join('\n'),
      ),
    );
    expect(await dfs(['rmdir', '--ignore-fail-on-non-empty', '/mk/c'])).toEqual(done());
    await dfs(['cd', '/mk']);
    expect(await dfs(['rmdir', '-pv', 'c/d/e'])).toEqual(
      done("removing directory, 'c/d/e'\nremoving directory, 'c/d'\nremoving directory, 'c'\n"),
    );
    await dfs(['cd']);
    expect(await cluster.names('/mk')).toEqual(['b', 'file']);
  });
});

describe('dfs touch', () => {
  const modified = async (path: string) =>
    (await cluster.dfsJson<{ modified: string }>(['stat', path])).modified;
  it('makes files, sets times, and leaves the bytes', async () => {
    await store('/touch/old');
    expect(await dfs(['touch', '-d', '2001-02-03T04:05:06Z', '/touch/old', '/touch/new'])).toEqual(
      done(),
    );
    expect(await modified('/touch/old')).toBe('2001-02-03T04:05:06.000Z');
    expect(await content('/touch/old')).toBe('old');
    expect(await content('/touch/new')).toBe('');
    expect(await dfs(['touch', '-r', '/touch/old', '/touch'])).toEqual(done());
    expect(await modified('/touch')).toBe('2001-02-03T04:05:06.000Z');
    expect(await dfs(['touch', '-c', '/touch/none'])).toEqual(done());
    expect(await cluster.names('/touch')).toEqual(['new', 'old']);
    expect(await dfs(['touch', '-d', 'whenever', '/touch/new'])).toEqual(failed(2, /invalid date/));
  });
});

describe('dfs mv', () => {
  it('renames, moves into directories, several at once, whole directories', async () => {
    await store('/mv/a', '/mv/b', '/mv/dir/x', '/mv/full/y');
    expect(await dfs(['mv', '-v', '/mv/a', '/mv/c'])).toEqual(done("renamed '/mv/a' -> '/mv/c'\n"));
    expect(await dfs(['mv', '/mv/c', '/mv/b', '/mv/dir'])).toEqual(done());
    expect(await dfs(['mv', '-t', '/mv', '/mv/dir/c'])).toEqual(done());
    expect(await dfs(['mv', '/mv/dir', '/mv/renamed'])).toEqual(done());
    expect(await all('/mv')).toEqual([
      '/mv/c',
      '/mv/full',
      '/mv/full/y',
      '/mv/renamed',
      '/mv/renamed/b',
      '/mv/renamed/x',
    ]);
    expect(await content('/mv/renamed/b')).toBe('b');
  });

  it('refuses what makes no sense, in the words that people know', async () => {
    await store('/mv2/a', '/mv2/d/a/inner', '/mv2/e/x');
    const cases: [string[], string][] = [
      [['/mv2/d', '/mv2/d/e'], "cannot move '/mv2/d' to a subdirectory of itself, '/mv2/d/e'"],
      [['/mv2/d', '/mv2/d'], "cannot move '/mv2/d' to a subdirectory of itself, '/mv2/d/d'"],
      [['/mv2/a', '/mv2/a'], "'/mv2/a' and '/mv2/a' are the same file"],
      [['/mv2/nope', '/mv2/b'], "cannot stat '/mv2/nope': No such file or directory"],
      [['/mv2/a', '/mv2/d'], "cannot overwrite directory '/mv2/d/a' with non-directory '/mv2/a'"],
      [
        ['-T', '/mv2/d', '/mv2/a'],
        "cannot overwrite non-directory '/mv2/a' with directory '/mv2/d'",
      ],
      [['-T', '/mv2/d', '/mv2/e'], "cannot move '/mv2/d' to '/mv2/e': Directory not empty"],
      [
        ['/mv2/a', '/mv2/no/such'],
        "cannot move '/mv2/a' to '/mv2/no/such': No such file or directory",
      ],
      [['/mv2/a', '/mv2/new/'], "cannot move '/mv2/a' to '/mv2/new/': Not a directory"],
      [['/', '/mv2/e'], "cannot move '/' to '/mv2/e': Device or resource busy"],
    ];
    for (const [args, text] of cases) {
      const [code, stdout, stderr] = await dfs(['mv', ...args]);
      expect([args, code !== 0, stdout, stderr]).toEqual([args, true, '', `dfs mv: ${text}\n`]);
    }
    expect(await dfs(['mv', '/mv2/a', '/mv2/d', '/mv2/none'])).toEqual(
      failed(3, /mv: target '\/mv2\/none': No such file or directory/),
    );
    expect(await dfs(['mv', '/mv2/a'])).toEqual(failed(2, /missing destination file operand/));
    expect(await all('/mv2')).toEqual([
      '/mv2/a',
      '/mv2/d',
      '/mv2/d/a',
      '/mv2/d/a/inner',
      '/mv2/e',
      '/mv2/e/x',
    ]);
  });

  it('does what can be done when one of several fails', async () => {
    await store('/mv3/a', '/mv3/b', '/mv3/to/keep', '/mv3/x/b');
    expect(await dfs(['mv', '/mv3/a', '/mv3/nope', '/mv3/b', '/mv3/x/b', '/mv3/to'])).toEqual(
      failed(
        3,
        "dfs mv: cannot stat '/mv3/nope': No such file or directory\ndfs mv: will not overwrite just-created '/mv3/to/b' with '/mv3/x/b'",
      ),
    );
    expect(await cluster.names('/mv3/to')).toEqual(['a', 'b', 'keep']);
  });

  it('asks with -i, leaves with -n, replaces with -f: the last one counts', async () => {
    await store('/mv4/one', '/mv4/two', '/mv4/three');
    expect(await dfs(['mv', '-i', '/mv4/one', '/mv4/two'], { stdin: 'n\n' })).toEqual([
      0,
      '',
      "dfs mv: overwrite '/mv4/two'? ",
    ]);
    expect(await dfs(['mv', '-fn', '/mv4/one', '/mv4/two'])).toEqual(done());
    expect(await content('/mv4/two')).toBe('two');
    expect((await dfs(['mv', '-ni', '/mv4/one', '/mv4/two'], { stdin: 'yes\n' }))[0]).toBe(0);
    expect(await content('/mv4/two')).toBe('one');
    expect(await dfs(['mv', '-if', '/mv4/three', '/mv4/two'])).toEqual(done());
    expect(await content('/mv4/two')).toBe('three');
    expect(await cluster.names('/mv4')).toEqual(['two']);
  });

  it('leaves, with -n, also what the same call made', async () => {
    await cluster.store('/mv5/x/b', 'the first');
    await cluster.store('/mv5/y/b', 'the second');
    await cluster.store('/mv5/to/keep', '');
    expect(await dfs(['mv', '-n', '/mv5/x/b', '/mv5/y/b', '/mv5/to'])).toEqual(done());
    expect(await content('/mv5/to/b')).toBe('the first');
    expect(await content('/mv5/y/b')).toBe('the second');
  });
});

describe('dfs cp', () => {
  it('copies files, whole directories, and merges into one that is there', async () => {
    await store('/cp/a', '/cp/dir/x', '/cp/dir/sub/y', '/cp/to/dir/sub/kept', '/cp/to/dir/x');
    expect(await dfs(['cp', '-v', '/cp/a', '/cp/b'])).toEqual(done("'/cp/a' -> '/cp/b'\n"));
    expect(await dfs(['cp', '-r', '/cp/dir', '/cp/new'])).toEqual(done());
    expect(await all('/cp/new')).toEqual(['/cp/new/sub', '/cp/new/sub/y', '/cp/new/x']);
    expect(await dfs(['cp', '-R', '/cp/a', '/cp/dir', '/cp/to'])).toEqual(done());
    expect(await all('/cp/to')).toEqual([
      '/cp/to/a',
      '/cp/to/dir',
      '/cp/to/dir/sub',
      '/cp/to/dir/sub/kept',
      '/cp/to/dir/sub/y',
      '/cp/to/dir/x',
    ]);
    // The same bytes, no second time on the disks.
    const [a, b] = await Promise.all([cluster.stat('/cp/a'), cluster.stat('/cp/b')]);
    expect(b.blobs[0]?.id).toBe(a.blobs[0]?.id);
    expect(b.id).not.toBe(a.id);
  });

  it('refuses what makes no sense, in the words that people know', async () => {
    await store('/cp2/a', '/cp2/d/a/x', '/cp2/f');
    const cases: [string[], string][] = [
      [['/cp2/d', '/cp2/e'], "-r not specified; omitting directory '/cp2/d'"],
      [
        ['-r', '/cp2/d', '/cp2/d/a'],
        "cannot copy a directory, '/cp2/d', into itself, '/cp2/d/a/d'",
      ],
      [['/cp2/a', '/cp2/a'], "'/cp2/a' and '/cp2/a' are the same file"],
      [['/cp2/a', '/cp2/d'], "cannot overwrite directory '/cp2/d/a' with non-directory '/cp2/a'"],
      [
        ['-rT', '/cp2/d', '/cp2/a'],
        "cannot overwrite non-directory '/cp2/a' with directory '/cp2/d'",
      ],
      [['/cp2/nope', '/cp2/b'], "cannot stat '/cp2/nope': No such file or directory"],
      [
        ['/cp2/a', '/cp2/no/such'],
        "cannot copy '/cp2/a' to '/cp2/no/such': No such file or directory",
      ],
      [['/cp2/a', '/cp2/new/'], "cannot create regular file '/cp2/new/': Not a directory"],
    ];
    for (const [args, text] of cases) {
      const [code, stdout, stderr] = await dfs(['cp', ...args]);
      expect([args, code !== 0, stdout, stderr]).toEqual([args, true, '', `dfs cp: ${text}\n`]);
    }
    expect(await all('/cp2')).toEqual(['/cp2/a', '/cp2/d', '/cp2/d/a', '/cp2/d/a/x', '/cp2/f']);
  });

  it('leaves what is there with -n, in directories too', async () => {
    await store('/cp3/from/x', '/cp3/from/y');
    await cluster.store('/cp3/to/from/x', 'kept');
    expect(await dfs(['cp', '-rn', '/cp3/from', '/cp3/to'])).toEqual(done());
    expect([await content('/cp3/to/from/x'), await content('/cp3/to/from/y')]).toEqual([
      'kept',
      'y',
    ]);
    const asked = await dfs(['cp', '-i', '/cp3/from/x', '/cp3/to/from/x'], { stdin: '' });
    expect(asked.slice(0, 2)).toEqual([0, '']);
    expect(await content('/cp3/to/from/x')).toBe('kept');
  });

  it('asks with -i, leaves with -n, replaces with -f: the last one counts', async () => {
    await store('/cp4/one', '/cp4/two', '/cp4/more/one');
    expect(await dfs(['cp', '-fin', '/cp4/one', '/cp4/two'])).toEqual(done());
    expect(await content('/cp4/two')).toBe('two');
    const asked = await dfs(['cp', '-fni', '/cp4/one', '/cp4/two'], { stdin: 'n\n' });
    expect(asked).toEqual([0, '', "dfs cp: overwrite '/cp4/two'? "]);
    expect(await content('/cp4/two')).toBe('two');
    expect(await dfs(['cp', '-inf', '/cp4/one', '/cp4/two'])).toEqual(done());
    expect(await content('/cp4/two')).toBe('one');
    await cluster.store('/cp4/to/keep', '');
    await cluster.store('/cp4/more/one', 'another');
    expect(await dfs(['cp', '-n', '/cp4/one', '/cp4/more/one', '/cp4/to'])).toEqual(done());
    expect(await content('/cp4/to/one')).toBe('one');
    expect(await dfs(['cp', '/cp4/one', '/cp4/more/one', '/cp4/to'])).toEqual(
      failed(5, "dfs cp: will not overwrite just-created '/cp4/to/one' with '/cp4/more/one'"),
    );
  });
});

describe('dfs rm', () => {
  it('removes files, directories with -r only, and never the whole store', async () => {
    await store('/rm/a', '/rm/b', '/rm/dir/x', '/rm/rest');
    const cases: [string[], string][] = [
      [['/rm/dir'], "cannot remove '/rm/dir': Is a directory"],
      [['/rm/nope'], "cannot remove '/rm/nope': No such file or directory"],
      [['/rm/a/'], "cannot remove '/rm/a/': Not a directory"],
      [['-d', '/rm/dir'], "cannot remove '/rm/dir': Directory not empty"],
      [['-r', '.'], "refusing to remove '.' or '..' directory: skipping '.'"],
      [['-rf', '/rm/..'], "refusing to remove '.' or '..' directory: skipping '/rm/..'"],
      [['-rf', '/'], "it is dangerous to operate recursively on '/': the whole store would go"],
      [['-r', '/rm/*.none'], "cannot remove '/rm/*.none': No such file or directory"],
    ];
    for (const [args, text] of cases) {
      const [code, stdout, stderr] = await dfs(['rm', ...args]);
      expect([args, code !== 0, stdout, stderr]).toEqual([args, true, '', `dfs rm: ${text}\n`]);
    }
    expect((await dfs(['rm', '/rm/nope', '/rm/a'])).slice(0, 2)).toEqual([3, '']);
    expect(await dfs(['rm', '-f', '/rm/nope', '/rm/*.none', '/rm/b'])).toEqual(done());
    expect(await dfs(['rm', '-f'])).toEqual(done());
    expect(await dfs(['rm', '-rv', '/rm/dir'])).toEqual(done("removed directory '/rm/dir'\n"));
    expect(await cluster.names('/rm')).toEqual(['rest']);
  });

  it('asks with -i about each, and takes the end of the answers for no', async () => {
    await store('/rm2/dir/a', '/rm2/dir/b', '/rm2/c');
    const [code, , questions] = await dfs(['rm', '-ri', '/rm2/dir', '/rm2/c'], {
      stdin: 'y\nn\ny\n',
    });
    expect([code, questions.split('? ')]).toEqual([
      0,
      [
        "dfs rm: descend into directory '/rm2/dir'",
        "dfs rm: remove file '/rm2/dir/a'",
        "dfs rm: remove file '/rm2/dir/b'",
        "dfs rm: remove file '/rm2/c'",
        '',
      ],
    ]);
    expect(await all('/rm2')).toEqual(['/rm2/c', '/rm2/dir', '/rm2/dir/a']);
    expect((await dfs(['rm', '-rI', '/rm2/dir'], { stdin: 'n\n' }))[2]).toBe(
      'dfs rm: remove 1 argument recursively? ',
    );
    expect(await cluster.names('/rm2')).toEqual(['c', 'dir']);
    const kept = await dfs(['rm', '-rfi', '/rm2/dir'], { stdin: 'n\n' });
    expect(kept[2]).toBe("dfs rm: descend into directory '/rm2/dir'? ");
    expect(await cluster.names('/rm2')).toEqual(['c', 'dir']);
    expect((await dfs(['rm', '-rif', '/rm2/dir']))[2]).toBe('');
    expect(await cluster.names('/rm2')).toEqual(['c']);
  });
});

describe('dfs trash', () => {
  const items = (path: string) =>
    cluster
      .dfs(['trash', 'ls', path, '--json'])
      .then((listed) =>
        listed.json<{ id: string; path: string; kind: string; reason: string; size: number }[]>(),
      );
  it('brings back what was removed or replaced, once', async () => {
    await store('/trash/a', '/trash/dir/x', '/trash/dir/y');
    await cluster.store('/trash/a', 'second');
    await dfs(['rm', '-r', '/trash/dir']);
    expect(await items('/trash')).toMatchObject([
      { path: '/trash/dir', kind: 'directory', reason: 'deleted' },
      { path: '/trash/a', kind: 'file', reason: 'replaced', size: 1 },
    ]);
    expect(await dfs(['trash', 'ls', '/trash'])).toEqual(done('/trash/dir/\n/trash/a\n'));
    expect((await dfs(['trash', 'ls', '-l', '/trash/dir']))[1]).toMatch(
      /deleted .* \/trash\/dir\/\n$/,
    );
    expect(await dfs(['trash', 'restore', '/trash/dir'])).toEqual(done('/trash/dir\n'));
    expect(await content('/trash/dir/y')).toBe('y');
    expect(await dfs(['trash', 'restore', '/trash/dir'])).toEqual(
      failed(3, /'\/trash\/dir' is not in the trash/),
    );
    expect((await dfs(['trash', 'restore', '/trash/a']))[0]).toBe(5);
    expect(await dfs(['trash', 'restore', '/trash/a', '--to', '/trash/first'])).toEqual(
      done('/trash/first\n'),
    );
    expect([await content('/trash/first'), await content('/trash/a')]).toEqual(['a', 'second']);
  });

  it('is emptied when that was agreed to, and what is removed for good never gets there', async () => {
    await store('/trash2/a', '/trash2/b', '/trash2/c');
    await dfs(['rm', '/trash2/a', '/trash2/b']);
    await dfs(['rm', '--forever', '/trash2/c']);
    expect((await items('/trash2')).map(({ path }) => path).toSorted()).toEqual([
      '/trash2/a',
      '/trash2/b',
    ]);
    expect(await dfs(['trash', 'empty', '/trash2'], { stdin: '' })).toEqual(
      failed(1, /Nothing was deleted/),
    );
    const [one] = await items('/trash2/a');
    expect(await dfs(['trash', 'empty', one?.id ?? '', '--yes'])).toEqual(
      done('1 item deleted for good.\n'),
    );
    expect((await dfs(['trash', 'empty', '/trash2'], { stdin: 'y\n' }))[0]).toBe(0);
    expect(await items('/trash2')).toEqual([]);
  });
});

describe('dfs copies', () => {
  it('sets the copies of files and directories, and dfs stat shows them', async () => {
    await store('/copies/a', '/copies/dir/sub/c');
    expect((await dfs(['copies', '1', '/copies/dir']))[0]).toBe(0);
    expect(await cluster.dfsJson(['stat', '/copies/dir'])).toMatchObject({ copiesSet: 1 });
    expect((await dfs(['stat', '/copies/dir']))[1]).toMatch(/^copies +1 set here$/m);
    await waitUntil(
      'the copies to be swept',
      async () => (await cluster.stat('/copies/dir/sub/c')).copies.wanted === 1,
    );
    expect(await cluster.dfsJson(['copies', 'inherit', '/copies/dir'])).not.toHaveProperty(
      'copiesSet',
    );
    await waitUntil(
      'the copies to be swept back',
      async () => (await cluster.stat('/copies/dir/sub/c')).copies.wanted === 2,
    );
    expect((await dfs(['copies', 'many', '/copies']))[0]).toBe(2);
    expect((await dfs(['copies', '2', '/copies/nope', '/copies/a']))[0]).toBe(3);
  });
});

describe('failures', () => {
  it('are one JSON line to programs, whatever the number of arguments', async () => {
    const [code, stdout, stderr] = await dfs(['rm', '/nope-1', '/nope-2', '--json']);
    expect([code, stdout]).toEqual([3, '[]\n']);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: 'not-found', message: expect.stringMatching(/nope-1.*nope-2/) },
    });
  });
  it('that end everything are said once', async () => {
    const away = { environment: { DFS_URL: 'http://127.0.0.1:1' } };
    const [code, , stderr] = await dfs(['rm', '/a', '/b', '/c'], away);
    expect([code, stderr.match(/No store answers/g)?.length]).toEqual([6, 1]);
    const denied = await dfs(['mkdir', '/x'], { environment: { DFS_KEY: 'a wrong key' } });
    expect(denied[0]).toBe(4);
  });
});
