import type { Knex } from 'knex';
import { dialectOf } from './dialect.ts';

/** Who may what: keys besides the cluster key, networks that may read a file for a time, and links that count no more. Times are ms since 1970. */
export async function createRights(knex: Knex): Promise<void> {
  const { bytes, keyed } = dialectOf(knex);
  // secret: sealed under a key derived from the cluster key.
  await knex.raw(`create table access_keys (
    id ${bytes} not null primary key,
    name text not null,
    role text not null,
    prefix ${bytes} not null,
    secret text not null,
    created_at bigint not null
  ) ${keyed}`);
  // path: where the file was when the grant was made.
  await knex.raw(`create table address_grants (
    id ${bytes} not null primary key,
    path ${bytes} not null,
    file_id ${bytes} not null,
    network text not null,
    created_by text not null,
    created_at bigint not null,
    expires_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index address_grants_by_file on address_grants (file_id)');
  await knex.raw('create index address_grants_by_end on address_grants (expires_at)');
  // subject: a signature's digest or a file. Links issued before the time count no more.
  await knex.raw(`create table link_revocations (
    subject ${bytes} not null primary key,
    issued_before bigint not null,
    expires_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index link_revocations_by_end on link_revocations (expires_at)');
}
