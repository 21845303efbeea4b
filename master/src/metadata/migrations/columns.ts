import type { Knex } from 'knex';

/** Ids, names and keys compare by their UTF-8 bytes: SQLite does so by itself, PostgreSQL is told to. */
export function bytewiseText(knex: Knex): string {
  return knex.client.config.client === 'pg' ? 'text collate "C"' : 'text';
}
