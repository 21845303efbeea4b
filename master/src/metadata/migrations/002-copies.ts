import type { Knex } from 'knex';
import { dialectOf } from './dialect.ts';

/** Nodes, blobs, their copies, uploads in progress, and the log of attempts. Times are ms since 1970. */
export async function createCopies(knex: Knex): Promise<void> {
  const { bytes, generated, keyed } = dialectOf(knex);
  await knex.raw(`create table nodes (
    id ${bytes} not null primary key,
    name text not null,
    url text not null,
    public_url text,
    zone text,
    state text not null,
    data_dir text not null,
    capacity_bytes bigint not null,
    used_bytes bigint not null,
    last_heartbeat_at bigint not null
  ) ${keyed}`);
  // path: of the name it was bound to first, for log lines about a blob that no name holds any more.
  // short: copies wanted minus rows of copies, 0 at least; 0 for a blob that nothing refers to.
  // released: 1 when it was given up, every copy is dropping. It is never bound again.
  // copies_changed_at: when a row of its copies was last removed; an older inventory may still list that copy.
  await knex.raw(`create table blobs (
    id ${bytes} not null primary key,
    size_bytes bigint not null,
    md5 text not null,
    copies_wanted integer not null,
    path text not null,
    short integer not null,
    released integer not null,
    unreferenced_since bigint,
    copies_changed_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index blobs_short on blobs (id) where short > 0');
  await knex.raw(`create index blobs_unreferenced on blobs (unreferenced_since)
    where unreferenced_since is not null and released = 0`);
  await knex.raw(`create table replicas (
    blob_id ${bytes} not null,
    node_id ${bytes} not null,
    inventory_key ${bytes} not null,
    role text not null,
    state text not null,
    attempts integer not null,
    next_attempt_at bigint,
    last_error text,
    changed_at bigint not null,
    primary key (blob_id, node_id)
  ) ${keyed}`);
  await knex.raw('create index replicas_of_node on replicas (node_id, inventory_key)');
  // Most rows are stored: this index holds only those with work left, so that it stays small.
  await knex.raw(`create index replicas_due on replicas (state, node_id, next_attempt_at)
    where state <> 'stored'`);
  await knex.raw(`create table uploads (
    blob_id ${bytes} not null primary key,
    expires_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index uploads_by_end on uploads (expires_at)');
  // path_key: a digest of the path; an index over whole paths would pass PostgreSQL's limit for an index row.
  await knex.raw(`create table replication_log (
    id ${generated},
    blob_id ${bytes} not null,
    path text not null,
    path_key text not null,
    source ${bytes},
    target ${bytes} not null,
    outcome text not null,
    error_code text,
    message text,
    started_at bigint not null,
    duration_ms integer not null
  )`);
  await knex.raw('create index replication_log_of_path on replication_log (path_key, id)');
  await knex.raw('create index replication_log_by_time on replication_log (started_at)');
}
