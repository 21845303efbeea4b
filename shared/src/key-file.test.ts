import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigurationError } from './environment.ts';
import { awaitKeyFile, makeKeyFile } from './key-file.ts';
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
    const makers = Array.from({ length: 8 }, async () => {
      await awaitKeyFile(file, 'make');
      return readFile(file, 'utf8');
    });
    const keys = await Promise.all(makers);
    expect(new Set(keys).size).toBe(1);
    expect(keys[0]).toMatch(/^[0-9a-f]{64}\n$/);
    expect(await readdir(join(directory.path, 'secrets'))).toEqual(['key']);
  });

  it('is waited for until another program made it', async () => {
    const waited: string[] = [];
    await awaitKeyFile(file, 'wait', (name) => {
      waited.push(name);
      void makeKeyFile(file);
    });
    expect(await readFile(file, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/);
    expect(waited).toEqual([file]);
  });

  it('that cannot be made or read is a fault of the configuration', async () => {
    const blocked = join(directory.path, 'a file');
    await writeFile(blocked, '');
    await expect(makeKeyFile(join(blocked, 'key'))).rejects.toThrow(ConfigurationError);
    await mkdir(file, { recursive: true });
    await expect(awaitKeyFile(file, 'wait')).rejects.toThrow(ConfigurationError);
  });
});
