import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  type Clock,
  type ClusterId,
  ConfigurationError,
  makeDirectories,
  StoreError,
  whyNotMade,
} from '@dfs/shared';
import { acquireDiskLock } from '@dfs/shared/disk-lock';
import { Database, type DatabaseAddress } from './database.ts';
import type { GroupCommitParts } from './group-commit.ts';
import { KnexMetadataRepository } from './knex-metadata-repository.ts';
import type { ClusterIdentity, MetadataRepository } from './metadata-repository.ts';
import { migrationSource } from './migrations/index.ts';
import { readUnfinished } from './restore/knex-metadata-restore.ts';

export interface OpenMetadataOptions {
  /** `postgres://…`. Without it, `sqliteFile` is used. */
  readonly url?: string;
  /** Made, with its folder, when it is absent. */
  readonly sqliteFile?: string;
  readonly clock: Clock;
  readonly logger?: NonNullable<GroupCommitParts['logger']>;
  /** How many copies are wanted where no directory and no file says a number; 3 by default. */
  readonly copies?: number;
  /** About how many names, contents and blobs are kept in memory, each; about 1.5 KB for the three together. */
  readonly cacheSize?: number;
}

const defaultCopies = 3;
const defaultCacheSize = 20_000;

/**
 * Opens the metadata, brings its tables up to date, and holds it for this process alone: on SQLite by a lock on its folder, on PostgreSQL by
 * one that lives with the connection that writes. A new database gets its cluster id and epoch 1.
 *
 * Rejects with `conflict` when another master has it, `unavailable` when the database does not answer, `ConfigurationError` when the folder
 * cannot be written.
 */
export async function openMetadataRepository(
  options: OpenMetadataOptions,
): Promise<MetadataRepository> {
  const { url, sqliteFile } = options;
  const lock = url === undefined ? await lockFolderOf(sqliteFile) : undefined;
  try {
    return await openOver(
      url === undefined ? { sqliteFile: sqliteFile as string } : { url },
      options,
      async () => lock?.release(),
    );
  } catch (error) {
    await lock?.release();
    throw error;
  }
}

/**
 * Makes a new SQLite database for a restore to write into, beside one that is in use. Rejects with `conflict` when something has its name.
 */
export async function makeMetadataAside(
  options: Omit<OpenMetadataOptions, 'url'> & { readonly sqliteFile: string },
): Promise<MetadataRepository> {
  const { sqliteFile } = options;
  try {
    await (await open(sqliteFile, 'wx', 0o600)).close();
  } catch (cause) {
    const isTaken = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    throw new StoreError(
      isTaken ? 'conflict' : 'invalid-request',
      isTaken
        ? `${sqliteFile} exists already.`
        : `${sqliteFile} cannot be made: ${(cause as Error).message}.`,
      { hint: 'Name a new file in a directory on the machine of the master.', cause },
    );
  }
  return openOver({ sqliteFile }, options, async () => {});
}

async function openOver(
  address: DatabaseAddress,
  options: OpenMetadataOptions,
  release: () => Promise<void>,
): Promise<MetadataRepository> {
  const { clock, logger } = options;
  const database = await Database.open(address, { migrationSource: migrationSource(clock.now()) });
  const repository = new KnexMetadataRepository({
    database,
    identity: await readIdentity(database),
    unfinishedRestore: await readUnfinished(database),
    clock,
    ...(logger === undefined ? {} : { logger }),
    configuredCopies: options.copies ?? defaultCopies,
    cacheSize: options.cacheSize ?? defaultCacheSize,
    release,
  });
  await repository.start();
  return repository;
}

async function lockFolderOf(sqliteFile: string | undefined) {
  if (sqliteFile === undefined) {
    throw new StoreError('invalid-request', 'Neither a database URL nor a file was given.');
  }
  const folder = dirname(sqliteFile);
  await makeDirectories(folder).catch((cause: unknown) => {
    throw new ConfigurationError(
      `The data directory ${folder} cannot be made: ${whyNotMade(cause)}. Choose another with --data (DFS_DATA).`,
      { cause },
    );
  });
  return acquireDiskLock(folder, { what: 'master' });
}

async function readIdentity(database: Database): Promise<ClusterIdentity> {
  const [row] = await database.rows<{ id: ClusterId; epoch: number }>(
    'select id, epoch from cluster',
  );
  if (!row) throw new StoreError('internal', 'The metadata database has no cluster identity.');
  return { clusterId: row.id, epoch: row.epoch };
}
