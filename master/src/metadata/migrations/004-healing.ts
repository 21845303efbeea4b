import type { Knex } from 'knex';

/** What healing in the right order, and telling how long it takes, needs beside the copies. */
export async function createHealing(knex: Knex): Promise<void> {
  // Of a copy that is to be made: how many copies of its blob are stored on nodes that are not lost, 3 at most. 0 for all other rows.
  await knex.raw('alter table replicas add column living_copies integer not null default 0');
  await knex.raw(`update replicas set living_copies = (
      select case when count(*) > 3 then 3 else count(*) end from replicas other
      where other.blob_id = replicas.blob_id and other.state = 'stored'
    ) where state in ('wanted', 'corrupt')`);
  await knex.raw('drop index replicas_due');
  await knex.raw(`create index replicas_due on replicas (state, node_id, living_copies, next_attempt_at)
    where state <> 'stored'`);
  // Bytes of the copies that are to be made, rows or not.
  await knex.raw('alter table totals add column missing_bytes bigint not null default 0');
  await knex.raw(`update totals set missing_bytes =
    coalesce((select sum(b.size_bytes) from replicas r join blobs b on b.id = r.blob_id
      where r.state in ('wanted', 'corrupt')), 0)
    + coalesce((select sum(b.size_bytes * b.short) from blobs b where b.short > 0), 0)`);
}
