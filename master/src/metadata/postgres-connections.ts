import { StoreError } from '@dfs/shared';
import type { Knex } from 'knex';
import {
  acquireTimeoutMs,
  type ConnectionPart,
  type Done,
  quiet,
  readersMax,
} from './connection-part.ts';

const connectTimeoutMs = 5_000;
/** "dfs", and the first of its locks. */
const writerLock = '1684435713';

type Answered = (error: Error | null, answers?: unknown) => void;

interface PostgresConnection {
  query(sql: string, answered: Answered): void;
  setTypeParser(type: number, parse: (text: string) => unknown): void;
}

/** The writing connection or the reading ones to a PostgreSQL database. */
export function postgresConfig(url: string, { isWriter, made }: ConnectionPart): Knex.Config {
  return {
    client: 'pg',
    connection: {
      connectionString: url,
      connectionTimeoutMillis: connectTimeoutMs,
      keepAlive: true,
      application_name: 'dfs-master',
    },
    acquireConnectionTimeout: acquireTimeoutMs,
    log: quiet,
    compileSqlOnError: false,
    pool: {
      min: isWriter ? 1 : 0,
      max: isWriter ? 1 : readersMax,
      afterCreate: (connection: PostgresConnection, done: Done) => {
        for (const type of numberTypes) connection.setTypeParser(type, Number);
        if (isWriter) takeWriterLock(connection, made, done);
        else connection.query(postgresReaderSettings, (error) => done(error));
      },
    },
  };
}

/** 8-byte integers and sums of them come as text by default; ours are sizes, times and counts below 2^53. */
const numberTypes = [20, 1700];

const postgresReaderSettings =
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
