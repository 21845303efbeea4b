import { expect } from 'vitest';
import { nowhereId, rootId, trashId } from '../root-entries.ts';
import type { MetadataHarness } from './metadata-harness.ts';

/** Queries that find rows that contradict each other: each must give nothing. */
const contradictions: Readonly<Record<string, string>> = {
  'entries without a parent directory': `select e.id from entries e left join entries p on p.id = e.parent_id
    where e.parent_id <> '${nowhereId}' and (p.id is null or p.kind <> 'directory')`,
  'names of contents that are not there': `select e.id from entries e left join files f on f.id = e.file_id
    where (e.kind = 'file' and f.id is null) or (e.kind = 'directory' and e.file_id is not null)`,
  'contents without a name':
    'select id from files where id not in (select file_id from entries where file_id is not null)',
  'contents without blobs': 'select id from files where id not in (select file_id from file_blobs)',
  'blobs of contents that are not there':
    'select blob_id from file_blobs where file_id not in (select id from files)',
  'blobs referred to without a row':
    'select blob_id from file_blobs where blob_id not in (select id from blobs)',
  'blobs that wait for collection while something refers to them, or do not wait while nothing does': `
    select id from blobs where (unreferenced_since is null) <> (id in (select blob_id from file_blobs))`,
  'copies of unknown blobs':
    'select blob_id from replicas where blob_id not in (select id from blobs)',
  'copies kept of a blob that was given up': `select r.blob_id from replicas r join blobs b on b.id = r.blob_id
    where b.released = 1 and r.state <> 'dropping'`,
  'a wrong number of missing copies': `select b.id from blobs b where b.short <>
    case when b.unreferenced_since is not null then 0
    when b.copies_wanted > (select count(*) from replicas r where r.blob_id = b.id and r.state <> 'dropping')
    then b.copies_wanted - (select count(*) from replicas r where r.blob_id = b.id and r.state <> 'dropping')
    else 0 end`,
  'not exactly one primary': `select blob_id from replicas group by blob_id
    having sum(case when role = 'primary' then 1 else 0 end) > 1
    or (sum(case when state = 'stored' then 1 else 0 end) > 0
    and sum(case when role = 'primary' and state = 'stored' then 1 else 0 end) <> 1)`,
  'work without a time': `select blob_id from replicas where (state = 'stored') <> (next_attempt_at is null)`,
  'copies to be made with a wrong number of living ones': `select r.blob_id from replicas r
    join (select b.id, (select count(*) from replicas o where o.blob_id = b.id and o.state = 'stored') as stored
      from blobs b) s on s.id = r.blob_id
    where r.living_copies <> case when r.state not in ('wanted', 'corrupt') then 0
    when s.stored > 3 then 3 else s.stored end`,
  'wrong totals': `select id from totals where
    files <> (select count(*) from entries where kind = 'file')
    or directories <> (select count(*) from entries where kind = 'directory' and id not in ('${rootId}', '${trashId}'))
    or logical_bytes <> (select coalesce(sum(size_bytes), 0) from files)
    or missing_bytes <>
      (select coalesce(sum(b.size_bytes), 0) from replicas r join blobs b on b.id = r.blob_id where r.state in ('wanted', 'corrupt'))
      + (select coalesce(sum(b.size_bytes * b.short), 0) from blobs b)
    or short <> (select count(*) from blobs where blobs.short > 0)
    or lost <> (select count(*) from blobs b where b.unreferenced_since is null
      and not exists (select 1 from replicas r where r.blob_id = b.id and r.state = 'stored'))
    ${['wanted', 'stored', 'corrupt', 'dropping']
      .map((state) => `or ${state} <> (select count(*) from replicas where state = '${state}')`)
      .join(' ')}`,
  'directories whose size is not that of what is in them': `select d.id from entries d
    left join directory_sizes s on s.directory_id = d.id
    where d.kind = 'directory' and (
      coalesce(s.files + s.pending_files, 0) <> (select count(*) from entries e where e.parent_id = d.id and e.kind = 'file')
        + (select coalesce(sum(c.files), 0) from entries e join directory_sizes c on c.directory_id = e.id where e.parent_id = d.id)
      or coalesce(s.directories + s.pending_directories, 0) <> (select count(*) from entries e where e.parent_id = d.id and e.kind = 'directory')
        + (select coalesce(sum(c.directories), 0) from entries e join directory_sizes c on c.directory_id = e.id where e.parent_id = d.id)
      or coalesce(s.bytes + s.pending_bytes, 0) <> (select coalesce(sum(f.size_bytes), 0) from entries e join files f on f.id = e.file_id where e.parent_id = d.id)
        + (select coalesce(sum(c.bytes), 0) from entries e join directory_sizes c on c.directory_id = e.id where e.parent_id = d.id))`,
  'sizes of directories that are not there':
    "select directory_id from directory_sizes where directory_id not in (select id from entries where kind = 'directory')",
  'entries that no root leads to (a directory in itself)': `with recursive reached (id) as (
      select id from entries where parent_id = '${nowhereId}'
      union select e.id from entries e join reached r on e.parent_id = r.id)
    select id from entries where id not in (select id from reached)`,
  'items of the trash under another name than their id': `select id from entries where parent_id = '${trashId}' and name <> id`,
  'entries in the trash without a reason, or reasons without an entry': `select e.id from entries e
    left join trash t on t.entry_id = e.id where e.parent_id = '${trashId}' and t.entry_id is null
    union all select t.entry_id from trash t left join entries e on e.id = t.entry_id and e.parent_id = '${trashId}'
    where e.id is null`,
  'gaps in the journal': `select number from changes where number > (select min(number) from changes)
    and number - 1 not in (select number from changes)`,
};

/** Looks at all tables for rows that contradict each other. `hint`: shown when some are found. */
export async function expectNoContradictions(
  { rows }: MetadataHarness,
  hint: string,
): Promise<void> {
  for (const [what, sql] of Object.entries(contradictions)) {
    expect(await rows(sql), `${what} (${hint})`).toEqual([]);
  }
}
