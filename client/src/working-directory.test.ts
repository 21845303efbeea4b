import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FilePath, parseFilePath } from '@dfs/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WorkingDirectory } from './working-directory.ts';

describe('the working directory', () => {
  let stateDir: string;
  beforeEach(() => {
    stateDir = mkdtempSync(join(tmpdir(), 'dfs-state-'));
  });
  afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

  const open = (url = 'http://one') => new WorkingDirectory({ url, stateDir });
  const at = (path: string) => {
    const directory = open();
    directory.change(parseFilePath(path));
    return directory;
  };
  const file = () =>
    join(stateDir, 'directories', readdirSync(join(stateDir, 'directories'))[0] ?? '');

  it('is the root until it is changed', () => {
    expect([open().path, open().previous]).toEqual(['/', undefined]);
  });

  it('is remembered for later calls, of its store alone', () => {
    at('/photos').change(parseFilePath("/odd 'name'\n😀"));
    expect(open().path).toBe("/odd 'name'\n😀");
    expect(open().previous).toBe('/photos');
    expect(open('http://two').path).toBe('/');
  });

  it('is for its user alone', () => {
    at('/private');
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(stateDir, 'directories'))).toHaveLength(1);
  });

  it.each([
    ['a', '/x/y/a'],
    ['a/', '/x/y/a'],
    ['/a', '/a'],
    ['/', '/'],
    ['//', '/'],
    ['.', '/x/y'],
    ['./', '/x/y'],
    ['..', '/x'],
    ['../', '/x'],
    ['../z', '/x/z'],
    ['./../.././q', '/q'],
    ['../../../../..', '/'],
    ['/../a/./b/..', '/a'],
    ['...', '/x/y/...'],
    ['.hidden', '/x/y/.hidden'],
    ['~', '/x/y/~'],
    ['id:1', '/x/y/id:1'],
    [' a b ', '/x/y/ a b '],
    ['a\nb', '/x/y/a\nb'],
  ])('resolves %j to %j', (text, expected) => {
    expect(at('/x/y').resolve(text)).toBe(expected);
  });

  it.each(['', 'a//b', 'a\0b', `${'n'.repeat(256)}`, '\ud800'])('refuses %j', (text) => {
    expect(() => at('/x').resolve(text)).toThrow(
      expect.objectContaining({ kind: 'invalid-path', hint: expect.any(String) }) as Error,
    );
  });

  it.each(['', '{', '{}', '{"path":"/a/../b"}', '{"path":7}', 'null'])(
    'is not guessed when what was remembered is damaged: %j',
    (content) => {
      at('/x');
      writeFileSync(file(), content);
      expect(() => open().resolve('a')).toThrow(/cannot be read/);
      // An absolute path needs none, and a new choice mends it.
      expect(open().resolve('/a')).toBe('/a');
      open().change('/new' as FilePath);
      expect(open().path).toBe('/new');
    },
  );

  it('says when it cannot be remembered', () => {
    rmSync(stateDir, { recursive: true });
    writeFileSync(stateDir, 'a file');
    expect(open().path).toBe('/');
    expect(() => open().change('/a' as FilePath)).toThrow(/XDG_STATE_HOME|cannot be remembered/);
    rmSync(stateDir);
    mkdirSync(stateDir);
  });
});
