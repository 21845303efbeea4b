import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LaunchError } from './program.ts';
import { carryOutReset, planReset } from './reset.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.remove());

const key = `${'0f'.repeat(32)}\n`;
const record = JSON.stringify({ format: 1, nodeId: 'b6f0', name: 'node-1', epoch: 1, journal: 0 });

/** Makes files of these names and contents. */
async function holding(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory.path, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}
const everything = async () => (await readdir(directory.path, { recursive: true })).sort();
const reset = async () => carryOutReset(await planReset(directory.path));

const store = {
  'cluster.key': key,
  'logs/master.log': '',
  'logs/node-1.log': '',
  'logs/replicator.log': '',
  'master/.lock': '',
  'master/metadata.sqlite': 'SQLite format 3',
  'master/metadata.sqlite-wal': '',
  'node-1/.lock': '',
  'node-1/node.json': record,
  'node-1/blobs/00/a': 'a blob',
  'node-1/staging/b.1': '',
  'node-1/cache/0193b2f4-6f3c-7d6a-9a51-0d8c6d2f9b11': 'cached',
  'node-1/journal/records-1-0000000000000001.log': '',
};

describe('a reset', () => {
  it('wipes a store', async () => {
    await holding(store);
    await reset();
    expect(await everything()).toEqual([]);
  });

  it('deletes last what shows that a part is of the store', async () => {
    await holding(store);
    const { files } = await planReset(directory.path);
    const marks = files.slice(-4).map((path) => path.slice(directory.path.length + 1));
    expect(marks[0]).toBe('node-1/node.json');
    expect(marks.slice(1, 3).sort()).toEqual(['master/.lock', 'node-1/.lock']);
    expect(marks[3]).toBe('cluster.key');
  });

  it('has nothing to do in an empty or absent directory', async () => {
    expect(await planReset(directory.path)).toEqual({ files: [], folders: [] });
    expect(await planReset(join(directory.path, 'absent'))).toEqual({ files: [], folders: [] });
  });

  it.each<[string, Record<string, string>]>([
    ['logs of another program', { 'logs/master.log': 'precious' }],
    ['folders of the names of ours', { 'master/thesis.tex': 'x', 'node-1/thesis.tex': 'x' }],
    ['a key of another kind', { 'cluster.key': '-----BEGIN PRIVATE KEY-----' }],
    ['a cluster.json of another program', { 'cluster.json': '{"nodes":[1]}' }],
    ['the data of a lone node', { '.lock': '', 'node.json': record, 'blobs/00/a': '' }],
    ['an empty file', { 'notes.txt': '' }],
  ])('refuses a directory with %s and touches nothing', async (_, files) => {
    await holding(files);
    const before = await everything();
    await expect(reset()).rejects.toThrow(LaunchError);
    await expect(reset()).rejects.toThrow(/does not look like a store.*--data/);
    expect(await everything()).toEqual(before);
  });

  it('leaves what is not of the store beside it', async () => {
    const others = {
      'notes.txt': 'x',
      'logs/nginx.log': 'x',
      'node-7/thesis.tex': 'x',
      'node-8/blobs/holiday.jpg': 'x',
    };
    await holding({ ...store, ...others });
    await reset();
    const left = await everything();
    expect(left.filter((name) => Object.hasOwn(others, name))).toEqual(Object.keys(others).sort());
    expect(left.filter((name) => Object.hasOwn(store, name))).toEqual([]);
  });

  it.each(['master/backup.sqlite', 'node-1/thesis.tex'])(
    'refuses while %s lies within the store, and touches nothing',
    async (name) => {
      await holding({ ...store, [name]: 'precious' });
      const before = await everything();
      await expect(reset()).rejects.toThrow(/holds other things \((backup\.sqlite|thesis\.tex)\)/);
      expect(await everything()).toEqual(before);
    },
  );

  it.each<[string, Record<string, string>]>([
    ['before the key was named', { 'cluster.key.0123456789ab.new': '' }],
    ['before any program ran', { 'cluster.key': key }],
    ['before the master had a database', { 'cluster.key': key, 'master/.lock': '' }],
    ['before a node had its record', { 'node-1/.lock': '', 'node-1/blobs/00/a': '' }],
  ])('wipes what a start left that was cut short %s', async (_, files) => {
    await holding(files);
    await reset();
    expect(await everything()).toEqual([]);
  });
});
