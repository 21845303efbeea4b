import type { Knex } from 'knex';
import { dialectOf } from './dialect.ts';

/** What a tree that people work in needs: copies per name, the trash, sizes of directories, and what is left to be swept. Times are ms since 1970. */
export async function createWorkingTree(knex: Knex): Promise<void> {
  const { bytes, keyed } = dialectOf(knex);
  // Null: as the directory above has it.
  await knex.raw('alter table entries add column copies integer');
  // is_hidden: not shown and not to be brought back: what is being collected, and what is not published yet.
  await knex.raw(`create table trash (
    entry_id ${bytes} not null primary key,
    path text not null,
    removed_at bigint not null,
    expires_at bigint not null,
    reason text not null,
    is_hidden integer not null
  ) ${keyed}`);
  await knex.raw('create index trash_by_end on trash (expires_at, entry_id)');
  await knex.raw('create index trash_shown on trash (removed_at, entry_id) where is_hidden = 0');
  // Of each directory what was counted so far, and what came since and its parent does not know yet. For each one, counted and pending together
  // are its own files plus, for each directory in it, what was counted there and one.
  await knex.raw(`create table directory_sizes (
    directory_id ${bytes} not null primary key,
    files bigint not null,
    directories bigint not null,
    bytes bigint not null,
    pending_files bigint not null,
    pending_directories bigint not null,
    pending_bytes bigint not null
  ) ${keyed}`);
  await knex.raw(`create index directory_sizes_pending on directory_sizes (directory_id)
    where pending_files <> 0 or pending_directories <> 0 or pending_bytes <> 0`);
  await knex.raw(`insert into directory_sizes
    select e.parent_id, 0, 0, 0, sum(case when e.kind = 'file' then 1 else 0 end),
      sum(case when e.kind = 'directory' then 1 else 0 end), sum(coalesce(f.size_bytes, 0))
    from entries e left join files f on f.id = e.file_id
    where exists (select 1 from entries p where p.id = e.parent_id) group by e.parent_id`);
  await knex.raw(`create table copies_sweeps (
    directory_id ${bytes} not null primary key,
    after_name ${bytes} not null,
    requested_at bigint not null
  ) ${keyed}`);
  await knex.raw('create index copies_sweeps_by_age on copies_sweeps (requested_at)');
}
