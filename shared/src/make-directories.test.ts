import { mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectories, whyNotMade } from './make-directories.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.remove());

const isDirectory = async (path: string) => (await stat(path)).isDirectory();

describe('a directory', () => {
  it('is made with all that is missing above it, and may be there already', async () => {
    const path = join(directory.path, 'a', 'b', 'c');
    await makeDirectories(path);
    await makeDirectories(path);
    expect(await isDirectory(path)).toBe(true);
  });

  it('is made once by many who want it at the same time', async () => {
    const paths = Array.from({ length: 32 }, (_, index) =>
      join(directory.path, 'a', 'b', 'c', String(index % 4)),
    );
    await Promise.all(paths.map(makeDirectories));
    expect(await Promise.all(paths.map(isDirectory))).toEqual(paths.map(() => true));
  });

  it('may be reached through a link', async () => {
    await mkdir(join(directory.path, 'disk'));
    await symlink('disk', join(directory.path, 'link'));
    await makeDirectories(join(directory.path, 'link'));
    await makeDirectories(join(directory.path, 'link', 'a', 'b'));
    expect(await isDirectory(join(directory.path, 'disk', 'a', 'b'))).toBe(true);
  });

  it('is not made where a file or a dead link is in the way', async () => {
    await writeFile(join(directory.path, 'file'), '');
    await symlink('nowhere', join(directory.path, 'dead'));
    const attempt = (...names: string[]) => makeDirectories(join(directory.path, ...names));
    await expect(attempt('file')).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(attempt('file', 'a', 'b')).rejects.toMatchObject({ code: 'ENOTDIR' });
    await expect(attempt('dead')).rejects.toMatchObject({ code: 'EEXIST' });
    await expect(attempt('dead', 'a')).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it.runIf(process.platform === 'linux')(
    'is refused at once by a file system that makes none',
    async () => {
      for (const path of ['/proc/none', '/proc/none/a/b']) {
        await expect(makeDirectories(path)).rejects.toMatchObject({ code: 'ENOENT' });
      }
    },
  );
});

it.each([
  ['EACCES', 'permission denied (EACCES)'],
  ['ENOTDIR', 'a part of its path is not a directory (ENOTDIR)'],
  ['EMFILE', 'EMFILE'],
  [undefined, 'odd'],
])('the failure %s is said as: %s', (code, text) => {
  expect(whyNotMade(Object.assign(new Error('odd'), { code }))).toBe(text);
});
