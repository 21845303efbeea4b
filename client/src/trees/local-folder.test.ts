import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sink } from '../download.ts';
import { HashCache } from './hash-cache.ts';
import { checkLocalName, LocalFolder } from './local-folder.ts';
import { stagedName } from './staged-file.ts';
import type { LocalFile } from './tree-entry.ts';

describe('a directory of this machine that is written to', () => {
  let home: string;
  let top: string;
  let folder: LocalFolder;
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'dfs-folder-'));
    top = join(home, 'top');
    mkdirSync(top);
    folder = await open();
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  const open = async (isTidied = true) =>
    new LocalFolder({
      top,
      hashes: await HashCache.open(join(home, 'hashes')),
      mayBeMissing: false,
      onUnnamed: () => {},
      isTidied,
    });
  const filling = (text: string) => async (sink: Sink) => {
    await sink.write(Buffer.from(text));
  };
  const receive = (path: string, text: string, replaced?: LocalFile) =>
    folder.receive({ path, replaced, modifiedMs: 1_600_000_000_123 }, filling(text));
  const leftBehind = () =>
    readdirSync(home, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.part'),
    );

  it('takes files with their time, and makes the directories above them', async () => {
    await receive('a/b/c', 'text');
    expect(readFileSync(join(top, 'a/b/c'), 'utf8')).toBe('text');
    expect(Math.round(statSync(join(top, 'a/b/c')).mtimeMs)).toBe(1_600_000_000_123);
    expect(leftBehind()).toEqual([]);
  });

  it('keeps the mode of a file that is replaced, but for the bits that lend rights', async () => {
    writeFileSync(join(top, 'run'), 'old');
    chmodSync(join(top, 'run'), 0o4750);
    await receive('run', 'new', await folder.look('run'));
    expect(readFileSync(join(top, 'run'), 'utf8')).toBe('new');
    expect((statSync(join(top, 'run')).mode & 0o7777).toString(8)).toBe('750');
  });

  it.each(['../out', 'a/../../out', '/out', 'a//out', '.', '..', 'a/./b', 'nul\0', ''])(
    'refuses a path that leads elsewhere: %j',
    async (path) => {
      await expect(receive(path, 'text')).rejects.toThrow();
      expect(readdirSync(home).sort()).toEqual(['hashes', 'top']);
      expect(leftBehind()).toEqual([]);
    },
  );

  it.each(['..\\out', 'a\\b', 'C:', 'file:stream'])('knows what Windows would do: %j', (name) => {
    expect(() => checkLocalName(name, 'win32')).toThrow('no name on this machine');
    expect(() => checkLocalName(name, 'linux')).not.toThrow();
  });

  it('writes, deletes and sets times through no symbolic link', async () => {
    mkdirSync(join(home, 'outside'));
    writeFileSync(join(home, 'outside/file'), 'outside');
    symlinkSync('../outside', join(top, 'link'));
    symlinkSync('../outside/file', join(top, 'file'));
    const file = { ...(await outsideFile()), path: 'link/file' };
    await expect(receive('link/new', 'text')).rejects.toMatchObject({ kind: 'not-a-directory' });
    await expect(receive('link/deep/new', 'text')).rejects.toThrow();
    await expect(receive('file', 'text')).rejects.toMatchObject({ kind: 'precondition-failed' });
    await expect(folder.removeFile(file)).rejects.toMatchObject({ kind: 'not-a-directory' });
    await expect(folder.removeDirectory('link/x')).rejects.toThrow();
    await expect(folder.setModified('link/file', 1)).rejects.toThrow();
    await folder.setModified('file', 1);
    expect(readdirSync(join(home, 'outside'))).toEqual(['file']);
    expect(readFileSync(join(home, 'outside/file'), 'utf8')).toBe('outside');
    expect(statSync(join(home, 'outside/file')).mtimeMs).toBeGreaterThan(1);
    expect(leftBehind()).toEqual([]);
  });

  async function outsideFile(): Promise<LocalFile> {
    const hashes = await HashCache.open(join(home, 'hashes'));
    const options = { hashes, mayBeMissing: false, onUnnamed: () => {}, isTidied: false };
    const outside = new LocalFolder({ top: join(home, 'outside'), ...options });
    return (await outside.look('file')) as LocalFile;
  }

  it('overwrites nothing that came meanwhile, and nothing that changed', async () => {
    writeFileSync(join(top, 'came'), 'mine');
    await expect(receive('came', 'theirs')).rejects.toMatchObject({ kind: 'precondition-failed' });
    const found = (await folder.look('came')) as LocalFile;
    writeFileSync(join(top, 'came'), 'mine, too');
    await expect(receive('came', 'theirs', found)).rejects.toMatchObject({
      kind: 'precondition-failed',
    });
    await expect(folder.removeFile(found)).rejects.toMatchObject({ kind: 'precondition-failed' });
    expect(readFileSync(join(top, 'came'), 'utf8')).toBe('mine, too');
    expect(leftBehind()).toEqual([]);
  });

  it('keeps nothing of a file that did not come whole', async () => {
    const broken = folder.receive(
      { path: 'a', replaced: undefined, modifiedMs: 0 },
      async (sink) => {
        await sink.write(Buffer.from('half'));
        throw new Error('broke off');
      },
    );
    await expect(broken).rejects.toThrow('broke off');
    expect(readdirSync(top)).toEqual([]);
  });

  it('tidies up what a process that died left, not what one that lives writes', async () => {
    const { pid } = spawnSync(process.execPath, ['--eval', '']);
    const nameBy = (writer: number) => stagedName().replace(`-${process.pid}-`, `-${writer}-`);
    const dead = nameBy(pid);
    const living = nameBy(process.ppid);
    // The number of this process, which did not write it.
    const earlier = nameBy(process.pid);
    for (const name of [dead, living, earlier]) writeFileSync(join(top, name), '');
    const walk = async (of: LocalFolder) => {
      for await (const entry of of.walk()) expect(entry).toBeUndefined();
    };
    await walk(await open(false));
    expect(existsSync(join(top, dead))).toBe(true);
    await walk(folder);
    expect(readdirSync(top)).toEqual([living]);
  });

  it('does not tidy up what it writes itself', async () => {
    await folder.receive({ path: 'a', replaced: undefined, modifiedMs: 0 }, async (sink) => {
      await sink.write(Buffer.from('text'));
      for await (const entry of folder.walk()) expect(entry).toBeUndefined();
    });
    expect(readFileSync(join(top, 'a'), 'utf8')).toBe('text');
  });

  it('deletes directories only when they are empty', async () => {
    mkdirSync(join(top, 'a/b'), { recursive: true });
    writeFileSync(join(top, 'a/file'), '');
    expect(await folder.removeDirectory('a')).toBe(false);
    expect(await folder.removeDirectory('a/b')).toBe(true);
    expect(await folder.removeDirectory('a/b')).toBe(true);
    expect(await folder.removeDirectory('a/file')).toBe(false);
    expect(readdirSync(join(top, 'a'))).toEqual(['file']);
  });
});
