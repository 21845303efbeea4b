import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { walkLocalTree } from './local-tree.ts';
import { stagedName } from './staged-file.ts';
import type { LocalEntry, Skipped } from './tree-entry.ts';
import { compareTreePaths } from './tree-order.ts';

const nobody = 65_534;

/** Nothing is closed to root: what root runs here runs as somebody else. */
async function asOrdinaryUser<Result>(work: () => Promise<Result>): Promise<Result> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(nobody);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('a walk through a directory of this machine', () => {
  let top: string;
  beforeEach(() => {
    top = mkdtempSync(join(tmpdir(), 'dfs-walk-'));
  });
  afterEach(() => rmSync(top, { recursive: true, force: true }));

  async function walked() {
    const entries: LocalEntry[] = [];
    const unnamed: Skipped[] = [];
    const staged: string[] = [];
    const options = {
      onUnnamed: (skipped: Skipped) => void unnamed.push(skipped),
      onStaged: (path: string) => void staged.push(path),
    };
    for await (const entry of walkLocalTree(top, options)) entries.push(entry);
    return { entries, unnamed, staged, paths: entries.map(({ path }) => path) };
  }

  it('gives everything in the order of trees, empty directories too', async () => {
    const files = ['a/b', 'a-b', 'a b/c', 'ab', 'é/x', '\u{1f600}', '\u{ff5e}', 'z\n', '.hidden'];
    for (const path of files) {
      mkdirSync(join(top, path, '..'), { recursive: true });
      writeFileSync(join(top, path), path);
    }
    mkdirSync(join(top, 'empty/deeper'), { recursive: true });
    const { paths } = await walked();
    const directories = ['a', 'a b', 'é', 'empty', 'empty/deeper'];
    expect(paths).toEqual([...files, ...directories].sort(compareTreePaths));
  });

  it('tells size and time of a file, to the millisecond that was set', async () => {
    writeFileSync(join(top, 'file'), '12345');
    const ms = 1_600_000_000_123;
    utimesSync(join(top, 'file'), ms / 1000, ms / 1000);
    expect((await walked()).entries).toEqual([
      expect.objectContaining({ path: 'file', kind: 'file', sizeBytes: 5, modifiedMs: ms }),
    ]);
  });

  it('follows no symbolic link, and says of what is no file what it is', async () => {
    mkdirSync(join(top, 'real'));
    writeFileSync(join(top, 'real/file'), '');
    symlinkSync('real', join(top, 'link'));
    symlinkSync('/nowhere', join(top, 'broken'));
    const server = createServer().listen(join(top, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    const { entries } = await walked();
    server.close();
    const skipped = entries.filter(({ kind }) => kind === 'skipped');
    expect(skipped).toEqual([
      { path: 'broken', kind: 'skipped', reason: 'a symbolic link', isFailure: false },
      { path: 'link', kind: 'skipped', reason: 'a symbolic link', isFailure: false },
      { path: 'socket', kind: 'skipped', reason: 'a socket', isFailure: false },
    ]);
    expect(entries.map(({ path }) => path)).toEqual([
      'broken',
      'link',
      'real',
      'real/file',
      'socket',
    ]);
  });

  it('keeps names that are not UTF-8 out of the order, and tells of them', async () => {
    writeFileSync(Buffer.concat([Buffer.from(`${top}/b`), Buffer.from([0xff])]), '');
    writeFileSync(join(top, 'c'), '');
    const { paths, unnamed } = await walked();
    expect(paths).toEqual(['c']);
    expect(unnamed).toEqual([expect.objectContaining({ path: 'b\ufffd', isFailure: true })]);
  });

  it('passes over what a download writes, and tells of it', async () => {
    mkdirSync(join(top, 'a'));
    const name = stagedName();
    writeFileSync(join(top, 'a', name), '');
    const { paths, staged } = await walked();
    expect(paths).toEqual(['a']);
    expect(staged).toEqual([`a/${name}`]);
  });

  it('says which directory cannot be read', async () => {
    mkdirSync(join(top, 'closed'));
    chmodSync(join(top, 'closed'), 0o000);
    chmodSync(top, 0o755);
    const { entries } = await asOrdinaryUser(walked);
    chmodSync(join(top, 'closed'), 0o700);
    expect(entries).toEqual([
      { path: 'closed', kind: 'skipped', reason: 'cannot be read (EACCES)', isFailure: true },
    ]);
  });

  it('walks a directory of many names whole', async () => {
    const names = Array.from({ length: 300 }, (_, index) => `file-${index}`);
    for (const name of names) writeFileSync(join(top, name), '');
    expect((await walked()).paths).toEqual(names.sort(compareTreePaths));
  });

  it('rejects with not-found where there is no directory', async () => {
    rmSync(top, { recursive: true });
    await expect(walked()).rejects.toMatchObject({ kind: 'not-found' });
  });
});
