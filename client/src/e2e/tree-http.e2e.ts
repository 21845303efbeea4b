import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ListAnswer, StatAnswer } from './harness/answers.ts';
import { contentOf, md5Of } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import type { ErrorAnswer, HttpRequest } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

interface TrashItem {
  readonly id: string;
  readonly path: string;
  readonly reason: string;
  readonly size: number;
  readonly files: number;
}

interface Usage {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/** A tree as HTTP shows it, of a running cluster. */
class HttpTree {
  readonly cluster: LocalCluster;

  constructor(cluster: LocalCluster) {
    this.cluster = cluster;
  }

  send(method: string, path: string, headers: Record<string, string> = {}, body?: string) {
    const request: HttpRequest = { method, path, headers, ...(body === undefined ? {} : { body }) };
    return this.cluster.send(request);
  }

  statusOf = async (method: string, path: string, headers: Record<string, string> = {}) =>
    (await this.send(method, path, headers)).status;

  move = (from: string, to: string, headers: Record<string, string> = {}) =>
    this.statusOf('MOVE', `/fs${from}`, { Destination: `/fs${to}`, ...headers });
  copy = (from: string, to: string, headers: Record<string, string> = {}) =>
    this.statusOf('COPY', `/fs${from}`, { Destination: `/fs${to}`, ...headers });

  api(method: string, path: string, body?: unknown) {
    return this.send(
      method,
      `/api/v1${path}`,
      { 'Content-Type': 'application/json' },
      body === undefined ? undefined : JSON.stringify(body),
    );
  }

  trash = async (path: string) =>
    (await this.api('GET', `/trash?path=${encodeURIComponent(path)}`)).json<{
      items: TrashItem[];
    }>().items;

  usage = async (path: string) => (await this.api('GET', `/usage${path}`)).json<Usage>();

  find = async (path: string) => {
    const { status, text } = await this.cluster.send({ path: `/find${path}` });
    expect(status, text).toBe(200);
    return text.split('\n').slice(0, -1);
  };

  blobsOf = async (path: string) =>
    new Set((await this.cluster.stat(path)).blobs.map((blob) => blob.id));

  onDisk = async (blobs: ReadonlySet<string>) => {
    const copies = await Promise.all(this.cluster.nodeDirectories().map(copiesOnDisk));
    return copies.flat().filter(({ blob }) => blobs.has(blob)).length;
  };
}

/** Runs all of it, so many at a time. */
async function eachOf<T>(items: readonly T[], run: (item: T) => Promise<unknown>, atOnce = 8) {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await run(item);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

describe('the tree over HTTP', () => {
  let cluster: LocalCluster;
  let tree: HttpTree;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2, environment: { DFS_TRASH_TTL: '1h' } });
    tree = new HttpTree(cluster);
    await cluster.store('/rows/file', 'text');
    await cluster.store('/rows/full/file', 'text');
    await tree.statusOf('MKCOL', '/fs/rows/empty');
  });
  afterAll(() => cluster?.dispose());

  const to = (path: string) => ({ Destination: path });
  it.each<[string, string, Record<string, string>, number, string | undefined]>([
    ['MKCOL', '/fs/rows/made', {}, 201, undefined],
    ['MKCOL', '/fs/rows/empty', {}, 405, 'method-not-allowed'],
    ['MKCOL', '/fs/rows/file', {}, 405, 'method-not-allowed'],
    ['MKCOL', '/fs/rows/no/such', {}, 409, 'conflict'],
    ['MKCOL', '/fs/rows/file/below', {}, 409, 'not-a-directory'],
    ['MKCOL', '/fs/rows/a/b/c?parents=1', {}, 201, undefined],
    ['MKCOL', '/fs/rows/a/b/c?parents=1', {}, 200, undefined],
    ['MKCOL', '/fs/rows/%2e%2e/up', {}, 400, 'invalid-path'],
    ['DELETE', '/fs/rows/nothing', {}, 404, 'not-found'],
    ['DELETE', '/fs/rows/file/', {}, 404, 'not-found'],
    ['DELETE', '/fs/rows/full?expect=file', {}, 409, 'is-a-directory'],
    ['DELETE', '/fs/rows/full?expect=empty-directory', {}, 409, 'conflict'],
    ['DELETE', '/fs/rows/file?expect=empty-directory', {}, 409, 'not-a-directory'],
    ['DELETE', '/fs/rows/file?trash=maybe', {}, 400, 'invalid-request'],
    ['DELETE', '/fs/rows/full', { Depth: '0' }, 400, 'invalid-request'],
    ['DELETE', '/fs/rows/file', { 'If-Match': '"other"' }, 412, 'precondition-failed'],
    ['DELETE', '/fs/', {}, 409, 'conflict'],
    ['MOVE', '/fs/rows/file', {}, 400, 'invalid-request'],
    ['MOVE', '/fs/rows/file', to('rows/x'), 400, 'invalid-request'],
    ['MOVE', '/fs/rows/file', to('/fs/rows/x?y'), 400, 'invalid-request'],
    ['MOVE', '/fs/rows/file', to('/fs/rows/a%2Fb'), 400, 'invalid-path'],
    ['MOVE', '/fs/rows/file', to('http://elsewhere.example/fs/x'), 502, 'other-server'],
    ['MOVE', '/fs/rows/file', to('/api/v1/x'), 502, 'other-server'],
    ['MOVE', '/fs/rows/file', to('/fs/rows/file'), 403, 'forbidden'],
    ['MOVE', '/fs/rows/full', to('/fs/rows/full/in'), 409, 'conflict'],
    ['MOVE', '/fs/rows/file', to('/fs/rows/no/x'), 409, 'conflict'],
    ['MOVE', '/fs/rows/file', to('/fs/rows/full/file/x'), 409, 'not-a-directory'],
    [
      'MOVE',
      '/fs/rows/file',
      { ...to('/fs/rows/full'), Overwrite: 'F' },
      412,
      'precondition-failed',
    ],
    ['MOVE', '/fs/rows/file', { ...to('/fs/rows/x'), Overwrite: 'yes' }, 400, 'invalid-request'],
    ['MOVE', '/fs/rows/full', { ...to('/fs/rows/x'), Depth: '0' }, 400, 'invalid-request'],
    ['MOVE', '/fs/rows/nothing', to('/fs/rows/x'), 404, 'not-found'],
    ['MOVE', '/fs/', to('/fs/rows/x'), 409, 'conflict'],
    ['COPY', '/fs/rows/file', to('/fs/rows/copied'), 201, undefined],
    ['COPY', '/fs/rows/file', to('/fs/rows/copied'), 204, undefined],
    ['COPY', '/fs/rows/full', to('/fs/rows/full/in'), 409, 'conflict'],
    ['COPY', '/fs/rows/full', { ...to('/fs/rows/x'), Depth: '1' }, 400, 'invalid-request'],
    ['COPY', '/fs/rows/full', { ...to('/fs/rows/alone'), Depth: '0' }, 201, undefined],
    ['POST', '/find/', {}, 405, 'method-not-allowed'],
    ['GET', '/find/nothing/', {}, 404, 'not-found'],
    ['GET', '/api/v1/usage/nothing', {}, 404, 'not-found'],
    ['DELETE', '/api/v1/usage/rows', {}, 405, 'method-not-allowed'],
    ['GET', '/api/v1/trash?limit=0', {}, 400, 'invalid-request'],
    ['GET', '/api/v1/trash?after=nonsense', {}, 400, 'invalid-request'],
  ])('%s %s with %j is %i', async (method, path, headers, status, code) => {
    const answer = await tree.send(method, path, headers);
    expect([answer.status, answer.text]).toEqual([status, expect.anything()]);
    if (code !== undefined) expect(answer.json<ErrorAnswer>().error.code).toBe(code);
    expect((await cluster.get('/rows/file')).text).toBe('text');
    expect((await cluster.get('/rows/full/file')).text).toBe('text');
  });

  it('refuses bodies that are no JSON, too long, or of another kind', async () => {
    const json = { 'Content-Type': 'application/json' };
    const post = async (body: string, headers: Record<string, string> = json) => {
      const answer = await tree.send('POST', '/api/v1/trash/restore', headers, body);
      return answer.status;
    };
    expect(await post('{')).toBe(400);
    expect(await post('[]')).toBe(400);
    expect(await post('{"id":"x"}')).toBe(400);
    expect(await post('id=x', { 'Content-Type': 'application/x-www-form-urlencoded' })).toBe(415);
    expect(await post(`{"id":"${'x'.repeat(2 * 2 ** 20)}"}`)).toBe(413);
    expect((await tree.send('MKCOL', '/fs/rows/withbody', {}, '<xml/>')).status).toBe(415);
  });

  it('moves a directory back to front while it is read: no reader misses or mixes a file', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `file-${i}`);
    await eachOf(names, (name) => cluster.store(`/moving/0/deep/${name}`, contentOf(name, 5_000)));
    const movesAll = 60;
    let at = 0;
    const mover = async () => {
      for (; at < movesAll; at += 1) {
        expect(await tree.move(`/moving/${at}`, `/moving/${at + 1}`)).toBe(201);
      }
    };
    let found = 0;
    // The directory only goes on: who looks for it from a place that it had, place by place, must meet it.
    const seek = async <T>(look: (place: string) => Promise<T | undefined>): Promise<T> => {
      for (let place = at; place <= movesAll; place += 1) {
        const seen = await look(`/moving/${place}/deep`);
        if (seen !== undefined) return seen;
      }
      throw new Error('The directory was nowhere.');
    };
    const reader = async (first: number) => {
      for (let i = first; at < movesAll; i += 1) {
        const name = names[i % names.length] as string;
        const md5 = await seek(async (place) => {
          const answer = await cluster.get(`${place}/${name}`);
          expect([200, 404]).toContain(answer.status);
          return answer.status === 200 ? md5Of(answer.body) : undefined;
        });
        expect(md5).toBe(md5Of(contentOf(name, 5_000)));
        found += 1;
      }
    };
    const lister = async () => {
      while (at < movesAll) {
        const listed = await seek(async (place) => {
          const answer = await cluster.send({ path: `/fs${place}/?format=json` });
          expect([200, 404]).toContain(answer.status);
          if (answer.status === 404) return undefined;
          return answer.json<ListAnswer>().entries.map(({ name }) => name);
        });
        expect(listed).toEqual(names);
      }
    };
    await Promise.all([mover(), reader(0), reader(3), reader(6), lister()]);
    expect(found).toBeGreaterThan(10);
    expect(await tree.find('/moving/')).toEqual(
      names.map((name) => `/moving/${movesAll}/deep/${name}`),
    );
  });

  it('loses no upload that races with a move of the directory it goes to', async () => {
    const paths = Array.from({ length: 120 }, (_, i) => `/racing/in/f${i}`);
    await cluster.store('/racing/in/first', 'first');
    let moves = 0;
    let isDone = false;
    const mover = async () => {
      while (!isDone) {
        const status = await tree.move('/racing/in', `/racing/out-${moves}`);
        expect([201, 404]).toContain(status);
        if (status === 201) moves += 1;
      }
    };
    const uploads = async () => {
      await eachOf(paths, (path) => cluster.store(path, contentOf(path, 2_000)), 6);
      isDone = true;
    };
    await Promise.all([mover(), uploads()]);
    expect(moves).toBeGreaterThan(1);
    const places = await tree.find('/racing/');
    const names = places.map((path) => path.slice(path.lastIndexOf('/') + 1));
    expect(names.sort()).toEqual(['first', ...paths.map((path) => path.slice(11))].sort());
    await eachOf(places, async (place) => {
      const name = place.slice(place.lastIndexOf('/') + 1);
      const expected =
        name === 'first' ? Buffer.from('first') : contentOf(`/racing/in/${name}`, 2_000);
      expect((await cluster.get(place)).body.equals(expected)).toBe(true);
    });
  });

  describe('of 20 000 files', () => {
    const filesPerDirectory = 500;
    const directories = 40;
    const all = filesPerDirectory * directories;
    beforeAll(async () => {
      const paths = Array.from(
        { length: filesPerDirectory },
        (_, i) => `/big/00/${i % 5}/f${String(i).padStart(3, '0')}`,
      );
      await eachOf(paths, (path) => cluster.store(path, path));
      const targets = Array.from({ length: directories - 1 }, (_, i) =>
        String(i + 1).padStart(2, '0'),
      );
      await eachOf(
        targets,
        async (target) => expect(await tree.copy('/big/00', `/big/${target}`)).toBe(201),
        4,
      );
    });

    it('finds every one, once, in order, and can be left in the middle', async () => {
      const found = await tree.find('/big/');
      expect(found).toHaveLength(all);
      expect(found).toEqual([...new Set(found)].sort());
      for (let round = 0; round < 20; round += 1) {
        const answer = await cluster.open({ path: '/find/big/?format=json' });
        await once(answer, 'data');
        answer.destroy();
      }
      expect(await tree.find('/big/')).toEqual(found);
    });

    it('knows how much they are, seconds later', async () => {
      const bytes = filesPerDirectory * '/big/00/0/f000'.length * directories;
      await waitUntil('sizes to be folded', async () => {
        const usage = await tree.usage('/big');
        expect(usage).toMatchObject({ files: all, directories: directories * 6, bytes });
        return true;
      });
      const listing = await cluster.send({ path: '/fs/big/?format=json' });
      expect(listing.json<ListAnswer & { usage: Usage }>().usage.files).toBe(all);
      const page = await cluster.send({ path: '/fs/big/', headers: { Accept: 'text/html' } });
      expect(page.text).toContain('<footer>20,000 files, 240 directories, ');
    });

    it('copies them all, and the copy does not need the original', async () => {
      expect(await tree.copy('/big', '/copy')).toBe(201);
      expect(await tree.statusOf('DELETE', '/fs/big?trash=0')).toBe(204);
      expect(await tree.find('/')).not.toContainEqual(expect.stringMatching(/^\/big\//));
      const found = await tree.find('/copy/');
      expect(found).toHaveLength(all);
      const some = found.filter((_, i) => i % 997 === 0);
      await eachOf(some, async (path) => {
        const { text } = await cluster.get(path);
        expect(text).toBe(path.replace(/^\/copy\/\d\d/, '/big/00'));
      });
    });

    it('deletes them in one go, and their blobs leave in the background', async () => {
      const [path = ''] = await tree.find('/copy/');
      const blobs = await tree.blobsOf(path);
      expect(await tree.onDisk(blobs)).toBeGreaterThan(0);
      expect(await tree.statusOf('DELETE', '/fs/copy?trash=0')).toBe(204);
      expect((await cluster.get(path)).status).toBe(404);
      expect(await tree.statusOf('GET', '/find/copy/')).toBe(404);
      await waitUntil('the blobs to leave', async () => (await tree.onDisk(blobs)) === 0, {
        withinMs: 120_000,
      });
    });
  });

  describe('the trash', () => {
    it('brings a directory back with the same bytes, after its copies were made', async () => {
      const paths = ['/kept/a', '/kept/b/c'];
      for (const path of paths) await cluster.store(path, contentOf(path, 100_000));
      await cluster.waitForCopies(paths, 2);
      const before = await Promise.all(paths.map((path) => cluster.stat(path)));
      expect(await tree.statusOf('DELETE', '/fs/kept')).toBe(204);
      expect((await cluster.get('/kept/a')).status).toBe(404);
      const [item] = await tree.trash('/kept');
      expect(item).toMatchObject({ path: '/kept', reason: 'deleted' });
      // Sums of directories are seconds late.
      await waitUntil('its size to be known', async () => {
        expect(await tree.trash('/kept')).toMatchObject([{ files: 2, size: 200_000 }]);
        return true;
      });
      await cluster.waitForAllCopies();
      const answer = await tree.api('POST', '/trash/restore', { id: item?.id });
      expect(answer.json()).toEqual({ path: '/kept' });
      const after = await Promise.all(paths.map((path) => cluster.stat(path)));
      const facts = (stats: readonly StatAnswer[]) => stats.map(({ id, md5 }) => [id, md5]);
      expect(facts(after)).toEqual(facts(before));
      for (const path of paths) {
        expect((await cluster.get(path)).body.equals(contentOf(path, 100_000))).toBe(true);
      }
      await cluster.waitForCopies(paths, 2);
    });

    it('keeps blobs on the disks until it is emptied', async () => {
      const path = '/emptied.bin';
      await cluster.store(path, contentOf(path, 50_000));
      await cluster.waitForCopies([path], 2);
      const blobs = await tree.blobsOf(path);
      await tree.statusOf('DELETE', `/fs${path}`);
      await waitUntil('more than the grace time', async () => {
        const other = '/clock.bin';
        await cluster.store(other, contentOf(other, 10));
        const old = await tree.blobsOf(other);
        await tree.statusOf('DELETE', `/fs${other}?trash=0`);
        await waitUntil('what has no name to leave', async () => (await tree.onDisk(old)) === 0);
        return true;
      });
      expect(await tree.onDisk(blobs)).toBe(2);
      expect((await tree.api('POST', '/trash/empty', { path })).json()).toEqual({ removed: 1 });
      expect(await tree.trash(path)).toEqual([]);
      await waitUntil('its blobs to leave', async () => (await tree.onDisk(blobs)) === 0);
    });
  });

  it('gives what is below a directory as many copies as were asked for there, up and down', async () => {
    const paths = ['/counted/a', '/counted/b/c'];
    for (const path of paths) await cluster.store(path, contentOf(path, 20_000));
    await cluster.waitForCopies(paths, 2);
    const set = async (copies: number | null) =>
      (await tree.api('PUT', '/copies/counted', { copies })).status;
    expect(await set(1)).toBe(200);
    await cluster.waitForCopies(paths, 1);
    await cluster.store('/counted/new', contentOf('new', 20_000));
    await cluster.waitForCopies(['/counted/new'], 1);
    expect(await set(null)).toBe(200);
    await cluster.waitForCopies([...paths, '/counted/new'], 2);
  });

  it('keeps the time that a PUT says, and touches', async () => {
    const modified = '1999-12-31T23:59:59.123Z';
    await cluster.store('/dated', 'x', { headers: { 'X-DFS-Modified': modified } });
    expect(await cluster.stat('/dated')).toMatchObject({ modified });
    expect((await tree.api('POST', '/touch/dated', {})).status).toBe(204);
    expect(await cluster.stat('/dated')).not.toMatchObject({ modified });
    expect((await tree.api('POST', '/touch/new/empty', { modified })).status).toBe(204);
    expect(await cluster.stat('/new/empty')).toMatchObject({ modified, size: 0 });
    expect((await tree.api('POST', '/touch/none', { create: false })).status).toBe(404);
  });

  it('says what of its upkeep is behind', async () => {
    const { text } = await cluster.send({ path: '/metrics' });
    for (const name of ['dfs_trash_files', 'dfs_trash_bytes', 'dfs_sizes_lag_seconds']) {
      expect(text).toMatch(new RegExp(`^${name} \\d`, 'm'));
    }
  });
});

describe('a trash that forgets soon', () => {
  let cluster: LocalCluster;
  let tree: HttpTree;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2, environment: { DFS_TRASH_TTL: '3s' } });
    tree = new HttpTree(cluster);
  });
  afterAll(() => cluster?.dispose());

  it('lets what it holds go by itself, from the list and from the disks', async () => {
    await cluster.store('/d/a', contentOf('a', 10_000));
    await cluster.store('/d/b/c', contentOf('c', 10_000));
    await cluster.waitForCopies(['/d/a', '/d/b/c'], 2);
    await cluster.store('/r', 'old');
    await cluster.store('/r', 'new');
    await tree.statusOf('DELETE', '/fs/d');
    const [item] = await tree.trash('/d');
    expect(item?.path).toBe('/d');
    await waitUntil('the item to expire', async () => (await tree.trash('/')).length === 0);
    expect((await tree.api('POST', '/trash/restore', { id: item?.id })).status).toBe(404);
    await cluster.waitUntilTidy();
    expect((await cluster.get('/r')).text).toBe('new');
  });
});

describe('without a trash', () => {
  let cluster: LocalCluster;
  let tree: HttpTree;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2, environment: { DFS_TRASH_TTL: '0' } });
    tree = new HttpTree(cluster);
  });
  afterAll(() => cluster?.dispose());

  it('what is removed, replaced and moved over is gone for good, and leaves the disks', async () => {
    const paths = ['/d/a', '/d/b/c', '/e/f', '/g'];
    for (const path of paths) await cluster.store(path, contentOf(path, 10_000));
    await cluster.store('/g', 'new');
    expect(await tree.statusOf('DELETE', '/fs/d')).toBe(204);
    expect(await tree.move('/g', '/e')).toBe(204);
    expect(await tree.trash('/')).toEqual([]);
    await cluster.waitUntilTidy();
    expect(await tree.find('/')).toEqual(['/e']);
  });

  it('what a copy replaces too: a file, and a directory with all that is in it', async () => {
    const gone = ['/over/file', '/over/dir/a', '/over/dir/sub/b'];
    for (const path of [...gone, '/new/x/y']) await cluster.store(path, contentOf(path, 10_000));
    await cluster.waitForCopies(gone, 2);
    const blobs = new Set((await Promise.all(gone.map(tree.blobsOf))).flatMap((each) => [...each]));
    expect(await tree.onDisk(blobs)).toBe(6);
    expect(await tree.copy('/new/x/y', '/over/file')).toBe(204);
    expect(await tree.copy('/new/x', '/over/dir')).toBe(204);
    expect(await tree.trash('/')).toEqual([]);
    await waitUntil(
      'the disks to be free of what was replaced',
      async () => (await tree.onDisk(blobs)) === 0,
    );
    expect(await tree.find('/over')).toEqual(['/over/dir/y', '/over/file']);
    for (const path of await tree.find('/over')) {
      expect((await cluster.get(path)).body.equals(contentOf('/new/x/y', 10_000))).toBe(true);
    }
  });
});
