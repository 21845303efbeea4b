import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from './environment.ts';
import { makeKeyFile, readClusterKey } from './key-file.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let file: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
  file = join(directory.path, 'secrets', 'key');
});
afterEach(() => directory.remove());

describe('a key file', () => {
  it('is made with a random key that its owner alone may read', async () => {
    await makeKeyFile(file);
    expect(await readFile(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(directory.path, 'secrets'))).toEqual(['key']);
  });

  it('that is there stays as it is', async () => {
    await makeKeyFile(file);
    const key = await readFile(file, 'utf8');
    await makeKeyFile(file);
    expect(await readFile(file, 'utf8')).toBe(key);
  });

  it('is one key for all who make it at once', async () => {
    const keys = await Promise.all(
      Array.from({ length: 8 }, () => readClusterKey({ DFS_CLUSTER_KEY_FILE: file }, 'make')),
    );
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(await readdir(join(directory.path, 'secrets'))).toEqual(['key']);
  });

  it('is waited for until another program made it', async () => {
    const waited: string[] = [];
    const key = readClusterKey({ DFS_CLUSTER_KEY_FILE: file }, 'wait', (name) => {
      waited.push(name);
      void makeKeyFile(file);
    });
    expect(await key).toMatch(/^[0-9a-f]{64}$/);
    expect(waited).toEqual([file]);
  });

  it('that cannot be made or read is a fault of the configuration', async () => {
    const blocked = join(directory.path, 'a file');
    await writeFile(blocked, '');
    await expect(makeKeyFile(join(blocked, 'key'))).rejects.toThrow(ConfigurationError);
    await mkdir(file, { recursive: true });
    const read = readClusterKey({ DFS_CLUSTER_KEY_FILE: file }, 'wait');
    await expect(read).rejects.toThrow(ConfigurationError);
  });
});

describe('the cluster key', () => {
  it.each([
    [{ DFS_CLUSTER_KEY: 'a', SHARD_KEY: 'b' }, 'a'],
    [{ SHARD_KEY: 'b' }, 'b'],
    [{}, undefined],
  ])('of %j is %j, and no file is made', async (environment, key) => {
    expect(await readClusterKey(environment, 'make')).toBe(key);
    const both = { ...environment, DFS_CLUSTER_KEY_FILE: file };
    if (key !== undefined) expect(await readClusterKey(both, 'make')).toBe(key);
    expect(await readdir(directory.path)).toEqual([]);
  });
});
