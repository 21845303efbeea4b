import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigurationError, newClusterId, StoreError } from '@dfs/shared';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeIdentity } from './node-identity.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.remove());

const open = (name?: string) => NodeIdentity.open(directory.path, name);
const onDisk = async () =>
  JSON.parse(await readFile(join(directory.path, 'node.json'), 'utf8')) as Record<string, unknown>;
const kindOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'allowed',
    (error: unknown) => (error instanceof StoreError ? error.kind : 'another error'),
  );

describe('the identity of a node', () => {
  it('is made once and found again', async () => {
    const made = await open('cellar');
    const found = await open();
    expect(found.nodeId).toBe(made.nodeId);
    expect(found.name).toBe('cellar');
    expect(await readdir(directory.path)).toEqual(['node.json']);
  });

  it('has a name that tells nodes of one host apart when none is given', async () => {
    const made = await open();
    expect(made.name.endsWith(made.nodeId.slice(-4))).toBe(true);
    expect((await open()).name).toBe(made.name);
  });

  it('keeps its id when it gets another name', async () => {
    const made = await open('cellar');
    const renamed = await open('attic');
    expect([renamed.nodeId, renamed.name]).toEqual([made.nodeId, 'attic']);
    expect((await open()).name).toBe('attic');
  });

  it('joins one cluster for good', async () => {
    const [ours, theirs] = [newClusterId(), newClusterId()];
    const identity = await open();
    expect(identity.clusterId).toBeUndefined();
    await identity.join(ours);
    await identity.join(ours);
    expect(await kindOf(identity.join(theirs))).toBe('wrong-cluster');
    expect((await open()).clusterId).toBe(ours);
  });

  it.each([
    ['that is cut', '{"format": 1, "nodeId": "01'],
    ['that is empty', ''],
    ['without an id', '{"format": 1}'],
  ])('is not made anew over a record %s', async (_, text) => {
    await writeFile(join(directory.path, 'node.json'), text);
    await expect(open()).rejects.toThrow(ConfigurationError);
    expect(await readFile(join(directory.path, 'node.json'), 'utf8')).toBe(text);
  });

  it('is refused, in one line, when a later version wrote it', async () => {
    await writeFile(join(directory.path, 'node.json'), '{"format": 2, "something": "else"}');
    await expect(open()).rejects.toThrow(
      /^The data directory .* has format 2; .* knows format 1\.$/,
    );
  });
});

describe('the epoch of commands', () => {
  it('is on the disk before a command of a higher epoch passes', async () => {
    const identity = await open();
    await identity.obey(3);
    expect(await onDisk()).toMatchObject({ epoch: 3 });
  });

  it('may not be lower than any seen, by an earlier process too', async () => {
    await (await open()).obey(3);
    const identity = await open();
    expect(await kindOf(identity.obey(2))).toBe('stale-epoch');
    expect(await kindOf(identity.obey(3))).toBe('allowed');
  });

  it('rises once for commands that come together', async () => {
    const identity = await open();
    const outcomes = await Promise.all([5, 7, 6, 7].map((epoch) => kindOf(identity.obey(epoch))));
    expect(outcomes).toEqual(['allowed', 'allowed', 'stale-epoch', 'allowed']);
    expect(await onDisk()).toMatchObject({ epoch: 7 });
  });

  it('does not pass while it cannot be remembered', async () => {
    const identity = await open();
    // The record is staged under this name: a directory there makes every write fail.
    const obstacle = join(directory.path, 'node.json.new');
    await mkdir(obstacle);
    await expect(identity.obey(9)).rejects.toThrow('EISDIR');
    await expect(identity.obey(9)).rejects.toThrow('EISDIR');
    await rm(obstacle, { recursive: true });
    await identity.obey(9);
    expect(await onDisk()).toMatchObject({ epoch: 9 });
  });

  it('begins its journal anew', async () => {
    const identity = await open();
    await identity.hear({ epoch: 1, journal: 500 });
    await identity.hear({ epoch: 1, journal: 400 });
    expect(await onDisk()).toMatchObject({ epoch: 1, journal: 500 });
    await identity.obey(2);
    expect(identity.journal).toBe(0);
    await identity.hear({ epoch: 2, journal: 450 });
    await identity.hear({ epoch: 1, journal: 900 });
    expect(await onDisk()).toMatchObject({ epoch: 2, journal: 450 });
  });
});
