import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '@dfs/shared';
import { shown } from '../output.ts';
import { isStagedName } from './staged-file.ts';
import type { FileStamp, LocalEntry, LocalFile, Skipped, TreeDirectory } from './tree-entry.ts';
import { joinTreePath } from './tree-order.ts';

export interface LocalWalkOptions {
  /** Is told of what has no name that the store could keep, and hence no place in the order. */
  readonly onUnnamed: (skipped: Skipped) => void;
  /** Is told of files that a download writes or has left behind; they belong to no tree. */
  readonly onStaged?: (path: string) => void;
}

/** How many files of a directory are looked at together. */
const statsAtOnce = 64;

/**
 * All below a directory of this machine, in the order of `compareTreePaths`; the directory itself is not given. Symbolic links are not followed. Holds the names of the directories on the way
 * to where it is, no more. What vanishes while it walks is left out. Rejects when the directory itself cannot be read.
 */
export async function* walkLocalTree(
  top: string,
  options: LocalWalkOptions,
): AsyncGenerator<LocalEntry> {
  const names = await readNames(top).catch((cause: NodeJS.ErrnoException) => {
    throw new StoreError(
      cause.code === 'ENOENT' ? 'not-found' : 'invalid-request',
      `${shown(top)} cannot be read (${cause.code}).`,
      { hint: 'Name a directory on this machine.', cause },
    );
  });
  yield* walk({ top, ...options }, '', names);
}

interface Walk extends LocalWalkOptions {
  readonly top: string;
}

async function* walk(
  within: Walk,
  directory: string,
  names: readonly Buffer[],
): AsyncGenerator<LocalEntry> {
  for (let at = 0; at < names.length; at += statsAtOnce) {
    const some = names.slice(at, at + statsAtOnce);
    for (const entry of await Promise.all(some.map((name) => look(within, directory, name)))) {
      if (entry?.kind !== 'directory') {
        if (entry) yield entry;
        continue;
      }
      const below = await namesOf(within, entry);
      if (below === undefined) continue;
      if ('reason' in below) {
        yield below;
        continue;
      }
      yield entry;
      yield* walk(within, entry.path, below);
    }
  }
}

/** The names in a directory, what to say of it when it cannot be read, or undefined when it is gone. */
async function namesOf(
  { top }: Walk,
  { path }: TreeDirectory,
): Promise<Buffer[] | Skipped | undefined> {
  try {
    return await readNames(join(top, path));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    return { path, kind: 'skipped', reason: `cannot be read (${code})`, isFailure: true };
  }
}

const readNames = async (directory: string): Promise<Buffer[]> =>
  (await readdir(directory, { encoding: 'buffer' })).sort(Buffer.compare);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

async function look(
  { top, onUnnamed, onStaged }: Walk,
  directory: string,
  bytes: Buffer,
): Promise<LocalEntry | undefined> {
  let name: string;
  try {
    name = utf8.decode(bytes);
  } catch {
    const path = joinTreePath(directory, bytes.toString('utf8'));
    onUnnamed({ path, kind: 'skipped', reason: 'the name is not UTF-8', isFailure: true });
    return undefined;
  }
  const path = joinTreePath(directory, name);
  if (isStagedName(name)) {
    onStaged?.(path);
    return undefined;
  }
  try {
    return localEntryOf(path, await lstat(join(top, path), { bigint: true }));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    return { path, kind: 'skipped', reason: `cannot be read (${code})`, isFailure: true };
  }
}

export function localEntryOf(path: string, facts: BigIntStats): LocalEntry {
  if (facts.isFile()) return localFileOf(path, facts);
  if (facts.isDirectory()) return { path, kind: 'directory', modifiedMs: modifiedMsOf(facts) };
  return { path, kind: 'skipped', reason: kindOf(facts), isFailure: false };
}

export const localFileOf = (path: string, facts: BigIntStats): LocalFile => ({
  path,
  kind: 'file',
  sizeBytes: Number(facts.size),
  modifiedMs: modifiedMsOf(facts),
  stamp: stampOf(facts),
});

export const stampOf = (facts: BigIntStats): FileStamp => ({
  sizeBytes: Number(facts.size),
  inode: String(facts.ino),
  modified: String(facts.mtimeNs),
  changed: String(facts.ctimeNs),
});

export const isSameStamp = (a: FileStamp, b: FileStamp) =>
  a.sizeBytes === b.sizeBytes &&
  a.inode === b.inode &&
  a.modified === b.modified &&
  a.changed === b.changed;

/** Rounded, so that a time that was set from milliseconds reads as the same ones, however the file system keeps it. */
export const modifiedMsOf = (facts: BigIntStats) => Math.round(Number(facts.mtimeNs) / 1e6);

function kindOf(facts: BigIntStats): string {
  if (facts.isSymbolicLink()) return 'a symbolic link';
  if (facts.isSocket()) return 'a socket';
  if (facts.isFIFO()) return 'a named pipe';
  return 'a device';
}
