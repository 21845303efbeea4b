import type { Knex } from 'knex';
import { dialectOf } from './dialect.ts';

/** What a restore needs while it runs; all of it is empty at other times. */
export async function createRestore(knex: Knex): Promise<void> {
  const { bytes, keyed } = dialectOf(knex);
  // A row from the first change to the last: while it is there, the rest of the database is not to be served.
  await knex.raw(`create table restore_marker (
    id integer not null primary key,
    kind text not null,
    started_at bigint not null
  )`);
  // Copies that nodes hold of blobs that the journal does not know, as they describe themselves.
  await knex.raw(`create table found_blobs (
    file_id ${bytes} not null,
    sequence integer not null,
    blob_id ${bytes} not null,
    node_id ${bytes} not null,
    size_bytes bigint not null,
    md5 text not null,
    stored_at bigint not null,
    created_at bigint not null,
    path text not null,
    content_type text not null,
    whole text,
    primary key (file_id, sequence, blob_id, node_id)
  ) ${keyed}`);
  // Files judged by them. path_key: a digest of the path, see replication_log.
  await knex.raw(`create table found_files (
    file_id ${bytes} not null primary key,
    path_key text not null,
    path text not null,
    file text not null
  ) ${keyed}`);
  await knex.raw('create index found_files_by_path on found_files (path_key, file_id)');
}
