import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { takeLock } from './state-lock.ts';

describe('a lock on what a command remembers', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dfs-lock-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('is held by one, and free again once that one released it', async () => {
    const file = join(folder, 'deeper', 'lock');
    const lock = await takeLock(file);
    expect(lock).toBeDefined();
    expect(await takeLock(file)).toBeUndefined();
    lock?.release();
    expect(await takeLock(file)).toBeDefined();
    expect(readdirSync(join(folder, 'deeper'))).toEqual(['lock']);
  });

  it('of a process that died counts for nothing', async () => {
    const { pid } = spawnSync(process.execPath, ['--eval', '']);
    writeFileSync(join(folder, 'lock'), String(pid));
    expect(await takeLock(join(folder, 'lock'))).toBeDefined();
  });

  it.skipIf(process.platform !== 'linux')(
    'of an earlier process with the number of one that runs counts for nothing',
    async () => {
      writeFileSync(join(folder, 'lock'), `${process.pid} 1@an-earlier-boot`);
      expect(await takeLock(join(folder, 'lock'))).toBeDefined();
    },
  );

  it('that holds nonsense counts for nothing', async () => {
    writeFileSync(join(folder, 'lock'), '');
    expect(await takeLock(join(folder, 'lock'))).toBeDefined();
  });
});
