import { StoreError } from '@dfs/shared';
import knexOf, { type Knex } from 'knex';
import { boundStatementsOf } from './bound-changes.ts';
import type { ConnectionPart } from './connection-part.ts';
import { storeErrorOf } from './database-errors.ts';
import { postgresConfig } from './postgres-connections.ts';
import type { ChangedRows } from './row-changes.ts';
import { sqliteBatchOf, sqliteBatchSetUp } from './sqlite-changes.ts';
import { sqliteConfig } from './sqlite-connections.ts';

/** What may be bound to a `?`. */
export type Value = string | number | null;

/** Queries that see one state of the database. SQL is written so that SQLite and PostgreSQL both understand it. */
export interface Sql {
  rows<Row>(sql: string, values?: readonly Value[]): Promise<Row[]>;
}

/** Queries of one transaction that change many rows. */
export interface BulkSql extends Sql {
  readonly isSqlite: boolean;
}

/** What the one writer does. */
export interface WriterSql extends Sql {
  /** Writes a batch, all of it or nothing. */
  change(changed: ChangedRows): Promise<void>;
}

export interface DatabaseAddress {
  /** `postgres://…`, for PostgreSQL. */
  readonly url?: string;
  /** The file, for SQLite; its folder must be there. */
  readonly sqliteFile?: string;
}

/**
 * The database behind the repository: one connection that writes and a pool of connections that may only read, so that
 * reads never wait behind a commit (40 times shorter on SQLite).
 */
export class Database {
  readonly #writer: Knex;
  readonly #readers: Knex;
  /** Counts the writing connections made so far: after a new one, another process may have written in between. */
  #writerSessions = 0;
  readonly #isSqlite: boolean;
  /** The writing connection that is set up for batches. */
  #batchSession = 0;

  private constructor(address: DatabaseAddress) {
    const { url, sqliteFile = '' } = address;
    this.#isSqlite = url === undefined;
    const configOf = (part: ConnectionPart) =>
      url === undefined ? sqliteConfig(sqliteFile, part) : postgresConfig(url, part);
    const made = () => {
      this.#writerSessions += 1;
    };
    this.#writer = knexOf(configOf({ isWriter: true, made }));
    this.#readers = knexOf(configOf({ isWriter: false }));
  }

  /**
   * Connects and brings the tables up to date. Rejects with `conflict` when another master writes to the same PostgreSQL database,
   * with `unavailable` when it does not answer.
   */
  static async open(address: DatabaseAddress, migrations: Knex.MigratorConfig): Promise<Database> {
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

  /**
   * Runs `work` on the one writing connection. Resolves once what it changed is committed and synced. On PostgreSQL all of it is one transaction; on SQLite each of its
   * statements is, and a batch is one statement: nobody else writes in between.
   */
  async write<Result>(work: (sql: WriterSql) => Promise<Result>): Promise<Result> {
    return this.#isSqlite ? this.#writeSqlite(work) : this.#writePostgres(work);
  }

  /** The connection is taken once for all queries: they then run side by side, and none pays for a turn of the pool. */
  async #writeSqlite<Result>(work: (sql: WriterSql) => Promise<Result>): Promise<Result> {
    const { client } = this.#writer as { client: Knex.Client };
    const connection: unknown = await client.acquireConnection();
    try {
      const sql = sqlOf(this.#writer, connection);
      if (this.#batchSession !== this.#writerSessions) {
        for (const statement of sqliteBatchSetUp) await sql.rows(statement);
        this.#batchSession = this.#writerSessions;
      }
      return await work({
        ...sql,
        change: async (changed) => {
          const batch = sqliteBatchOf(changed);
          if (batch) await sql.rows(batch.sql, batch.values);
        },
      });
    } finally {
      await client.releaseConnection(connection);
    }
  }

  async #writePostgres<Result>(work: (sql: WriterSql) => Promise<Result>): Promise<Result> {
    let isCommitting = false;
    try {
      return await this.#writer.transaction(async (transaction) => {
        const sql = inTurn(sqlOf(transaction));
        const result = await work({
          ...sql,
          change: async (changed) => {
            for (const { sql: text, values } of boundStatementsOf(changed)) {
              await sql.rows(text, values);
            }
          },
        });
        isCommitting = true;
        return result;
      });
    } catch (cause) {
      if (!isCommitting) throw cause;
      // Whatever was answered to a commit, it may have taken place.
      const hint = 'Look whether it took place, and try again; look whether the database runs.';
      throw new StoreError('unavailable', 'The metadata database did not confirm a commit.', {
        hint,
        retryAfterSeconds: 1,
        cause,
      });
    }
  }

  /** Runs `work` in one transaction of the writing connection, on both databases: for what is no batch. Resolves once it is committed and synced. */
  async transaction<Result>(work: (sql: BulkSql) => Promise<Result>): Promise<Result> {
    const isSqlite = this.#isSqlite;
    try {
      return await this.#writer.transaction((transaction) =>
        work({ ...inTurn(sqlOf(transaction)), isSqlite }),
      );
    } catch (error) {
      throw storeErrorOf(error);
    }
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

/** One query after the other, for a driver that takes them so. */
function inTurn(sql: Sql): Sql {
  let last: Promise<unknown> = Promise.resolve();
  return {
    rows: <Row>(text: string, values?: readonly Value[]) => {
      const rows = last.then(() => sql.rows<Row>(text, values));
      // Its failure is its caller's.
      last = rows.catch(() => undefined);
      return rows;
    },
  };
}

/** `connection`: of the driver, where not each query takes one of the pool. */
function sqlOf(knex: Knex, connection?: unknown): Sql {
  return {
    rows: async <Row>(sql: string, values: readonly Value[] = []) => {
      const query = knex.raw(sql, values as Value[]);
      if (connection !== undefined) query.connection(connection);
      const answer = (await query) as Row[] | { rows: Row[] };
      return Array.isArray(answer) ? answer : answer.rows;
    },
  };
}
