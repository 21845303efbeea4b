import { createHash } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChangedWhileRead, HashCache, hashFile } from './hash-cache.ts';
import { LocalFolder } from './local-folder.ts';
import type { LocalFile } from './tree-entry.ts';

const md5Of = (text: string) => createHash('md5').update(text).digest('hex');

describe('the MD5s that are remembered', () => {
  let home: string;
  let hashes: HashCache;
  beforeEach(async () => {
    home = mkdtempSync(join(tmpdir(), 'dfs-hashes-'));
    hashes = await HashCache.open(join(home, 'cache'));
  });
  afterEach(async () => {
    await hashes.close();
    rmSync(home, { recursive: true, force: true });
  });

  const folderOf = (cache: HashCache) =>
    new LocalFolder({
      top: home,
      hashes: cache,
      mayBeMissing: false,
      onUnnamed: () => {},
      isTidied: false,
    });
  const look = async (path: string) => (await folderOf(hashes).look(path)) as LocalFile;
  const reopen = async () => {
    await hashes.close();
    hashes = await HashCache.open(join(home, 'cache'));
  };
  const laterMs = () => Date.now() + 60_000;

  it('are known for a file that looks as it did, and not for another', async () => {
    for (const path of ['same', 'longer', 'rewritten', 'replaced'])
      writeFileSync(join(home, path), 'text');
    for (const path of ['same', 'longer', 'rewritten', 'replaced'].sort())
      hashes.remember(await look(path), 'known', laterMs());
    await reopen();
    writeFileSync(join(home, 'longer'), 'longer text');
    writeFileSync(join(home, 'rewritten'), 'TEXT');
    writeFileSync(join(home, 'other'), 'text');
    renameSync(join(home, 'other'), join(home, 'replaced'));
    const known: Record<string, string | undefined> = {};
    for await (const entry of folderOf(hashes).walk()) {
      if (entry.kind === 'file' && !entry.path.startsWith('cache/')) known[entry.path] = entry.md5;
    }
    expect(known).toEqual({ same: 'known' });
  });

  it('leave out what changed so shortly before that it may change unseen', async () => {
    writeFileSync(join(home, 'file'), 'text');
    hashes.remember(await look('file'), 'known', Date.now());
    await reopen();
    expect(await hashes.along().at(await look('file'))).toBeUndefined();
  });

  it('are done without while another process has them', async () => {
    const second = await HashCache.open(join(home, 'cache'));
    writeFileSync(join(home, 'file'), 'text');
    second.remember(await look('file'), 'known', laterMs());
    expect(await folderOf(second).md5Of(await look('file'))).toBe(md5Of('text'));
    await second.close();
    await reopen();
    expect(await hashes.along().at(await look('file'))).toBeUndefined();
  });

  it('are never of a file that changed while it was read', async () => {
    writeFileSync(join(home, 'file'), 'text');
    const found = await look('file');
    expect(await hashFile(join(home, 'file'), found)).toBe(md5Of('text'));
    writeFileSync(join(home, 'file'), 'TEXT!');
    await expect(hashFile(join(home, 'file'), found)).rejects.toThrow(ChangedWhileRead);
  });
});
