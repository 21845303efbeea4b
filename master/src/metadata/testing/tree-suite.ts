import { describe, expect, it } from 'vitest';
import type { MetadataRepository } from '../metadata-repository.ts';
import {
  bind,
  bindRequest,
  kindOf,
  newDirectory,
  path,
  sharedHarness,
} from './metadata-fixtures.ts';
import type { OpenMetadata } from './metadata-harness.ts';

/** Directories, listings and removals. */
export function describeTree(open: OpenMetadata): void {
  const harness = sharedHarness(open);

  it('has a root from the beginning, without a name and without a way to its hidden siblings', async () => {
    const { repository } = harness();
    expect(await repository.findEntry(path('/'))).toMatchObject({ name: '', kind: 'directory' });
    expect(await repository.findEntry(path('/trash'))).toBeUndefined();
    await expect(repository.findFile(path('/'))).rejects.toEqual(kindOf('is-a-directory'));
  });

  it('makes a directory with its parents, and gives the same one when it is there', async () => {
    const { repository } = harness();
    const directory = `${newDirectory()}/b/c`;
    const made = await repository.makeDirectory(path(directory));
    expect(made).toMatchObject({
      entry: { name: 'c', kind: 'directory', visibility: 'inherit' },
      isNew: true,
    });
    const again = { entry: made.entry, isNew: false };
    expect(await repository.makeDirectory(path(directory))).toEqual(again);
    expect(await repository.findEntry(path(directory))).toEqual(made.entry);
    expect(await repository.makeDirectory(path('/'), { parents: false })).toEqual({
      entry: await repository.findEntry(path('/')),
      isNew: false,
    });
  });

  it('makes one directory for one of those who make it, and none without a parent where that is asked', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const alone = { parents: false };
    await expect(repository.makeDirectory(path(`${directory}/a/b`), alone)).rejects.toEqual(
      kindOf('conflict'),
    );
    expect(await repository.findEntry(path(`${directory}/a`))).toBeUndefined();
    await repository.makeDirectory(path(directory));
    const at = path(`${directory}/a`);
    const made = await Promise.all([1, 2, 3].map(() => repository.makeDirectory(at, alone)));
    expect(made.filter(({ isNew }) => isNew)).toHaveLength(1);
    expect(new Set(made.map(({ entry }) => entry.id)).size).toBe(1);
  });

  it('refuses a directory below a file, and in place of one', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/file`);
    for (const below of [`${directory}/file`, `${directory}/file/a/b`]) {
      await expect(repository.makeDirectory(path(below))).rejects.toEqual(
        kindOf('not-a-directory'),
      );
    }
  });

  it('finds nothing below a file and refuses to give a directory as a file', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/file`);
    expect(await repository.findEntry(path(`${directory}/file/x`))).toBeUndefined();
    expect(await repository.findFile(path(`${directory}/file/x`))).toBeUndefined();
    expect(await repository.findFile(path(`${directory}/none/x`))).toBeUndefined();
    await expect(repository.findFile(path(directory))).rejects.toEqual(kindOf('is-a-directory'));
  });

  it('takes names of any characters as they are, and tells them apart by letter case and form', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const names = ['%', '_', 'a?b', "o'clock", '"', '\\', 'É', 'é', 'e\u0301', ' ', 'a', 'A', ':x'];
    for (const name of names) await bind(repository, `${directory}/${name}`, { content: name });
    for (const name of names) {
      const named = await repository.findFile(path(`${directory}/${name}`));
      expect(named?.file.sizeBytes).toBe(name.length);
    }
    expect(await allNames(repository, directory, 100)).toEqual(sorted(names));
  });

  it.each([1, 2, 7, 100])('lists by the bytes of names in pages of %i', async (limit) => {
    const { repository } = harness();
    const directory = newDirectory();
    // UTF-16 would put the emoji before U+FFFD and U+E000, a language's rules a before B and é before f.
    const names = [
      '😀',
      '\uFFFD',
      '\uE000',
      'é',
      'f',
      'B',
      'a',
      'A',
      'a b',
      'a.b',
      'ab',
      'Z',
      '_',
      '-',
    ];
    await repository.bindFiles(names.map((name) => bindRequest(`${directory}/${name}`)));
    await repository.makeDirectory(path(`${directory}/ac`));
    expect(await allNames(repository, directory, limit)).toEqual(sorted([...names, 'ac']));
  });

  it('lists files with their facts and directories without, none of what is below', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const { named } = await bind(repository, `${directory}/file`, { contentType: 'image/png' });
    await bind(repository, `${directory}/sub/below`);
    const { entries, next } = await repository.listDirectory(path(directory), { limit: 10 });
    expect(next).toBeUndefined();
    const { id, sizeBytes, md5 } = named.file;
    expect(entries).toEqual([
      { ...named.entry, isPublic: false, file: { id, sizeBytes, md5, contentType: 'image/png' } },
      expect.objectContaining({ name: 'sub', kind: 'directory', isPublic: false }),
    ]);
    expect(entries[1]).not.toHaveProperty('file');
  });

  it('refuses to list what is no directory', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/file`);
    const list = (at: string) => repository.listDirectory(path(at), { limit: 10 });
    await expect(list(`${directory}/none`)).rejects.toEqual(kindOf('not-found'));
    await expect(list(`${directory}/file`)).rejects.toEqual(kindOf('not-a-directory'));
  });

  it('removes a file: its name and its content are gone, its blobs stay until collection', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const { named } = await bind(repository, `${directory}/file`);
    await repository.removeEntry(named.path);
    expect(await repository.findFile(named.path)).toBeUndefined();
    expect(await repository.findEntry(named.path)).toBeUndefined();
    expect(await repository.findFileById(named.file.id)).toBeUndefined();
    const ids = named.file.blobs.map((blob) => blob.blobId);
    expect((await repository.replicasOf(ids)).size).toBe(1);
    await expect(repository.removeEntry(named.path)).rejects.toEqual(kindOf('not-found'));
  });

  it('removes an empty directory where one is expected, but not one with something in it, nor the root', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    await bind(repository, `${directory}/sub/file`);
    const remove = (at: string) => repository.removeEntry(path(at), { expect: 'empty-directory' });
    await expect(remove(directory)).rejects.toEqual(kindOf('conflict'));
    await expect(remove(`${directory}/sub`)).rejects.toEqual(kindOf('conflict'));
    await expect(remove('/')).rejects.toEqual(kindOf('conflict'));
    await expect(remove(`${directory}/sub/file`)).rejects.toEqual(kindOf('not-a-directory'));
    await expect(repository.removeEntry(path(directory), { expect: 'file' })).rejects.toEqual(
      kindOf('is-a-directory'),
    );
    await repository.removeEntry(path(`${directory}/sub/file`), { expect: 'file' });
    await remove(`${directory}/sub`);
    await remove(directory);
    expect(await repository.findEntry(path(directory))).toBeUndefined();
  });

  it('empties and removes a directory in one batch', async () => {
    const { repository } = harness();
    const directory = newDirectory();
    const names = Array.from({ length: 20 }, (_, n) => `${directory}/${n}`);
    for (const name of names) await bind(repository, name);
    await Promise.all([...names, directory].map((name) => repository.removeEntry(path(name))));
    expect(await repository.findEntry(path(directory))).toBeUndefined();
  });

  describe('rights', () => {
    it('makes a file public by its own word, and private by default', async () => {
      const { repository } = harness();
      const directory = newDirectory();
      const { named } = await bind(repository, `${directory}/open`, { visibility: 'public' });
      expect(named.isPublic).toBe(true);
      expect((await bind(repository, `${directory}/closed`)).named.isPublic).toBe(false);
      // Replacing keeps the word of the name unless a new one is given.
      expect((await bind(repository, `${directory}/open`)).named.isPublic).toBe(true);
      const closed = await bind(repository, `${directory}/open`, { visibility: 'private' });
      expect(closed.named.isPublic).toBe(false);
    });

    it('inherits from the nearest directory that has a word', async () => {
      const { repository, rows, reopen } = harness();
      const directory = newDirectory().slice(1);
      await bind(repository, `/${directory}/closed-part/file`);
      await bind(repository, `/${directory}/other/file`);
      await rows(`update entries set visibility = 'public' where name = '${directory}'`);
      await rows(`update entries set visibility = 'private' where name = 'closed-part'`);
      const again = await reopen();
      const isPublic = async (at: string) => (await again.findFile(path(at)))?.isPublic;
      expect(await isPublic(`/${directory}/other/file`)).toBe(true);
      expect(await isPublic(`/${directory}/closed-part/file`)).toBe(false);
      const { named } = await bind(again, `/${directory}/new/deep/file`);
      expect(named.isPublic).toBe(true);
      const inherited = async (at: string) => (await again.findNamed(path(at)))?.isPublic;
      expect(await inherited(`/${directory}/new/deep`)).toBe(true);
      expect(await inherited(`/${directory}/closed-part`)).toBe(false);
      expect(await inherited(`/${directory}/none`)).toBeUndefined();
      expect((await again.findFileById(named.file.id))?.isPublic).toBe(true);
      const page = await again.listDirectory(path(`/${directory}`), { limit: 10 });
      expect(page.entries.map((entry) => [entry.name, entry.isPublic])).toEqual([
        ['closed-part', false],
        ['new', true],
        ['other', true],
      ]);
    });
  });
}

const sorted = (names: readonly string[]) =>
  [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));

async function allNames(
  repository: MetadataRepository,
  directory: string,
  limit: number,
): Promise<string[]> {
  const names: string[] = [];
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page = await repository.listDirectory(path(directory), { after, limit });
    expect(page.entries.length).toBeLessThanOrEqual(limit);
    names.push(...page.entries.map((entry) => entry.name));
    after = page.next;
  }
  return names;
}
