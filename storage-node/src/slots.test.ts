import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigurationError } from '@dfs/shared';
import { temporaryDirectory } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatDataDirectory } from './data-directory.ts';
import { hasIdentity, NodeIdentity } from './node-identity.ts';
import { type TakenDirectory, takeDataDirectory } from './slots.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
const taken: TakenDirectory[] = [];
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(async () => {
  for (const { lock } of taken.splice(0)) await lock.release();
  for (const child of children.splice(0)) await kill(child);
  await directory.remove();
});

async function take(hasSlots: boolean, path = directory.path): Promise<TakenDirectory> {
  const one = await takeDataDirectory(path, { hasSlots });
  taken.push(one);
  return one;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Another process that holds the lock of a directory, as another daemon does. */
async function holdElsewhere(path: string): Promise<ChildProcess> {
  const module = new URL('../../node_modules/sqlite3/lib/sqlite3.js', import.meta.url).href;
  const source = `
    const { default: sqlite3 } = await import(${JSON.stringify(module)});
    const database = new sqlite3.Database(${JSON.stringify(join(path, '.lock'))});
    database.exec('BEGIN EXCLUSIVE', (error) => process.stdout.write(error ? 'refused' : 'held'));
    setInterval(() => database, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  const [answer] = await once(child.stdout, 'data');
  expect(String(answer)).toBe('held');
  return child;
}

describe('a data directory', () => {
  it('is made when it is missing, and serves one process at a time', async () => {
    const path = join(directory.path, 'some', 'where');
    await take(false, path);
    await expect(take(false, path)).rejects.toMatchObject({
      kind: 'conflict',
      message: `The directory ${path} is in use by another storage node.`,
    });
  });

  it('is refused while another process holds it, and free once that was killed', async () => {
    const child = await holdElsewhere(directory.path);
    await expect(take(false)).rejects.toMatchObject({ kind: 'conflict' });
    await kill(child);
    await take(false);
  });

  it('is refused when it cannot be written, by root neither', async () => {
    await expect(take(false, '/proc/self')).rejects.toThrow(
      /^The directory \/proc\/self cannot be written: .*\.$/,
    );
  });

  it.runIf(process.platform === 'linux')(
    'is refused at once by a file system that makes none',
    async () => {
      await expect(take(false, '/proc/none')).rejects.toThrow(
        /^The data directory \/proc\/none cannot be made: .*ENOENT.*--data/,
      );
    },
  );

  it('is refused when it cannot be made', async () => {
    const file = join(directory.path, 'file');
    await writeFile(file, '');
    await expect(take(false, join(file, 'data'))).rejects.toThrow(
      new ConfigurationError(
        `The data directory ${file}/data cannot be made: a part of its path is not a directory (ENOTDIR). Choose another with --data (DFS_DATA).`,
      ),
    );
  });
});

describe('slots of a shared directory', () => {
  it('are taken in order, each by one process', async () => {
    const slots = [await take(true), await take(true), await take(true)];
    expect(slots.map(({ slot }) => slot)).toEqual(['node-1', 'node-2', 'node-3']);
    expect(slots.map(({ path }) => path)).toEqual(
      ['node-1', 'node-2', 'node-3'].map((slot) => join(directory.path, slot)),
    );
  });

  it('are found again when a process ended', async () => {
    const child = await (async () => {
      await mkdir(join(directory.path, 'node-1'));
      return holdElsewhere(join(directory.path, 'node-1'));
    })();
    expect((await take(true)).slot).toBe('node-2');
    await kill(child);
    expect((await take(true)).slot).toBe('node-1');
  });

  it('go to different processes when several start at once', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => take(true)));
    expect(new Set(all.map(({ slot }) => slot)).size).toBe(5);
  });
});

describe('the format of a data directory', () => {
  const format = async () =>
    formatDataDirectory(directory.path, { isFormatted: await hasIdentity(directory.path) });

  it('has all 256 folders from the beginning', async () => {
    const data = await format();
    await data.close();
    const folders = await readdir(join(directory.path, 'blobs'));
    expect(folders).toHaveLength(256);
    expect(folders.sort().at(0)).toBe('00');
    expect(folders.at(-1)).toBe('ff');
  });

  it('empties the staging folder at each start', async () => {
    await (await format()).close();
    await writeFile(join(directory.path, 'staging', 'left-over'), 'x');
    await (await format()).close();
    expect(await readdir(join(directory.path, 'staging'))).toEqual([]);
  });

  it('is finished when it was cut short', async () => {
    await mkdir(join(directory.path, 'blobs', '07'), { recursive: true });
    await (await format()).close();
    await NodeIdentity.open(directory.path, 'x');
    await (await format()).close();
    expect(await readdir(join(directory.path, 'blobs'))).toHaveLength(256);
  });

  it('is refused to a directory that holds other things', async () => {
    await writeFile(join(directory.path, 'thesis.docx'), 'x');
    await expect(format()).rejects.toThrow(/holds other things \(thesis\.docx\)/);
    expect(await readdir(directory.path)).toEqual(['thesis.docx']);
  });

  it('is refused to blobs whose node nobody knows', async () => {
    await mkdir(join(directory.path, 'blobs', '07'), { recursive: true });
    await writeFile(join(directory.path, 'blobs', '07', 'some-blob'), 'x');
    await expect(format()).rejects.toThrow(/holds blobs but no node\.json/);
  });
});
