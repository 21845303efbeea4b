import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobId, ConfigurationError, makeDirectories, shardOf } from '@dfs/shared';
import { DirectorySyncs } from './directory-syncs.ts';
import { closeFile, codeOf, openFile, syncFile } from './raw-file.ts';

/** All folders of `blobs/`, in the order of inventories. */
export const shards: readonly string[] = Array.from({ length: 256 }, (_, index) =>
  index.toString(16).padStart(2, '0'),
);

const ownNames: ReadonlySet<string> = new Set([
  'blobs',
  'staging',
  'journal',
  'cache',
  'lost+found',
]);

/** Where things lie on a node's disk, and which of its folders are durable. */
export class DataDirectory {
  readonly path: string;
  readonly #syncs = new DirectorySyncs();
  #staged = 0;

  constructor(path: string) {
    this.path = path;
  }

  shardPath(shard: string): string {
    return join(this.path, 'blobs', shard);
  }

  blobPath(id: BlobId): string {
    return `${this.path}/blobs/${shardOf(id)}/${id}`;
  }

  /** A new name in the folder where bytes wait to become a blob. */
  stagedPath(id: BlobId): string {
    this.#staged += 1;
    return `${this.path}/staging/${id}.${this.#staged}`;
  }

  get stagingPath(): string {
    return join(this.path, 'staging');
  }

  /** Where the node's copy of the master's journal lies. */
  get journalPath(): string {
    return join(this.path, 'journal');
  }

  /** Where copies lie that were fetched for readers and may go at any time. */
  get cachePath(): string {
    return join(this.path, 'cache');
  }

  /** A file to write to when a sign of life is wanted from the disk. */
  get probePath(): string {
    return join(this.path, '.probe');
  }

  /** Makes what was named in or removed from the blob's folder before this call durable. */
  syncFolderOf(id: BlobId): Promise<void> {
    return this.#syncs.sync(this.shardPath(shardOf(id)));
  }

  close(): Promise<void> {
    return this.#syncs.close();
  }
}

/**
 * Makes the folders of a node's disk where they are missing and empties the staging folder; the
 * caller holds the directory's lock. `isFormatted`: the disk has an identity. Rejects with
 * `ConfigurationError`, in one line, when the directory holds other things or cannot be written.
 */
export async function formatDataDirectory(
  path: string,
  { isFormatted }: { readonly isFormatted: boolean },
): Promise<DataDirectory> {
  try {
    if (!isFormatted) await mustBeEmpty(path);
    await makeDirectories(join(path, 'blobs'));
    const present = new Set(await readdir(join(path, 'blobs')));
    const missing = shards.filter((shard) => !present.has(shard));
    for (const shard of missing) await mkdir(join(path, 'blobs', shard));
    await makeDirectories(join(path, 'staging'));
    await makeDirectories(join(path, 'journal'));
    // The folder itself stays: on a full disk it could not be made anew.
    for (const name of await readdir(join(path, 'staging'))) {
      await rm(join(path, 'staging', name), { recursive: true });
    }
    if (missing.length > 0) await syncDirectory(join(path, 'blobs'));
    await syncDirectory(path);
    return new DataDirectory(path);
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError(
      `The data directory ${path} cannot be written: ${codeOf(error) || (error as Error).message}.`,
      { cause: error },
    );
  }
}

/**
 * A directory in use for something else must not become a node's by a slip of the pen. A format
 * that was cut short is finished.
 */
async function mustBeEmpty(path: string): Promise<void> {
  const foreign = (await readdir(path)).filter(
    (name) => !ownNames.has(name) && !name.startsWith('.lock') && !name.startsWith('node.json.'),
  );
  if (foreign.length > 0) {
    throw new ConfigurationError(
      `The data directory ${path} holds other things (${foreign.slice(0, 3).join(', ')}): give the node an empty directory.`,
    );
  }
  for (const shard of shards) {
    const names = await readdir(join(path, 'blobs', shard)).catch(() => []);
    if (names.length === 0) continue;
    throw new ConfigurationError(
      `The data directory ${path} holds blobs but no node.json, so nobody knows which node they belong to: bring back its node.json.`,
    );
  }
  if ((await readdir(join(path, 'journal')).catch(() => [])).length > 0) {
    throw new ConfigurationError(
      `The data directory ${path} holds a journal but no node.json, so nobody knows which node it belongs to: bring back its node.json.`,
    );
  }
}

export async function syncDirectory(path: string): Promise<void> {
  const fd = await openFile(path, 'r');
  try {
    await syncFile(fd);
  } finally {
    await closeFile(fd);
  }
}
