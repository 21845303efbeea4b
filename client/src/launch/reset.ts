import { readdir, readFile, rm, rmdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { whyNotMade } from '@dfs/shared';
import { LaunchError } from './program.ts';

/**
 * What a reset deletes: `files` with all that is in them, then `folders` where that left them empty. Nothing in an empty or absent directory.
 *
 * Rejects with `LaunchError` when the directory holds things, but no sign that `dfs up` keeps a store there, and when a part of the store holds things of others.
 */
export async function planReset(dataDir: string): Promise<ResetPlan> {
  const names = (await namesIn(dataDir)).filter((name) => name !== 'lost+found');
  if (names.length === 0) return { files: [], folders: [] };
  const parts = [];
  for (const name of names) {
    const part = partNamed(name);
    if (part && (await part.isOurs(join(dataDir, name)))) parts.push({ ...part, name });
  }
  if (!parts.some((part) => part.isSign)) {
    throw new LaunchError(
      `${dataDir} does not look like a store of dfs up, so --reset deletes nothing: name the store's directory with --data, or leave out --reset.`,
    );
  }
  const plan = { files: [] as string[], folders: [] as string[] };
  for (const { name, owns, isExclusive } of parts) {
    const path = join(dataDir, name);
    if (owns === undefined) {
      plan.files.push(path);
      continue;
    }
    const inside = await namesIn(path);
    const foreign = inside.filter((entry) => !owns.test(entry) && entry !== 'lost+found');
    if (isExclusive && foreign.length > 0) {
      throw new LaunchError(
        `${path} holds other things (${foreign.slice(0, 3).join(', ')}), so --reset deletes nothing: move them away first.`,
      );
    }
    plan.files.push(
      ...inside.filter((entry) => owns.test(entry)).map((entry) => join(path, entry)),
    );
    plan.folders.push(path);
  }
  // What shows that a part is ours goes last, so that a reset that was cut short can be done again.
  plan.files.sort((a, b) => rankOf(a) - rankOf(b));
  return plan;
}

const marks = [/\/node\.json$/, /\/\.lock$/, /\/cluster\.key$/];

const rankOf = (path: string) => marks.findIndex((mark) => mark.test(path));

export interface ResetPlan {
  readonly files: readonly string[];
  readonly folders: readonly string[];
}

export async function carryOutReset({ files, folders }: ResetPlan): Promise<void> {
  try {
    for (const path of files) await rm(path, { recursive: true, force: true });
  } catch (error) {
    const { path } = error as NodeJS.ErrnoException;
    throw new LaunchError(`${path} cannot be deleted: ${whyNotMade(error)}.`);
  }
  // One that still holds something, or is a link to a disk, stays.
  for (const path of folders) await rmdir(path).catch(() => undefined);
}

/** One of the things that a store has in its directory. */
interface Part {
  readonly pattern: RegExp;
  /** Whether what has this name was made by dfs. */
  readonly isOurs: (path: string) => Promise<boolean>;
  /** Whether nothing but a store of `dfs up` has it. */
  readonly isSign: boolean;
  /** The entries of a folder that are ours; without it the part is a file. */
  readonly owns?: RegExp;
  /** Whether a folder with other entries as well is refused rather than kept. */
  readonly isExclusive?: boolean;
}

const masterNames = /^(\.lock|metadata\.sqlite)/;

const parts: readonly Part[] = [
  { pattern: /^cluster\.key$/, isOurs: isMadeKey, isSign: true },
  { pattern: /^cluster\.key\.[0-9a-f]{12}\.new$/, isOurs: isFile, isSign: true },
  { pattern: /^cluster\.json$/, isOurs: isClusterFile, isSign: true },
  { pattern: /^cluster\.json\.\d+\.new$/, isOurs: isFile, isSign: false },
  {
    pattern: /^master$/,
    isOurs: isMaster,
    isSign: true,
    owns: masterNames,
    isExclusive: true,
  },
  {
    pattern: /^node-\d+$/,
    isOurs: isNode,
    isSign: true,
    owns: /^(blobs$|staging$|journal$|cache$|node\.json|scrub\.json|\.lock|\.probe$)/,
    isExclusive: true,
  },
  {
    pattern: /^logs$/,
    isOurs: isDirectory,
    isSign: false,
    owns: /^(master|replicator|node-\d+)\.log$/,
  },
];

const partNamed = (name: string) => parts.find(({ pattern }) => pattern.test(name));

async function isMadeKey(path: string): Promise<boolean> {
  return /^(?:[0-9a-f]{64}\n){1,2}$/.test(await textOf(path));
}

async function isClusterFile(path: string): Promise<boolean> {
  const cluster = jsonOf(await textOf(path));
  return Array.isArray(cluster?.['nodes']) && typeof cluster['managementUrl'] === 'string';
}

/** The lock is the first thing that a master or a node makes. */
async function isMaster(path: string): Promise<boolean> {
  if (!(await isFile(join(path, '.lock')))) return false;
  const database = await stat(join(path, 'metadata.sqlite')).catch(() => undefined);
  return database?.isFile() ?? (await namesIn(path)).every((name) => masterNames.test(name));
}

/** By its record; where that is lost, damaged or not yet made, by the folders for blobs. */
async function isNode(path: string): Promise<boolean> {
  if (!(await isFile(join(path, '.lock')))) return false;
  const record = jsonOf(await textOf(join(path, 'node.json')));
  if (typeof record?.['nodeId'] === 'string') return true;
  return isDirectory(join(path, 'blobs', '00'));
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false;
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
}

/** Empty for what is no small file: none of ours is long. */
async function textOf(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile() || found.size > 1_000_000) return '';
  return readFile(path, 'utf8').catch(() => '');
}

function jsonOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

async function namesIn(path: string): Promise<readonly string[]> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    const why = error.code === 'ENOTDIR' ? 'it is not a directory' : whyNotMade(error);
    throw new LaunchError(`The directory ${path} cannot be read: ${why}.`);
  });
}
