import type { FilePath } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import type { WalkedEntry } from '../working-tree.ts';
import {
  bind,
  bindRequest,
  kindOf,
  newDirectory,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

/** UTF-16 would put the emoji before U+FFFD, and a whole path sorts "a b" before "a/x". */
const oddNames = ['a', 'a b', 'a.b', 'A', 'é', 'e\u0301', '😀', '\uFFFD', '%', '_', '~', '\x01'];

/** Walks of the tree, against a model of it. */
export function describeWalks(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  it.each([1, 2, 3])('give any tree in order, whole and after each path (%i)', async (seed) => {
    const { repository } = harness();
    const random = seededRandom(seed);
    const root = newDirectory();
    const kinds = await plantTree(repository, root, random);
    const expected = inOrder([...kinds.keys()]);
    const walked = await walk(repository, root);
    expect(walked.map((entry) => entry.path)).toEqual(expected);
    for (const entry of walked) {
      expect(entry.kind, entry.path).toBe(kinds.get(entry.path));
      expect(entry.file !== undefined).toBe(entry.kind === 'file');
      expect(entry.path.endsWith(`/${entry.name}`)).toBe(true);
    }
    for (let n = 0; n < 40; n += 1) {
      const at = Math.floor(random() * expected.length);
      const rest = await walk(repository, root, expected[at]);
      expect(rest.map((entry) => entry.path)).toEqual(expected.slice(at + 1));
    }
  });

  it('go on after a path that is gone, and after one whose directories are', async () => {
    const { repository } = harness();
    const root = newDirectory();
    for (const name of ['a/x', 'b/c/x', 'b/c/z', 'b/d', 'e'])
      await bind(repository, `${root}/${name}`);
    const after = async (at: string) =>
      (await walk(repository, root, `${root}/${at}`)).map((entry) => entry.path.slice(root.length));
    expect(await after('b/c/y')).toEqual(['/b/c/z', '/b/d', '/e']);
    expect(await after('b/bb/y/z')).toEqual(['/b/c', '/b/c/x', '/b/c/z', '/b/d', '/e']);
    expect(await after('b/d/y')).toEqual(['/e']);
    expect(await after('f')).toEqual([]);
    await expect(after('../elsewhere')).rejects.toBeDefined();
    const elsewhere = walk(repository, root, '/elsewhere/x');
    await expect(elsewhere).rejects.toEqual(kindOf('invalid-request'));
  });

  it('refuse what is no directory', async () => {
    const { repository } = harness();
    const root = newDirectory();
    await bind(repository, `${root}/file`);
    await expect(walk(repository, `${root}/none`)).rejects.toEqual(kindOf('not-found'));
    await expect(walk(repository, `${root}/file`)).rejects.toEqual(kindOf('not-a-directory'));
  });

  it('give large, many and deep directories whole, in pages', { timeout: 60_000 }, async () => {
    const { repository } = harness();
    const root = newDirectory();
    const files: string[] = [];
    for (let n = 0; n < 1_700; n += 1) files.push(`${root}/large/${n}`);
    for (let n = 0; n < 90; n += 1) {
      for (let file = 0; file < 30 + (n % 50); file += 1) files.push(`${root}/many/${n}/x/${file}`);
    }
    let deep = `${root}/deep`;
    for (let level = 0; level < 300; level += 1) {
      deep += `/${level % 7}`;
      files.push(`${deep}/before`, `${deep}/zz`);
    }
    await plant(repository, files);
    const expected = inOrder([...withDirectories(files, root)]);
    const seen: FilePath[] = [];
    for await (const page of repository.walkTree(path(root))) {
      expect(page.length).toBeLessThanOrEqual(1_000);
      seen.push(...page.map((entry) => entry.path));
    }
    expect(seen).toEqual(expected);
    for (const at of [1, 999, 3_000, 5_500]) {
      const rest = await walk(repository, root, expected[at]);
      expect(rest.map((entry) => entry.path)).toEqual(expected.slice(at + 1));
    }
  });

  it('give what stays exactly once and in order while others come and go', {
    timeout: 60_000,
  }, async () => {
    const { repository } = harness();
    const root = newDirectory();
    const random = seededRandom(7);
    const staying: string[] = [];
    for (let n = 0; n < 3_000; n += 1) staying.push(`${root}/${n % 3}/${n % 70}/stays-${n}`);
    await plant(repository, staying);
    let isWalking = true;
    const write = async () => {
      for (let n = 0; isWalking; n += 1) {
        const at = `${root}/${n % 3}/${Math.floor(random() * 140)}/${Math.floor(random() * 99)}-${n}`;
        await bind(repository, at);
        if (random() < 0.6) await repository.removeEntry(path(at));
      }
    };
    const writers = [write(), write(), write()];
    const pages: WalkedEntry[] = [];
    for await (const page of repository.walkTree(path(root))) pages.push(...page);
    isWalking = false;
    await Promise.all(writers);
    const seen = pages.map((entry) => entry.path);
    expect(seen).toEqual(inOrder(seen));
    expect(new Set(seen).size).toBe(seen.length);
    const kept = new Set(staying);
    expect(seen.filter((at) => kept.has(at))).toEqual(inOrder(staying));
  });

  it('tell of each entry whether it is public, by the nearest word above it', async () => {
    const { repository, rows, reopen } = harness();
    const root = newDirectory();
    const name = root.slice(1);
    await bind(repository, `${root}/closed/deep/file`);
    await bind(repository, `${root}/open`);
    await rows(`update entries set visibility = 'public' where name = '${name}'`);
    await rows(`update entries set visibility = 'private' where name = 'closed'`);
    const walked = await walk(await reopen(), root);
    expect(walked.map((entry) => [entry.name, entry.isPublic])).toEqual([
      ['closed', false],
      ['deep', false],
      ['file', false],
      ['open', true],
    ]);
  });
}

async function walk(
  repository: MetadataRepository,
  at: string,
  after?: string,
): Promise<WalkedEntry[]> {
  const walked: WalkedEntry[] = [];
  const options = after === undefined ? {} : { after: path(after) };
  for await (const page of repository.walkTree(path(at), options)) walked.push(...page);
  return walked;
}

async function plant(repository: MetadataRepository, files: readonly string[]): Promise<void> {
  for (let at = 0; at < files.length; at += 500) {
    await repository.bindFiles(files.slice(at, at + 500).map((file) => bindRequest(file)));
  }
}

/** Files and directories, some of them empty, below this directory; gives the kind of each. */
async function plantTree(
  repository: MetadataRepository,
  root: string,
  random: () => number,
): Promise<ReadonlyMap<string, string>> {
  const directories = [root];
  const kinds = new Map<string, string>();
  for (let n = 0; n < 150; n += 1) {
    const parent = directories[Math.floor(random() ** 2 * directories.length)] as string;
    const at = `${parent}/${oddNames[Math.floor(random() * oddNames.length)]}`;
    if (kinds.has(at)) continue;
    const kind = random() < 0.45 ? 'directory' : 'file';
    if (kind === 'directory') directories.push(at);
    kinds.set(at, kind);
  }
  await repository.makeDirectory(path(root));
  for (const [at, kind] of kinds) {
    if (kind === 'directory') await repository.makeDirectory(path(at));
  }
  await plant(
    repository,
    [...kinds.keys()].filter((at) => kinds.get(at) === 'file'),
  );
  return kinds;
}

function withDirectories(files: readonly string[], root: string): ReadonlySet<string> {
  const all = new Set(files);
  for (const file of files) {
    for (let end = file.lastIndexOf('/'); end > root.length; end = file.lastIndexOf('/', end - 1)) {
      all.add(file.slice(0, end));
    }
  }
  return all;
}

/** A directory, then what is in it; names by their bytes. */
const inOrder = (paths: readonly string[]): string[] =>
  paths
    .map((text) => ({ text, names: text.split('/').map((name) => Buffer.from(name)) }))
    .sort((a, b) => compareNames(a.names, b.names))
    .map(({ text }) => text);

function compareNames(a: readonly Buffer[], b: readonly Buffer[]): number {
  for (const [at, name] of a.entries()) {
    const other = b[at];
    if (!other) return 1;
    const order = Buffer.compare(name, other);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}
