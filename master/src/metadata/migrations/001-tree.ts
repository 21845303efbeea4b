import { newClusterId } from '@dfs/shared';
import type { Knex } from 'knex';
import { nowhereId, rootId, trashId } from '../root-entries.ts';
import { dialectOf } from './dialect.ts';

/** The cluster's identity, the tree, contents, known idempotency keys, and the journal. Times are ms since 1970. */
export async function createTree(knex: Knex, nowMs: number): Promise<void> {
  const { bytes, serial, keyed } = dialectOf(knex);
  await knex.raw(`create table cluster (
    id ${bytes} not null primary key,
    epoch bigint not null,
    created_at bigint not null
  ) ${keyed}`);
  await knex.raw(`create table entries (
    id ${bytes} not null primary key,
    parent_id ${bytes} not null,
    name ${bytes} not null,
    kind text not null,
    file_id ${bytes},
    created_at bigint not null,
    modified_at bigint not null,
    visibility text not null,
    unique (parent_id, name)
  ) ${keyed}`);
  await knex.raw('create index entries_of_file on entries (file_id) where file_id is not null');
  await knex.raw(`create table files (
    id ${bytes} not null primary key,
    size_bytes bigint not null,
    md5 text not null,
    content_type text not null,
    attributes text not null,
    created_at bigint not null
  ) ${keyed}`);
  await knex.raw(`create table file_blobs (
    file_id ${bytes} not null,
    sequence integer not null,
    blob_id ${bytes} not null,
    offset_bytes bigint not null,
    primary key (file_id, sequence)
  ) ${keyed}`);
  await knex.raw('create index file_blobs_of_blob on file_blobs (blob_id)');
  // Of their own, so that they outlive the file: an upload tried again after a removal is not stored anew.
  await knex.raw(`create table idempotency_keys (
    key ${bytes} not null primary key,
    path text not null,
    outcome text not null,
    created_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index idempotency_keys_by_age on idempotency_keys (created_at)');
  await knex.raw(`create table changes (
    number ${serial} not null primary key,
    at bigint not null,
    images text not null
  )`);
  // Kept right by each transaction, so that counting does not read the tables. wanted to dropping: copies in that state;
  // short: blobs with too few rows of copies; lost: blobs with no stored copy.
  await knex.raw(`create table totals (
    id integer not null primary key,
    files bigint not null,
    directories bigint not null,
    logical_bytes bigint not null,
    wanted bigint not null,
    stored bigint not null,
    corrupt bigint not null,
    dropping bigint not null,
    short bigint not null,
    lost bigint not null
  )`);
  await knex.raw('insert into totals values (1, 0, 0, 0, 0, 0, 0, 0, 0, 0)');
  await knex('cluster').insert({ id: newClusterId(), epoch: 1, created_at: nowMs });
  const directory = { kind: 'directory', created_at: nowMs, modified_at: nowMs };
  await knex('entries').insert([
    { ...directory, id: rootId, parent_id: nowhereId, name: '', visibility: 'inherit' },
    { ...directory, id: trashId, parent_id: nowhereId, name: 'trash', visibility: 'private' },
  ]);
}
