import type { Knex } from 'knex';
import type { Database as Sqlite } from 'sqlite3';
import {
  acquireTimeoutMs,
  type ConnectionPart,
  type Done,
  quiet,
  readersMax,
} from './connection-part.ts';
import { keepStatements } from './sqlite-statements.ts';

const sqliteSettings = [
  'PRAGMA busy_timeout = 5000',
  'PRAGMA journal_mode = WAL',
  // The log is synced at each commit, on macOS down to the platter.
  'PRAGMA synchronous = FULL',
  'PRAGMA fullfsync = ON',
  'PRAGMA checkpoint_fullfsync = ON',
  // 32 MB of log before its pages are moved into the database: moving them costs more syncs than a commit.
  'PRAGMA wal_autocheckpoint = 8000',
  'PRAGMA journal_size_limit = 67108864',
  'PRAGMA temp_store = MEMORY',
];

/** Kilobytes of pages in memory; the system's own cache holds the rest. */
const writerSettings = ['PRAGMA cache_size = -16384'];
const readerSettings = ['PRAGMA cache_size = -4096', 'PRAGMA query_only = ON'];

/** The writing connection or the reading ones to an SQLite file. */
export function sqliteConfig(filename: string, { isWriter, made }: ConnectionPart): Knex.Config {
  const settings = [...sqliteSettings, ...(isWriter ? writerSettings : readerSettings)];
  return {
    client: 'sqlite3',
    connection: { filename },
    useNullAsDefault: true,
    acquireConnectionTimeout: acquireTimeoutMs,
    log: quiet,
    compileSqlOnError: false,
    pool: {
      min: 1,
      max: isWriter ? 1 : readersMax,
      afterCreate: (connection: Sqlite, done: Done) => {
        made?.();
        keepStatements(connection);
        connection.exec(settings.join(';'), done);
      },
    },
  };
}
