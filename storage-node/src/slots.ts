import { join, resolve } from 'node:path';
import { ConfigurationError, makeDirectories, StoreError, whyNotMade } from '@dfs/shared';
import { acquireDiskLock, type DiskLock } from '@dfs/shared/disk-lock';

const what = 'storage node';
const slotsMax = 1_000;

/** A data directory that belongs to this process until the lock is released. */
export interface TakenDirectory {
  /** Absolute. */
  readonly path: string;
  readonly lock: DiskLock;
  /** The slot's name, when the directory holds slots. */
  readonly slot?: string;
}

/**
 * Takes the data directory for this process, and makes it when it is missing. With `hasSlots` it is
 * shared by several nodes: each takes the first free slot in it (`node-1`, `node-2`, …), by its
 * lock, so that a node that starts anew finds a disk of before. Rejects with `conflict` when it is
 * held, with `ConfigurationError` when it cannot be written.
 */
export async function takeDataDirectory(
  dataDir: string,
  { hasSlots }: { readonly hasSlots: boolean },
): Promise<TakenDirectory> {
  const path = resolve(dataDir);
  if (!hasSlots) return { path, lock: await lockDirectory(path) };
  for (let number = 1; number <= slotsMax; number += 1) {
    const slot = `node-${number}`;
    const lock = await lockIfFree(join(path, slot));
    if (lock) return { path: join(path, slot), lock, slot };
  }
  throw new ConfigurationError(`All ${slotsMax} slots of the data directory ${path} are taken.`);
}

async function lockIfFree(path: string): Promise<DiskLock | undefined> {
  try {
    return await lockDirectory(path);
  } catch (error) {
    if (error instanceof StoreError && error.kind === 'conflict') return undefined;
    throw error;
  }
}

async function lockDirectory(path: string): Promise<DiskLock> {
  await makeDirectories(path).catch((error) => {
    throw new ConfigurationError(
      `The data directory ${path} cannot be made: ${whyNotMade(error)}. Choose another with --data (DFS_DATA).`,
      { cause: error },
    );
  });
  return acquireDiskLock(path, { what });
}
