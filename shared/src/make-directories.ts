import { mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a directory and what is missing above it; one that is there already is fine, whoever made it. Rejects with the system's error for the first that cannot be made.
 *
 * It stands in for `mkdir` with `recursive`, which tries for ever, at full speed, where a file system answers ENOENT below a directory that exists, as /proc does.
 */
export async function makeDirectories(path: string): Promise<void> {
  const missing: string[] = [];
  let folder = resolve(path);
  for (;;) {
    const error = await make(folder);
    if (error === undefined) break;
    const parent = dirname(folder);
    if (error.code !== 'ENOENT' || parent === folder) throw error;
    missing.push(folder);
    folder = parent;
  }
  for (const child of missing.reverse()) {
    const error = await make(child);
    if (error !== undefined) throw error;
  }
}

/** Undefined when the directory is there now, else why it is not. */
async function make(folder: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(folder);
    return undefined;
  } catch (error) {
    // Systems differ in what they answer for a directory that is there and may not be made: what counts is that it is.
    const found = await stat(folder).catch(() => undefined);
    return found?.isDirectory() ? undefined : (error as NodeJS.ErrnoException);
  }
}

/** What a person reads of why something could not be made or written: plain words where the code has some, and the code. */
export function whyNotMade(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return message;
  const words = reasons[code];
  return words === undefined ? code : `${words} (${code})`;
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EEXIST: 'something that is not a directory has this name',
  ENOTDIR: 'a part of its path is not a directory',
  ENOENT: 'nothing can be made there',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENAMETOOLONG: 'its name is too long',
};
