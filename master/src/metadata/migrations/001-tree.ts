import { newClusterId } from '@dfs/shared';
import type { Knex } from 'knex';
import { nowhereId, rootId, trashId } from '../root-entries.ts';
import { bytewiseText } from './columns.ts';

/** The cluster's identity, the tree, contents, known idempotency keys, and the journal. Times are ms since 1970. */
export async function createTree(knex: Knex, nowMs: number): Promise<void> {
  const text = bytewiseText(knex);
  await knex.schema.createTable('cluster', (table) => {
    table.specificType('id', text).primary();
    table.bigInteger('epoch').notNullable();
    table.bigInteger('created_at').notNullable();
  });
  await knex.schema.createTable('entries', (table) => {
    table.specificType('id', text).primary();
    table.specificType('parent_id', text).notNullable();
    table.specificType('name', text).notNullable();
    table.string('kind', 16).notNullable();
    table.specificType('file_id', text);
    table.bigInteger('created_at').notNullable();
    table.bigInteger('modified_at').notNullable();
    table.string('visibility', 16).notNullable();
    table.unique(['parent_id', 'name']);
    table.index(['file_id']);
  });
  await knex.schema.createTable('files', (table) => {
    table.specificType('id', text).primary();
    table.bigInteger('size_bytes').notNullable();
    table.string('md5', 32).notNullable();
    table.text('content_type').notNullable();
    table.text('attributes').notNullable();
    table.bigInteger('created_at').notNullable();
  });
  await knex.schema.createTable('file_blobs', (table) => {
    table.specificType('file_id', text).notNullable();
    table.integer('sequence').notNullable();
    table.specificType('blob_id', text).notNullable();
    table.bigInteger('offset_bytes').notNullable();
    table.primary(['file_id', 'sequence']);
    table.index(['blob_id']);
  });
  // Of their own, so that they outlive the file: an upload tried again after a removal is not stored anew.
  await knex.schema.createTable('idempotency_keys', (table) => {
    table.specificType('key', text).primary();
    table.text('path').notNullable();
    table.text('outcome').notNullable();
    table.bigInteger('created_at').notNullable();
    table.index(['created_at']);
  });
  await knex.schema.createTable('changes', (table) => {
    table.bigInteger('number').primary();
    table.bigInteger('at').notNullable();
    table.text('images').notNullable();
  });
  // Kept right by each transaction, so that counting does not read the tables.
  await knex.schema.createTable('totals', (table) => {
    table.integer('id').primary();
    for (const name of ['files', 'directories', 'logical_bytes', 'stored_copies']) {
      table.bigInteger(name).notNullable();
    }
  });
  await knex('totals').insert({
    id: 1,
    files: 0,
    directories: 0,
    logical_bytes: 0,
    stored_copies: 0,
  });
  await knex('cluster').insert({ id: newClusterId(), epoch: 1, created_at: nowMs });
  const directory = { kind: 'directory', created_at: nowMs, modified_at: nowMs };
  await knex('entries').insert([
    { ...directory, id: rootId, parent_id: nowhereId, name: '', visibility: 'inherit' },
    { ...directory, id: trashId, parent_id: nowhereId, name: 'trash', visibility: 'private' },
  ]);
}
