import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { commandsOf, done } from './harness/commands.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';

let cluster: LocalCluster;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 2 });
});
afterAll(() => cluster?.dispose());
// A test that failed leaves no other directory to the next one.
afterEach(() => cluster?.dfs(['cd']));

const { dfs, store } = commandsOf(() => cluster);

describe('dfs chmod', () => {
  const strangerGets = async (path: string) =>
    (await cluster.send({ method: 'GET', path: `/fs${path}`, withKey: false })).status;

  it('makes files and directories public and private, and says so', async () => {
    await store('/open/a', '/open/closed/b');
    expect(await dfs(['chmod', 'private', '/open/closed'])).toEqual(
      done("'/open/closed': private, for all that is in it\n"),
    );
    expect(await dfs(['chmod', 'public', '/open'])).toEqual(
      done("'/open': public, for all that is in it\n"),
    );
    await dfs(['put', '-', '/open/later'], { stdin: 'later' });
    const paths = ['/open/a', '/open/later', '/open/', '/open/closed/b', '/open/closed/'];
    expect(await Promise.all(paths.map(strangerGets))).toEqual([200, 200, 200, 401, 401]);
    expect((await dfs(['ls', '-l', '/open']))[1]).toMatch(/^-p .* a\nd- .* closed\/$/m);
    expect((await dfs(['stat', '/open/a']))[1]).toMatch(/^public +yes$/m);
    expect((await dfs(['stat', '/open']))[1]).toMatch(/^public +yes, set here$/m);
    expect(await dfs(['chmod', 'inherit', '/open'])).toEqual(
      done("'/open': private, as its directory is, for all that is in it\n"),
    );
    expect(await Promise.all(paths.map(strangerGets))).toEqual([401, 401, 401, 401, 401]);
  });

  it('goes on after a name that is not there, and knows no digits', async () => {
    await store('/open2/a');
    const answer = await cluster.dfs(['chmod', 'public', '/open2/nope', '/open2/a']);
    expect([answer.code, await strangerGets('/open2/a')]).toEqual([3, 200]);
    expect((await dfs(['chmod', '644', '/open2/a']))[0]).toBe(2);
  });

  it('is not needed after dfs put --public', async () => {
    await dfs(['put', '--public', '-', '/open3'], { stdin: 'seen' });
    expect(await strangerGets('/open3')).toBe(200);
    expect((await dfs(['stat', '/open3']))[1]).toMatch(/^public +yes, set here$/m);
  });
});

describe('dfs key', () => {
  it('makes keys for a part of the tree, lists them and ends them', async () => {
    await store('/team/plans/a', '/teams/b');
    await dfs(['cd', '/team']);
    const made = await cluster.dfs(['key', 'add', '--role', 'write', '--prefix', 'plans']);
    const key = made.stdout.trim();
    expect(made.stderr).toContain('not shown again. Role write, for /team/plans');
    const as = (words: string[]) => cluster.dfs(words, { environment: { DFS_KEY: key } });
    expect((await as(['ls', '/team'])).stdout).toBe('plans/\n');
    expect((await as(['mv', '/team/plans/a', '/team/plans/c'])).code).toBe(0);
    expect((await as(['mv', '/team/plans/c', '/teams/c'])).code).toBe(4);
    expect((await as(['cp', '/teams/b', '/team/plans/'])).code).toBe(4);
    expect((await as(['key', 'ls'])).code).toBe(4);
    const second = await cluster.dfs(['key', 'add', '--name', 'two words', '--json']);
    const { id, ...rest } = second.json<{ id: string; key: string; role: string }>();
    expect(rest).toMatchObject({ role: 'read', prefix: '/', name: 'two words', usable: true });
    const listed = (await cluster.dfs(['key', 'ls', '--json'])).json<{ id: string }[]>();
    expect(listed.map((each) => each.id)).toEqual([id, key.split('.')[0]].toSorted());
    const gone = await cluster.dfs(['key', 'rm', id, 'nosuch', key]);
    expect([gone.code, gone.stderr]).toEqual([
      3,
      "dfs key rm: cannot remove the key 'nosuch': No such key\n",
    ]);
    expect((await as(['ls', '/team'])).code).toBe(4);
    expect(await dfs(['key', 'ls'])).toEqual(done(''));
  });
});

describe('dfs share, grant and unshare', () => {
  const strangerGets = (path: string, headers = {}) =>
    cluster.send({ method: 'GET', path, headers, withKey: false });
  const statusOf = async (path: string) => (await strangerGets(path)).status;
  const pathOf = (link: string) => link.trim().slice(cluster.url.length);

  it('open one private file to whoever has the link, until it is taken back', async () => {
    await store('/shared/one file', '/shared/other');
    const [code, link, stderr] = await dfs(['share', '/shared/one file', '--download']);
    expect([code, stderr]).toEqual([0, '']);
    expect(link).toMatch(
      new RegExp(`^${cluster.url}/fs/shared/one%20file\\?signature=[\\w-]{88}\\n$`),
    );
    const got = await strangerGets(pathOf(link));
    expect([got.status, got.text]).toEqual([200, 'one file']);
    expect(got.headers['content-disposition']).toBe('attachment; filename="one file"');
    expect(await statusOf(pathOf(link).replace('one%20file', 'other'))).toBe(401);
    const second = (
      await cluster.dfsJson<{ url: string }>(['share', '/shared/one file', '--download'])
    ).url;
    expect(await dfs(['unshare', link.trim()])).toEqual(done('The link opens nothing any more\n'));
    expect([await statusOf(pathOf(link)), await statusOf(pathOf(second))]).toEqual([401, 200]);
    expect(await dfs(['unshare', '/shared/one file'])).toEqual(
      done("'/shared/one file': all links are revoked, and 0 grants taken back\n"),
    );
    expect(await statusOf(pathOf(second))).toBe(401);
  });

  it('bind a link to the content, or to the name', async () => {
    await store('/shared2/a');
    const [, bound] = await dfs(['share', '/shared2/a', '--for', '5m']);
    const [, following] = await dfs(['share', '/shared2/a', '--for', '5m', '--follow']);
    await cluster.store('/shared2/a', 'another content');
    expect(await statusOf(pathOf(bound))).toBe(401);
    expect((await strangerGets(pathOf(following))).text).toBe('another content');
  });

  it('let an address in, list it, and take it back', async () => {
    await store('/shared3/a', '/shared3/b');
    expect(await dfs(['grant', '/shared3/a', '127.0.0.1', '--for', '10m'])).toEqual(
      done(expect.stringMatching(/^'\/shared3\/a': 127\.0\.0\.1\/32 may read it until 20/)),
    );
    await dfs(['grant', '/shared3/b', '10.1.2.3/8']);
    expect(await statusOf('/fs/shared3/a')).toBe(200);
    expect(await statusOf('/fs/shared3/b')).toBe(401);
    const forged = await strangerGets('/fs/shared3/b', { 'X-Forwarded-For': '10.1.2.3' });
    expect(forged.status).toBe(401);
    expect((await dfs(['grants', '/shared3']))[1]).toMatch(
      /^NETWORK .*\n127\.0\.0\.1\/32 +20.* admin +\/shared3\/a\n10\.0\.0\.0\/8 +20.* \/shared3\/b\n$/,
    );
    expect(await dfs(['unshare', '/shared3/a', '127.0.0.1'])).toEqual(
      done("'/shared3/a': 1 grant taken back\n"),
    );
    expect(await statusOf('/fs/shared3/a')).toBe(401);
    expect((await dfs(['unshare', '/shared3/a', '127.0.0.1']))[0]).toBe(3);
  });

  it('cut a download that runs under a link that is taken back', async () => {
    await cluster.store('/shared6/big', Buffer.alloc(48 * 2 ** 20, 'x'));
    const [, link] = await dfs(['share', '/shared6/big']);
    const download = await cluster.open({ method: 'GET', path: pathOf(link), withKey: false });
    expect(download.statusCode).toBe(200);
    expect(await dfs(['unshare', link.trim()])).toEqual(
      done('The link opens nothing any more; 1 download cut off\n'),
    );
    await expect(download.resume().toArray()).rejects.toThrow(/aborted/);
  });

  it('refuse what cannot be meant', async () => {
    await store('/shared4/a');
    await dfs(['chmod', 'public', '/shared4']);
    const codes: [number, ...string[]][] = [
      [5, 'share', '/shared4/a'],
      [5, 'share', '/shared4'],
      [3, 'share', '/shared4/nope'],
      [2, 'share', '/shared4/a', '--for', 'ever'],
      [2, 'grant', '/shared4/a', 'example.com'],
      [3, 'unshare', '/shared4/nope'],
      [2, 'unshare', 'http://127.0.0.1:1/fs/x?signature='],
    ];
    for (const [code, ...args] of codes) expect([args, (await dfs(args))[0]]).toEqual([args, code]);
  });

  it('leave no signature in any log', async () => {
    await store('/shared5/a');
    const [, link] = await dfs(['share', '/shared5/a']);
    await strangerGets(pathOf(link));
    await dfs(['unshare', link.trim()]);
    const log = cluster.logs();
    expect(log).toContain('/fs/shared5/a');
    expect(log).not.toContain(link.trim().slice(-60));
    expect(log).not.toContain('signature=');
    expect(log).not.toContain(cluster.key);
  });
});
