import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { commandsOf, done, failed } from './harness/commands.ts';
import { contentOf } from './harness/content.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startCluster({
    nodes: 2,
    environment: { DFS_TRASH_TTL: '1h', DFS_HOT_READS: '20' },
  });
});
afterAll(() => cluster?.dispose());
// A test that failed leaves no other directory to the next one.
afterEach(() => cluster?.dfs(['cd']));

const { dfs, store } = commandsOf(() => cluster);

describe('dfs cd', () => {
  it('is remembered by later calls, and every path starts from there', async () => {
    await store('/cd/sub/a.txt', '/cd/b.txt');
    expect(await dfs(['pwd'])).toEqual(done('/\n'));
    expect(await dfs(['cd', 'cd/sub'])).toEqual(done());
    expect(await dfs(['pwd'])).toEqual(done('/cd/sub\n'));
    expect(await dfs(['ls'])).toEqual(done('a.txt\n'));
    expect(await dfs(['cat', 'a.txt', '../b.txt', '/cd/sub/./a.txt'])).toEqual(
      done('a.txtb.txta.txt'),
    );
    const put = await cluster.dfsJson(['put', '-', 'put.txt'], { stdin: 'x' });
    expect(put).toMatchObject({ path: '/cd/sub/put.txt' });
    expect(await cluster.dfsJson(['put', '-', '../up.txt'], { stdin: 'x' })).toMatchObject({
      path: '/cd/up.txt',
    });
    expect(await cluster.dfsJson(['stat', 'a.txt'])).toMatchObject({ path: '/cd/sub/a.txt' });
    expect((await dfs(['get', 'a.txt', '-']))[1]).toBe('a.txt');
    expect((await dfs(['replicas', 'a.txt']))[0]).toBe(0);
    expect((await dfs(['log', '../b.txt']))[0]).toBe(0);
    expect(await dfs(['cd', '..'])).toEqual(done());
    expect(await dfs(['pwd', '--json'])).toEqual(done('{\n  "path": "/cd"\n}\n'));
    expect(await dfs(['cd', '-'])).toEqual(done('/cd/sub\n'));
    expect(await dfs(['cd'])).toEqual(done());
    expect(await dfs(['pwd'])).toEqual(done('/\n'));
  });

  it('refuses what is no directory, and stays where it was', async () => {
    await store('/cd2/file');
    await dfs(['cd', '/cd2']);
    expect(await dfs(['cd', 'file'])).toEqual(failed(5, /cd: 'file': Not a directory/));
    expect(await dfs(['cd', 'nope'])).toEqual(failed(3, /cd: 'nope': No such file or directory/));
    expect(await dfs(['pwd'])).toEqual(done('/cd2\n'));
  });

  it('is of one user and one store', async () => {
    await cluster.dfs(['cd', '/cd2']);
    const elsewhere = {
      environment: { DFS_URL: `${cluster.url.replace('127.0.0.1', 'localhost')}` },
    };
    expect((await cluster.dfs(['pwd'], elsewhere)).stdout).toBe('/\n');
    const other = { environment: { XDG_STATE_HOME: '/dev/null/state' } };
    expect((await cluster.dfs(['pwd'], other)).stdout).toBe('/\n');
    expect((await cluster.dfs(['cd', '/cd2'], other)).stderr).toMatch(/XDG_STATE_HOME/);
    await cluster.dfs(['cd']);
  });
});

describe('patterns', () => {
  beforeAll(async () => {
    await store('/glob/a.txt', '/glob/b.txt', '/glob/c.md', '/glob/.dot.txt');
    await store(
      '/glob/sub/d.txt',
      '/glob/sub/deep/e.txt',
      '/glob/sub2/f.md',
      '/glob/x*y',
      '/glob/xzy',
    );
  });
  it.each([
    [['/glob/*.txt'], ['/glob/a.txt', '/glob/b.txt']],
    [['/glob/[!a].txt'], ['/glob/b.txt']],
    [['/glob/.*'], ['/glob/.dot.txt']],
    [['/glob/*/*.txt'], ['/glob/sub/d.txt']],
    [['/g*/s*/../a.txt'], ['/glob/sub/../a.txt', '/glob/sub2/../a.txt']],
    [['/glob/sub*/'], ['/glob/sub', '/glob/sub2']],
    [['/glob/**/*.txt'], ['/glob/a.txt', '/glob/b.txt', '/glob/sub/d.txt', '/glob/sub/deep/e.txt']],
    [['/glob/**/deep/*'], ['/glob/sub/deep/e.txt']],
    [['/glob/sub/**'], ['/glob/sub/d.txt', '/glob/sub/deep', '/glob/sub/deep/e.txt']],
    // A name that is there as it is written is meant.
    [['/glob/x*y'], ['/glob/x*y']],
    [['/glob/x?y'], ['/glob/x*y', '/glob/xzy']],
  ])('%j are the names that they match', async (words, names) => {
    const [code, stdout, stderr] = await dfs(['ls', '-d', ...words]);
    expect([code, stderr]).toEqual([0, '']);
    expect(
      stdout
        .split('\n')
        .slice(0, -1)
        .map((name) => name.replace(/\/$/, '')),
    ).toEqual(names);
  });

  it('that match nothing are named, and the rest is done', async () => {
    expect(await dfs(['cat', '/glob/*.none', '/glob/a.txt'])).toEqual(
      failed(3, "dfs cat: '/glob/*.none': No such file or directory", 'a.txt'),
    );
  });

  it('start from the current directory', async () => {
    await dfs(['cd', '/glob/sub']);
    expect(await dfs(['ls', '*.txt', '../*.md'])).toEqual(done('../c.md\nd.txt\n'));
  });
});

describe('dfs ls', () => {
  beforeAll(async () => {
    await store('/ls/b', '/ls/dir/in', '/ls/dir/sub/deep');
    await cluster.store('/ls/a', 'x'.repeat(2_000));
    await dfs(['touch', '-d', '2020-05-06 07:08:09', '/ls/b']);
  });
  it('lists names, long lines, readable sizes, and orders', async () => {
    expect(await dfs(['ls', '/ls'])).toEqual(done('a\nb\ndir/\n'));
    expect(await dfs(['ls', '-1a', '/ls'])).toEqual(done('a\nb\ndir/\n'));
    expect(await dfs(['ls', '-r', '/ls'])).toEqual(done('dir/\nb\na\n'));
    expect((await dfs(['ls', '-t', '/ls']))[1].split('\n').at(-2)).toBe('b');
    expect((await dfs(['ls', '-S', '/ls']))[1].split('\n')[0]).toBe('a');
    const [, long] = await dfs(['ls', '-lh', '/ls']);
    expect(long).toMatch(
      /^-- +2\.0 KiB .*\ba\n-- +1 B {2}2020-05-06 07:08:09 {2}b\nd- .* dir\/\n$/,
    );
  });
  it('lists several, files first, and all below', async () => {
    expect(await dfs(['ls', '/ls/dir', '/ls/b', '/nope'])).toEqual(
      failed(
        3,
        "dfs ls: cannot access '/nope': No such file or directory",
        '/ls/b\n\n/ls/dir:\nin\nsub/\n',
      ),
    );
    expect(await dfs(['ls', '-R', '/ls/dir'])).toEqual(
      done('/ls/dir:\nin\nsub/\n\n/ls/dir/sub:\ndeep\n'),
    );
    expect(await dfs(['ls', '-d', '/ls/dir'])).toEqual(done('/ls/dir/\n'));
    expect(await dfs(['ls', '/ls/b/'])).toEqual(
      failed(5, "dfs ls: cannot access '/ls/b/': Not a directory"),
    );
  });
  it('lists more than a page in byte order, once each', async () => {
    const names = Array.from({ length: 1_100 }, (_, index) => `f${String(index).padStart(5, '0')}`);
    const commands = names.map((name) => `touch /many/${name}`).join('\n');
    expect((await dfs(['shell', '-e'], { stdin: commands }))[0]).toBe(0);
    expect((await dfs(['ls', '/many']))[1].split('\n').slice(0, -1)).toEqual(names);
    const listed = await cluster.dfsJson<{ name: string }[]>(['ls', '/many']);
    expect(listed.map(({ name }) => name)).toEqual(names);
  });
});

describe('dfs find', () => {
  beforeAll(async () => {
    await store(
      '/find/a.txt',
      '/find/b.JPG',
      '/find/dir/c.jpg',
      '/find/dir/sub/d.txt',
      '/find/.hid',
    );
    await cluster.store('/find/big.bin', 'x'.repeat(5_000));
    await cluster.store('/find/zero', '');
    await dfs(['mkdir', '/find/dir/void']);
    await dfs(['touch', '-d', '40 days ago', '/find/a.txt']);
  });
  it.each([
    ['-name *.txt', 'a.txt dir/sub/d.txt'],
    ['-iname *.jpg', 'b.JPG dir/c.jpg'],
    ['--name=*.jpg', 'dir/c.jpg'],
    ['-type d', '. dir dir/sub dir/void'],
    ['-type f -size +4k', 'big.bin'],
    ['-size 0', 'zero'],
    ['-size -2c -size +0c', 'none'],
    ['-mtime +30', 'a.txt'],
    ['-type f -mtime -1 -name ?.*', 'b.JPG dir/c.jpg dir/sub/d.txt'],
    ['-empty', 'dir/void zero'],
    ['-maxdepth 1 -empty', 'zero'],
    ['-maxdepth 2 -type d -empty', 'dir/void'],
    ['-maxdepth 0', '.'],
    ['-mindepth 2 -type f', 'dir/c.jpg dir/sub/d.txt'],
    ['-path */sub/*', 'dir/sub/d.txt'],
    ['-newer /find/a.txt -name *.txt', 'dir/sub/d.txt'],
    ['-newermt yesterday -name [ab]*', 'b.JPG big.bin'],
    ['-name .*', '.hid'],
  ])('%s finds %s', async (tests, expected) => {
    const [code, stdout, stderr] = await dfs(['find', '/find', ...tests.split(' ')]);
    expect([code, stderr]).toEqual([0, '']);
    const names = expected
      .split(' ')
      .filter((name) => name !== 'none')
      .map((name) => (name === '.' ? '/find' : `/find/${name}`));
    expect(stdout.split('\n').slice(0, -1).toSorted()).toEqual(names.toSorted());
  });

  it('tells facts to programs, and goes on after what is not there', async () => {
    const found = await cluster.dfsJson<object[]>(['find', '/find', '-name', 'a.txt']);
    expect(found).toMatchObject([
      { path: '/find/a.txt', kind: 'file', size: 5, md5: expect.any(String) },
    ]);
    expect(await dfs(['find', '/nope', '/find/zero', '/find/dir/sub'])).toEqual(
      failed(
        3,
        "dfs find: '/nope': No such file or directory",
        '/find/zero\n/find/dir/sub\n/find/dir/sub/d.txt\n',
      ),
    );
    for (const wrong of [
      ['-type', 'x'],
      ['-size', 'big'],
      ['-mtime', 'x'],
      ['-exec', 'rm'],
      ['-name', 'a', '-o'],
    ]) {
      expect((await dfs(['find', '/find', ...wrong]))[0], wrong.join(' ')).toBe(2);
    }
  });
});

describe('dfs du, tree and stat', () => {
  beforeAll(async () => {
    await cluster.store('/du/a', 'x'.repeat(1_000));
    await cluster.store('/du/dir/b', 'x'.repeat(2_000));
    await cluster.store('/du/dir/sub/c', 'x'.repeat(3_000));
    await dfs(['mkdir', '/du/void']);
  });
  it('sum up, seconds after the last change', async () => {
    await waitUntil('the sums to be folded', async () => {
      const [, stdout] = await dfs(['du', '-s', '/du']);
      return stdout === '6000\t/du\n';
    });
    expect(await dfs(['du', '/du'])).toEqual(
      done('3000\t/du/dir/sub\n5000\t/du/dir\n0\t/du/void\n6000\t/du\n'),
    );
    expect(await dfs(['du', '-d', '1', '/du'])).toEqual(
      done('5000\t/du/dir\n0\t/du/void\n6000\t/du\n'),
    );
    expect(await dfs(['du', '-shc', '/du/dir', '/du/a'])).toEqual(
      done('4.9 KiB\t/du/dir\n1000 B\t/du/a\n5.9 KiB\ttotal\n'),
    );
    for (const [flags, size] of [
      ['-sb', '5000'],
      ['-sbk', '5'],
      ['-skb', '5000'],
      ['-skh', '4.9 KiB'],
      ['-shk', '5'],
    ] as const) {
      expect(await dfs(['du', flags, '/du/dir'])).toEqual(done(`${size}\t/du/dir\n`));
    }
    expect(await dfs(['du', '-a', '/du/dir/sub'])).toEqual(
      done('3000\t/du/dir/sub/c\n3000\t/du/dir/sub\n'),
    );
    expect(await cluster.dfsJson(['du', '-s', '/du'])).toEqual([
      { path: '/du', bytes: 6_000, files: 3, directories: 3 },
    ]);
    expect((await dfs(['stat', '/du']))[1]).toMatch(
      /^holds +5\.9 KiB in 3 files and 3 directories$/m,
    );
  });
  it('draw', async () => {
    const drawing = [
      '/du',
      '├── a',
      '├── dir',
      '│   ├── b',
      '│   └── sub',
      '│       └── c',
      '└── void',
      '',
      '3 directories, 3 files',
      '',
    ];
    expect(await dfs(['tree', '/du'])).toEqual(done(drawing.join('\n')));
    expect(await dfs(['tree', '-a', '/du'])).toEqual(done(drawing.join('\n')));
    expect(await dfs(['tree', '-d', '-L', '1', '/du'])).toEqual(
      done('/du\n├── dir\n└── void\n\n2 directories\n'),
    );
    expect(await cluster.dfsJson(['tree', '/du'])).toMatchObject([
      {
        path: '/du',
        entries: [
          { name: 'a' },
          { name: 'dir', entries: [{ name: 'b' }, { name: 'sub' }] },
          { name: 'void' },
        ],
      },
    ]);
  });
});

describe('dfs cache and dfs hot', () => {
  interface Outcome {
    readonly node: { readonly name: string };
    readonly outcome: string;
  }
  interface Hot {
    readonly limit: number;
    readonly files: readonly {
      readonly path: string;
      readonly readsPerMinute: number;
      readonly cached: readonly { readonly name: string }[];
    }[];
  }
  const outcomes = async (...args: string[]) => {
    const { nodes } = await cluster.dfsJson<{ nodes: Outcome[] }>(['cache', ...args]);
    return Object.fromEntries(nodes.map(({ node, outcome }) => [node.name, outcome]));
  };
  /** A file of one copy; the names of the node that stores it and of the other one. */
  const storeOnce = async (path: string) => {
    await dfs(['mkdir', '-p', '/once']);
    await dfs(['copies', '1', '/once']);
    const { primary } = await cluster.store(path, contentOf(path, 1_500_000));
    const [other] = (await cluster.nodes()).filter(({ name }) => name !== primary.name);
    return { primary: primary.name, other: other?.name ?? '' };
  };

  it('have a node keep a file by hand, and let go of it', async () => {
    const { primary, other } = await storeOnce('/once/by hand');
    expect(await outcomes('/once/by hand')).toEqual({ [primary]: 'stored', [other]: 'ordered' });
    await waitUntil('the node to tell that it caches it', async () => {
      const [code, shown] = await dfs(['cache', '/once/by*', '--on', other]);
      return code === 0 && shown.includes('caches it');
    });
    expect((await cluster.stat('/once/by hand')).copies).toEqual({ stored: 1, wanted: 1 });
    expect(await outcomes('/once/by hand', '--drop')).toEqual({
      [primary]: 'dropped',
      [other]: 'dropped',
    });
    expect((await outcomes('/once/by hand', '--on', '1'))[other]).toBe('ordered');
    await dfs(['rm', '/once/by hand']);
    await store('/twice.txt');
    await waitUntil('each node to store it', async () => {
      return (await cluster.stat('/twice.txt')).copies.stored === 2;
    });
    expect(await dfs(['cache', '/twice.txt', '--on', '1'])).toEqual(
      done(
        'No further node can cache it: each stores it, is down, or caches nothing (DFS_CACHE_BYTES).\n',
      ),
    );
    await store('/twice too.txt');
    expect(await cluster.dfsJson(['cache', '/twice*', '--drop'])).toMatchObject([
      { path: '/twice too.txt' },
      { path: '/twice.txt' },
    ]);
  });

  it('refuse what makes no sense', async () => {
    await store('/once.txt');
    expect(await dfs(['cache', '/once.txt', '--priority', 'x'])).toEqual(failed(2, /no priority/));
    expect(await dfs(['cache', '/once.txt', '--priority', '21'])).toEqual(
      failed(2, /"21" is no priority/),
    );
    expect(await dfs(['cache', '/once.txt', '--on', '0'])).toEqual(
      failed(2, /0 is no number of nodes/),
    );
    expect(await dfs(['cache', '/once.txt', '--on', 'attic'])).toEqual(failed(3, /cache:/));
    expect(await dfs(['cache', '/none.txt'])).toEqual(
      failed(3, /cannot cache '\/none.txt': No such file or directory/),
    );
    expect(await dfs(['cache', '/'])).toEqual(failed(5, /Is a directory/));
  });

  it('show a file that is read often, and where it is cached until it is removed', async () => {
    const { primary, other } = await storeOnce('/once/hot.bin');
    expect(await dfs(['hot'])).toEqual(done('No file is read more than 20 times a minute.\n'));
    for (let i = 0; i < 25; i += 1) expect((await cluster.get('/once/hot.bin')).status).toBe(200);
    const hot = await waitUntil('the other node to cache it', async () => {
      const answer = await cluster.dfsJson<Hot>(['hot']);
      return answer.files[0]?.cached[0]?.name === other && answer;
    });
    expect(hot).toMatchObject({
      limit: 20,
      files: [{ path: '/once/hot.bin', readsPerMinute: 25 }],
    });
    const [, table] = await dfs(['hot']);
    expect(table).toMatch(new RegExp(`/once/hot\\.bin +25 +1\\.4 MiB +${primary} +${other}`));
    // Both serve it now.
    const served = new Set<unknown>();
    await waitUntil('each of them to give it', async () => {
      const answer = await cluster.get('/once/hot.bin');
      expect(answer.body.equals(contentOf('/once/hot.bin', 1_500_000))).toBe(true);
      served.add(answer.headers['x-dfs-node']);
      return served.size === 2;
    });
    await dfs(['rm', '/once/hot.bin']);
    await waitUntil('its cached bytes to be gone', async () => {
      const cached = (await cluster.nodes()).map(({ cachedBlobs = 0 }) => cachedBlobs);
      return cached.every((count) => count === 0);
    });
    expect((await cluster.dfsJson<Hot>(['hot'])).files).toEqual([]);
  });
});
