import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StoreError } from '@dfs/shared';
import knexOf, { type Knex } from 'knex';
import type { Database as Sqlite } from 'sqlite3';
import { storeErrorOf } from './database-errors.ts';
import { keepStatements } from './sqlite-statements.ts';

/** What may be bound to a `?`. */
export type Value = string | number | null;

/** One transaction (or one consistent read). SQL is written so that SQLite and PostgreSQL both understand it. */
export interface Sql {
  rows<Row>(sql: string, values?: readonly Value[]): Promise<Row[]>;
  execute(sql: string, values?: readonly Value[]): Promise<void>;
}

export interface DatabaseAddress {
  /** `postgres://…`, for PostgreSQL. */
  readonly url?: string;
  /** The file, for SQLite; its folder is made. */
  readonly sqliteFile?: string;
}

const readersMax = 4;
/** "dfs", and the first of its locks. */
const writerLock = '1684435713';

const sqliteSettings = [
  'PRAGMA journal_mode = WAL',
  // The log is synced at each commit, on macOS down to the platter.
  'PRAGMA synchronous = FULL',
  'PRAGMA fullfsync = ON',
  'PRAGMA checkpoint_fullfsync = ON',
  'PRAGMA temp_store = MEMORY',
  'PRAGMA cache_size = -16384',
  'PRAGMA busy_timeout = 5000',
  // 32 MB of log before its pages are moved into the database: moving them costs more syncs than a commit.
  'PRAGMA wal_autocheckpoint = 8000',
  'PRAGMA journal_size_limit = 67108864',
  'PRAGMA busy_timeout = 5000',
  // 32 MB of log before its pages are moved into the database: moving them costs more syncs than a commit.
  'PRAGMA wal_autocheckpoint = 8000',
  'PRAGMA journal_size_limit = 67108864',
];

/**
 * The database behind the repository: one connection that writes and a pool of connections that may only read, so that
 * reads never wait behind a commit (40 times shorter on SQLite).
 */
export class Database {
  readonly #writer: Knex;
  readonly #readers: Knex;
  /** Counts the writing connections made so far: after a new one, another process may have written in between. */
  #writerSessions = 0;

  private constructor(address: DatabaseAddress) {
    const made = () => {
      this.#writerSessions += 1;
    };
    this.#writer = knexOf(
      address.url === undefined
        ? sqliteConfig(address.sqliteFile ?? '', { isWriter: true, made })
        : postgresConfig(address.url, { isWriter: true, made }),
    );
    this.#readers = knexOf(
      address.url === undefined
        ? sqliteConfig(address.sqliteFile ?? '', { isWriter: false })
        : postgresConfig(address.url, { isWriter: false }),
    );
  }

  /**
   * Connects and brings the tables up to date. Rejects with `conflict` when another master writes to the same PostgreSQL database,
   * with `unavailable` when it does not answer.
   */
  static async open(address: DatabaseAddress, migrations: Knex.MigratorConfig): Promise<Database> {
    if (address.sqliteFile !== undefined) {
      await mkdir(dirname(address.sqliteFile), { recursive: true });
    }
    const database = new Database(address);
    try {
      // This process has the database to itself, so a lock on migrations was left by one that died in them.
      await database.#writer.migrate.forceFreeMigrationsLock(migrations);
      await database.#writer.migrate.latest(migrations);
    } catch (error) {
      await database.close();
      throw isNewer(error) ? newerDatabase(error) : storeErrorOf(error);
    }
    return database;
  }

  get writerSessions(): number {
    return this.#writerSessions;
  }

  /** Runs `work` in a transaction of the one writing connection. Resolves once it is committed and synced. */
  async write<Result>(work: (sql: Sql) => Promise<Result>): Promise<Result> {
    return this.#writer.transaction((transaction) => work(sqlOf(transaction)));
  }

  /** Runs `work` on one connection that sees the database as it was at its first query. */
  async read<Result>(work: (sql: Sql) => Promise<Result>): Promise<Result> {
    try {
      return await this.#readers.transaction((transaction) => work(sqlOf(transaction)));
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  /** One query, consistent in itself. */
  async rows<Row>(sql: string, values: readonly Value[] = []): Promise<Row[]> {
    try {
      return await sqlOf(this.#readers).rows<Row>(sql, values);
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#writer.destroy(), this.#readers.destroy()]);
  }
}

/** Knex compares the steps that a database went through with those it was given. */
const isNewer = (error: unknown) =>
  error instanceof Error && error.message.startsWith('The migration directory is corrupt');

const newerDatabase = (cause: unknown) =>
  new StoreError('conflict', 'The metadata database was made by a newer version of this program.', {
    hint: 'Start the newer version.',
    cause,
  });

function sqlOf(knex: Knex): Sql {
  const rows = async <Row>(sql: string, values: readonly Value[] = []) => {
    const answer = (await knex.raw(sql, values as Value[])) as Row[] | { rows: Row[] };
    return Array.isArray(answer) ? answer : answer.rows;
  };
  return {
    rows,
    execute: async (sql, values) => {
      await rows(sql, values);
    },
  };
}

/** What fails is thrown, and logged where it stops. */
const quiet = { warn: () => {}, error: () => {}, deprecate: () => {}, debug: () => {} };

interface Part {
  readonly isWriter: boolean;
  readonly made?: () => void;
}

type Done = (error: Error | null) => void;

function sqliteConfig(filename: string, { isWriter, made }: Part): Knex.Config {
  const settings = [...sqliteSettings, ...(isWriter ? [] : ['PRAGMA query_only = ON'])];
  return {
    client: 'sqlite3',
    connection: { filename },
    useNullAsDefault: true,
    log: quiet,
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

type Answered = (error: Error | null, answers?: unknown) => void;

interface PostgresConnection {
  query(sql: string, answered: Answered): void;
  setTypeParser(type: number, parse: (text: string) => unknown): void;
}

function postgresConfig(url: string, { isWriter, made }: Part): Knex.Config {
  return {
    client: 'pg',
    connection: url,
    log: quiet,
    pool: {
      min: isWriter ? 1 : 0,
      max: isWriter ? 1 : readersMax,
      afterCreate: (connection: PostgresConnection, done: Done) => {
        for (const type of numberTypes) connection.setTypeParser(type, Number);
        if (isWriter) takeWriterLock(connection, made, done);
        else connection.query(readerSettings, (error) => done(error));
      },
    },
  };
}

/** 8-byte integers and sums of them come as text by default; ours are sizes, times and counts below 2^53. */
const numberTypes = [20, 1700];

const readerSettings =
  "set default_transaction_isolation = 'repeatable read'; set default_transaction_read_only = on";

/**
 * The lock lives on the connection that writes: whoever lost the connection lost the right to write with it, and the next one must take it anew.
 * Several masters would take it in each transaction instead.
 */
function takeWriterLock(
  connection: PostgresConnection,
  made: (() => void) | undefined,
  done: Done,
): void {
  const sql = `set synchronous_commit = on; select pg_try_advisory_lock(${writerLock}) as taken`;
  connection.query(sql, (error, answers) => {
    if (error) return done(error);
    const [, answer] = answers as { rows: { taken: boolean }[] }[];
    if (answer?.rows[0]?.taken !== true) return done(inUse());
    made?.();
    done(null);
  });
}

const inUse = () =>
  new StoreError('conflict', 'The PostgreSQL database is in use by another master.', {
    hint: 'Stop it, or give this master another database.',
  });
