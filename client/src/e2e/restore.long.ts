import {
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { FoundEntry } from '@dfs/shared';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, seededRandom } from './harness/content.ts';
import { type FolderEntry, readFolder } from './harness/folder.ts';
import { temporaryDirectory } from './harness/guard.ts';
import type { Program } from './harness/program.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const fileCount = 10_000;
const seed = Number(process.env['DFS_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const stems = [
  'plain',
  ' blank at both ends ',
  '日本語 😀',
  'e\u0301 decomposed',
  'é composed',
  '#?%&+=;:@!$,',
  '%41%2f',
  '-rf',
  '.hidden',
  '\'quotes"',
  'back\\slash',
  'line\nfeed\ttab',
  '[x]*?',
  'ﾞ half width',
  `long ${'é'.repeat(110)}`,
];

/** A tree of folders with odd names: most files small, some empty, some of several blobs; and folders with nothing in them. */
function growTree(top: string): void {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const nameOf = (kind: string, index: number) => `${stems[below(stems.length)]} ${kind}${index}`;
  // Five at the top, which the work below names; the others at random places.
  const folders = ['moved', 'deleted', 'copied', 'undone', 'kept'];
  for (let index = 0; index < 300; index += 1) {
    folders.push(join(folders[below(folders.length)] as string, nameOf('d', index)));
    // Paths of the machine have a limit.
    if (Buffer.byteLength(folders.at(-1) as string) > 1_500) folders.pop();
  }
  for (const folder of folders) mkdirSync(join(top, folder), { recursive: true });
  for (let index = 0; index < fileCount; index += 1) {
    const folder = folders[index < 5 ? index : below(folders.length)] as string;
    const kind = below(100);
    const sizeBytes = kind < 5 ? 0 : kind === 99 ? 1_000_000 + below(2_000_000) : below(8_000);
    const at = join(top, folder, nameOf('f', index));
    writeFileSync(at, contentOf(`${seed} ${index}`, sizeBytes));
    const seconds = 1_400_000_000 + below(2 ** 27) + below(1_000) / 1_000;
    utimesSync(at, seconds, seconds);
  }
  for (const folder of folders) {
    if (below(4) === 0) mkdirSync(join(top, folder, nameOf('empty', 0)));
  }
}

const contentsOf = (folder: ReadonlyMap<string, FolderEntry>) =>
  Object.fromEntries([...folder].map(([path, { content }]) => [path, content]));

/** Times of files: those of folders change with what is in them. */
const timesOf = (folder: ReadonlyMap<string, FolderEntry>) =>
  Object.fromEntries(
    [...folder].flatMap(([path, { content, modifiedMs }]) =>
      content === 'directory' ? [] : [[path, modifiedMs]],
    ),
  );

/** Every name of the store with all that is told of it. */
async function namesOf(programs: SeparatePrograms): Promise<FoundEntry[]> {
  const { status, text } = await programs.send({ path: '/find/?format=json' });
  expect(status).toBe(200);
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as FoundEntry);
}

describe(`a tree of ${fileCount} files that people worked in (DFS_TEST_SEED=${seed})`, () => {
  const source = temporaryDirectory('source');
  const model = join(temporaryDirectory('model'), 'tree');
  let programs: SeparatePrograms;
  beforeAll(async () => {
    growTree(source);
    cpSync(source, model, { recursive: true, preserveTimestamps: true });
    const environment = {
      DFS_SEGMENT_BYTES: '1MiB',
      DFS_TRASH_TTL: '1h',
      DFS_REPLACE_AFTER: '5s',
    };
    programs = await startSeparatePrograms({ nodes: 3, copies: 2, environment });
  });
  afterAll(() => programs?.dispose());

  const at = (path: string) => join(model, path);
  /** The commands of a user, which must succeed. */
  async function dfs(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await programs.dfs(args);
    expect(code, `dfs ${args.join(' ')}: ${stderr}`).toBe(0);
    return stdout;
  }

  async function killNode(name: string): Promise<() => Promise<unknown>> {
    const { dataDir, port, program } = programs.node(name);
    process.kill(programs.pidOfNode(name), 'SIGKILL');
    await program.finished;
    return () => programs.startNode({ name, dataDir, port });
  }

  async function waitForNames(importing: Program, count: number): Promise<void> {
    await waitUntil(
      `${count} files to be stored`,
      async () => (await programs.status()).files >= count || importing.hasEnded,
      { withinMs: 600_000 },
    );
    expect(importing.hasEnded, 'the import ended before a node was killed').toBe(false);
  }

  it('comes in while a node is killed', async () => {
    const importing = programs.startDfs(['import', source, '/tree', '--json']);
    await waitForNames(importing, fileCount / 4);
    const startAgain = await killNode('node-2');
    await waitForNames(importing, fileCount / 2);
    await startAgain();
    const finished = await importing.finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(finished.json<{ new: string[]; failed: unknown[] }>().failed).toEqual([]);
  });

  it('is worked in while another node is down', async () => {
    const startAgain = await killNode('node-3');
    await dfs('mv', '/tree/moved', '/tree/kept/here');
    renameSync(at('moved'), at('kept/here'));
    await dfs('rm', '-r', '/tree/deleted');
    rmSync(at('deleted'), { recursive: true });
    await dfs('cp', '-r', '/tree/copied', '/tree/kept/copy');
    cpSync(at('copied'), at('kept/copy'), { recursive: true, preserveTimestamps: true });
    await dfs('rm', '-r', '/tree/undone');
    await dfs('trash', 'restore', '/tree/undone', '--to', '/tree/brought back');
    renameSync(at('undone'), at('brought back'));
    await dfs('mkdir', '-p', '/tree/new/and/empty');
    mkdirSync(at('new/and/empty'), { recursive: true });
    // Some files of the copy are replaced, some renamed, some deleted: what they share with others stays.
    const files = readdirSync(at('kept/copy'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    expect(files.length).toBeGreaterThan(20);
    const changes = join(temporaryDirectory('changes'), 'tree');
    for (const file of files.slice(0, 10)) {
      const path = file.slice(model.length + 1);
      for (const top of [changes, model]) {
        mkdirSync(dirname(join(top, path)), { recursive: true });
        writeFileSync(join(top, path), `changed ${path}`);
        utimesSync(join(top, path), 1_600_000_000.25, 1_600_000_000.25);
      }
    }
    await dfs('import', changes, '/tree');
    const [renamed = '', gone = ''] = files.slice(10);
    await dfs('mv', '-T', '--', `/tree/${renamed.slice(model.length + 1)}`, '/tree/kept/renamed');
    renameSync(renamed, at('kept/renamed'));
    await dfs('rm', '--', `/tree/${gone.slice(model.length + 1)}`);
    rmSync(gone);
    await startAgain();
    await programs.waitForAllCopies({ withinMs: 600_000, everyMs: 500 });
  });

  it('is there again, every name, folder, time and MD5, after the master was killed and its database deleted', async () => {
    const before = await namesOf(programs);
    const trash = await dfs('trash', 'ls', '--json');
    await programs.waitUntilShipped();
    await programs.loseDatabase();
    const report = JSON.parse(await dfs('restore', '--json'));
    expect(report).toMatchObject({
      epoch: 2,
      withoutCopy: { count: 0 },
      found: { count: 0 },
      doubtful: { count: 0 },
      contested: { count: 0 },
    });
    expect(await namesOf(programs)).toEqual(before);
    expect(await dfs('trash', 'ls', '--json')).toBe(trash);

    const target = join(temporaryDirectory('target'), 'tree');
    await dfs('export', '/tree', target);
    const [got, wanted] = [readFolder(target), readFolder(model)];
    expect(wanted.size).toBeGreaterThan(fileCount / 2);
    expect(contentsOf(got)).toEqual(contentsOf(wanted));
    expect(timesOf(got)).toEqual(timesOf(wanted));
    for (const { path, kind, modified } of before) {
      if (kind !== 'directory' || !path.startsWith('/tree/')) continue;
      const { mtimeMs } = statSync(join(target, path.slice('/tree/'.length)));
      expect(Math.round(mtimeMs), path).toBe(Date.parse(modified));
    }
    // What was deleted before the loss can still be brought back after it.
    await dfs('trash', 'restore', '/tree/deleted');
    await dfs('export', '/tree/deleted', join(target, 'deleted'));
    expect(contentsOf(readFolder(join(target, 'deleted')))).toEqual(
      contentsOf(readFolder(join(source, 'deleted'))),
    );
    await programs.waitForAllCopies({ withinMs: 600_000, everyMs: 500 });
  });
});
