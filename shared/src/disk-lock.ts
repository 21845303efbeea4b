import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import sqlite3 from 'sqlite3';
import { ConfigurationError } from './environment.ts';
import { StoreError } from './errors.ts';
import { whyNotMade } from './make-directories.ts';

/** Name of the lock's file in the directory that it guards. */
export const lockFileName = '.lock';

export interface DiskLock {
  release(): Promise<void>;
}

/**
 * Takes a directory for this process alone, until `release` or its death: an SQLite file in `BEGIN EXCLUSIVE`, whose lock the kernel frees with the
 * process and which holds between containers that share the directory. `what` names the holder's kind in the message ("storage node").
 *
 * Rejects with `conflict` when it is held, by this process too, and with `ConfigurationError` when the directory cannot be written.
 */
export async function acquireDiskLock(
  directory: string,
  { what }: { readonly what: string },
): Promise<DiskLock> {
  const file = join(directory, lockFileName);
  await mustBeWritable(directory, directory);
  // SQLite opens a file that it may not write for reading only, and `BEGIN EXCLUSIVE` then locks nothing.
  await mustBeWritable(file, directory);
  const database = await open(file, directory);
  try {
    database.configure('busyTimeout', 0);
    await execute(database, 'BEGIN EXCLUSIVE');
  } catch (cause) {
    await close(database);
    if ((cause as NodeJS.ErrnoException).code !== 'SQLITE_BUSY') throw cannotLock(directory, cause);
    throw new StoreError('conflict', `The directory ${directory} is in use by another ${what}.`, {
      hint: `Stop it, or give this ${what} another directory.`,
      cause,
    });
  }
  let released: Promise<void> | undefined;
  return {
    release: () => {
      released ??= close(database);
      return released;
    },
  };
}

async function mustBeWritable(path: string, directory: string): Promise<void> {
  const mode =
    path === directory ? constants.W_OK | constants.X_OK : constants.R_OK | constants.W_OK;
  await access(path, mode).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' && path !== directory) return;
    throw cannotLock(directory, cause);
  });
}

const cannotLock = (directory: string, cause: unknown) => {
  const { code } = cause as NodeJS.ErrnoException;
  const why = code === 'ENOENT' ? 'it does not exist' : whyNotMade(cause);
  return new ConfigurationError(
    `The directory ${directory} cannot be written: ${why}. Choose another with --data (DFS_DATA), or let this user write it.`,
    { cause },
  );
};

const open = (file: string, directory: string) =>
  new Promise<sqlite3.Database>((resolve, reject) => {
    const database = new sqlite3.Database(file, (error) => {
      if (error) reject(cannotLock(directory, error));
      else resolve(database);
    });
  });

const execute = (database: sqlite3.Database, sql: string) =>
  new Promise<void>((resolve, reject) => {
    database.exec(sql, (error) => (error ? reject(error) : resolve()));
  });

const close = (database: sqlite3.Database) =>
  new Promise<void>((resolve, reject) => {
    database.close((error) => (error ? reject(error) : resolve()));
  });
