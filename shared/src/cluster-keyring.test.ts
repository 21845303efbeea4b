import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ClusterKeyring } from './cluster-keyring.ts';
import { ConfigurationError } from './environment.ts';
import { deriveBlobUrlKey } from './node-protocol.ts';
import { eventually } from './testing/eventually.ts';
import { recordingLogger } from './testing/recording-logger.ts';
import { temporaryDirectory } from './testing/temporary-directory.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let file: string;
let keyring: ClusterKeyring | undefined;
beforeEach(async () => {
  directory = await temporaryDirectory();
  file = join(directory.path, 'key');
});
afterEach(async () => {
  keyring?.close();
  keyring = undefined;
  await directory.remove();
});

const lookEveryMs = 20;

async function watched(content: string) {
  await writeFile(file, content);
  keyring = await ClusterKeyring.read({ DFS_CLUSTER_KEY_FILE: file }, 'wait');
  const { logger, lines } = recordingLogger();
  keyring.watch(logger, lookEveryMs);
  return { ring: keyring, lines };
}

describe('the cluster keyring', () => {
  it.each([
    [{ DFS_CLUSTER_KEY: 'a', SHARD_KEY: 'b' }, ['a']],
    [{ SHARD_KEY: 'b' }, ['b']],
    [{ SHARD_KEY: 'b', DFS_CLUSTER_KEY_ALSO: 'c' }, ['b', 'c']],
    [{}, []],
  ])('of %j holds %j, and no file is made', async (environment, keys) => {
    for (const more of [{}, ...(keys.length > 0 ? [{ DFS_CLUSTER_KEY_FILE: file }] : [])]) {
      const ring = await ClusterKeyring.read({ ...environment, ...more }, 'make');
      expect(ring.all()).toEqual(keys);
      expect(ring.current()).toBe(keys[0]);
    }
    await expect(writeFile(file, '', { flag: 'wx' })).resolves.toBeUndefined();
  });

  it('takes the first line of a file as the current key, and accepts a second one', async () => {
    await writeFile(file, '\n  new \r\n\nold\n');
    const ring = await ClusterKeyring.read({ DFS_CLUSTER_KEY_FILE: file }, 'wait');
    expect(ring.all()).toEqual(['new', 'old']);
    for (const key of ['new', 'old']) expect(ring.isOne(key)).toBe(true);
    for (const key of ['', 'ne', 'new ', 'new\nold', 'other', 'new'.repeat(10_000)])
      expect(ring.isOne(key), key).toBe(false);
    expect(ring.blobUrlKeys()).toEqual([deriveBlobUrlKey('new'), deriveBlobUrlKey('old')]);
  });

  it('without a key lets nothing pass for one', () => {
    const ring = ClusterKeyring.of();
    expect(ring.current()).toBeUndefined();
    expect(ring.isOne('')).toBe(false);
    expect(ring.blobUrlKeys()).toEqual([]);
  });

  it.each([
    ['a key that is only accepted', { DFS_CLUSTER_KEY_ALSO: 'b' }, 'DFS_CLUSTER_KEY is not'],
    ['three keys', 'one\ntwo\nthree\n', 'has 3 lines'],
    ['a key with a tab in it', 'a\tsecret\n', 'ASCII'],
    ['a key that no header can carry', 'schlüssel\n', 'ASCII'],
    ['blanks alone', ' \n\n', 'is empty'],
  ])('refuses %s', async (_, given, fault) => {
    if (typeof given === 'string') await writeFile(file, given);
    const environment = typeof given === 'string' ? { DFS_CLUSTER_KEY_FILE: file } : given;
    const refused = ClusterKeyring.read(environment, 'make');
    await expect(refused).rejects.toThrow(ConfigurationError);
    await expect(refused).rejects.toThrow(fault);
    await expect(refused).rejects.not.toThrow('secret');
  });

  it('follows its file through a whole change of keys', async () => {
    const { ring } = await watched('old\n');
    const heard: (string | undefined)[] = [];
    ring.onChange(() => heard.push(ring.current()));
    ring.onChange(() => heard.push('for nobody'))();
    for (const keys of [['old', 'new'], ['new', 'old'], ['new']]) {
      await writeFile(`${file}.next`, `${keys.join('\n')}\n`);
      await rename(`${file}.next`, file);
      await eventually(() => ring.all()).toEqual(keys);
      expect(ring.blobUrlKeys()[0]).toEqual(deriveBlobUrlKey(keys[0] as string));
    }
    expect(ring.isOne('old')).toBe(false);
    expect(heard).toEqual(['old', 'new', 'new']);
  });

  it('keeps its keys while the file is broken, and says so once for each fault', async () => {
    const { ring, lines } = await watched('old\nnew\n');
    const warnings = () => lines.filter(({ level }) => level === 'warn');
    await writeFile(file, '');
    await eventually(() => warnings().length).toBe(1);
    await writeFile(file, 'a secret that is nöne\n');
    await eventually(() => warnings().length).toBe(2);
    await rm(file);
    await eventually(() => warnings().length).toBe(3);
    expect(ring.all()).toEqual(['old', 'new']);
    expect(JSON.stringify(lines)).not.toContain('a secret');
    await writeFile(file, 'new');
    await eventually(() => ring.all()).toEqual(['new']);
    expect(warnings()).toHaveLength(3);
  });
});
