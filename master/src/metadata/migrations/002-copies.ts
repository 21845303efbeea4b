import type { Knex } from 'knex';
import { bytewiseText } from './columns.ts';

/** Nodes, blobs, their copies, uploads in progress, and the log of attempts. Times are ms since 1970. */
export async function createCopies(knex: Knex): Promise<void> {
  const text = bytewiseText(knex);
  await knex.schema.createTable('nodes', (table) => {
    table.specificType('id', text).primary();
    table.text('name').notNullable();
    table.text('url').notNullable();
    table.text('public_url');
    table.text('zone');
    table.string('state', 16).notNullable();
    table.text('data_dir').notNullable();
    table.bigInteger('capacity_bytes').notNullable();
    table.bigInteger('used_bytes').notNullable();
    table.bigInteger('last_heartbeat_at').notNullable();
  });
  await knex.schema.createTable('blobs', (table) => {
    table.specificType('id', text).primary();
    table.bigInteger('size_bytes').notNullable();
    table.string('md5', 32).notNullable();
    table.integer('copies_wanted').notNullable();
    // Of the name it was bound to first, for log lines about a blob that no name holds any more.
    table.text('path').notNullable();
    // Copies wanted minus rows of copies, 0 at least; 0 for a blob that nothing refers to.
    table.integer('short').notNullable();
    // 1: something refers to it and no copy is stored.
    table.integer('lost').notNullable();
    // 1: given up, every copy is dropping. It is never bound again.
    table.integer('released').notNullable();
    table.bigInteger('unreferenced_since');
    // When a row of its copies was last removed: an older inventory may still list that copy.
    table.bigInteger('copies_changed_at').notNullable();
  });
  await knex.raw('create index blobs_short on blobs (id) where short > 0');
  await knex.raw('create index blobs_lost on blobs (id) where lost > 0');
  await knex.raw(
    'create index blobs_unreferenced on blobs (unreferenced_since) where unreferenced_since is not null and released = 0',
  );
  await knex.schema.createTable('replicas', (table) => {
    table.specificType('blob_id', text).notNullable();
    table.specificType('node_id', text).notNullable();
    table.specificType('inventory_key', text).notNullable();
    table.string('role', 16).notNullable();
    table.string('state', 16).notNullable();
    table.integer('attempts').notNullable();
    table.bigInteger('next_attempt_at');
    table.text('last_error');
    table.bigInteger('changed_at').notNullable();
    table.primary(['blob_id', 'node_id']);
    table.index(['node_id', 'inventory_key']);
  });
  // Most rows are stored: this index holds only those with work left, so that it stays small.
  await knex.raw(
    "create index replicas_due on replicas (state, node_id, next_attempt_at) where state <> 'stored'",
  );
  await knex.schema.createTable('uploads', (table) => {
    table.specificType('blob_id', text).primary();
    table.bigInteger('expires_at').notNullable();
    table.index(['expires_at']);
  });
  await knex.schema.createTable('replication_log', (table) => {
    table.bigIncrements('id');
    table.specificType('blob_id', text).notNullable();
    table.text('path').notNullable();
    // A digest of the path: an index over whole paths would pass PostgreSQL's limit for an index row.
    table.string('path_key', 16).notNullable();
    table.specificType('source', text);
    table.specificType('target', text).notNullable();
    table.string('outcome', 16).notNullable();
    table.text('error_code');
    table.text('message');
    table.bigInteger('started_at').notNullable();
    table.integer('duration_ms').notNullable();
    table.index(['path_key', 'id']);
    table.index(['started_at']);
  });
}
