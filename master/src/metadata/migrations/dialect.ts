import type { Knex } from 'knex';

/** The few words in which the two databases differ when tables are made. */
export interface Dialect {
  /** Text that compares by its UTF-8 bytes: SQLite does so by itself, PostgreSQL is told to. */
  readonly bytes: string;
  /** The type of a number that is the primary key: SQLite then keeps the rows by it. */
  readonly serial: string;
  /** The same, numbered by the database and never used twice. */
  readonly generated: string;
  /** Ends a table whose primary key is text: SQLite then keeps the rows by it, and needs no index beside them. */
  readonly keyed: string;
}

const sqlite: Dialect = {
  bytes: 'text',
  serial: 'integer',
  generated: 'integer primary key autoincrement',
  keyed: 'without rowid',
};

const postgres: Dialect = {
  bytes: 'text collate "C"',
  serial: 'bigint',
  generated: 'bigserial primary key',
  keyed: '',
};

export const dialectOf = (knex: Knex): Dialect =>
  knex.client.config.client === 'pg' ? postgres : sqlite;
