import { livingCopiesMax } from '../blob-state.ts';
import type { Database, Sql } from '../database.ts';
import { sizeColumns } from '../draft/draft-sizes.ts';
import { rootId, trashId } from '../root-entries.ts';
import { totalNames } from '../row-changes.ts';

const pageRows = 1_000;

/**
 * States of blobs and their copies' roles, page by page: what refers to them, how many copies are missing, which copy was there first. `isSure`: what nothing refers to
 * was deleted. Else it is forgotten, so that its copies stay on their nodes as those of any unknown blob do.
 */
export async function deriveBlobs(
  database: Database,
  { nowMs, isSure }: { readonly nowMs: number; readonly isSure: boolean },
): Promise<void> {
  await eachPage(database, 'select id from blobs', async (sql, after, through) => {
    const range = [after, through];
    if (!isSure) {
      await forgetCopies(sql, range);
    }
    // Neither referred to nor held by anyone.
    await sql.rows(
      `delete from blobs where id > ? and id <= ?
       and not exists (select 1 from file_blobs fb where fb.blob_id = blobs.id)
       and not exists (select 1 from replicas r where r.blob_id = blobs.id)`,
      range,
    );
    await sql.rows(
      `update blobs set
         unreferenced_since = case when ${isReferred} then null else coalesce(unreferenced_since, ?) end,
         short = case when ${isReferred} and copies_wanted > ${copiesKept} then copies_wanted - ${copiesKept} else 0 end
       where id > ? and id <= ?`,
      [nowMs, ...range],
    );
    await sql.rows(
      `update replicas set living_copies = (
         select case when count(*) > ${livingCopiesMax} then ${livingCopiesMax} else count(*) end
         from replicas other where other.blob_id = replicas.blob_id and other.state = 'stored')
       where state in ('wanted', 'corrupt') and blob_id > ? and blob_id <= ?`,
      range,
    );
    await sql.rows(
      `update replicas set role = 'replica' where role = 'primary' and state <> 'stored'
       and blob_id > ? and blob_id <= ?`,
      range,
    );
    // The copy that was stored first took the bytes from the client.
    await sql.rows(
      `update replicas set role = 'primary' where (blob_id, node_id) in (
         select blob_id, node_id from (
           select blob_id, node_id, row_number() over (partition by blob_id
             order by case when role = 'primary' then 0 else 1 end, case when state = 'stored' then 0 else 1 end, changed_at, node_id) as place
           from replicas where blob_id > ? and blob_id <= ?) ranked
         where place = 1)`,
      range,
    );
  });
}

const isReferred = 'exists (select 1 from file_blobs fb where fb.blob_id = blobs.id)';
const copiesKept =
  "(select count(*) from replicas r where r.blob_id = blobs.id and r.state <> 'dropping')";

/** Blobs that no file refers to, and what is known of their copies. */
export async function forgetUnreferenced(database: Database): Promise<void> {
  await eachPage(database, 'select id from blobs', async (sql, after, through) => {
    await forgetCopies(sql, [after, through]);
    await sql.rows(
      `delete from blobs where id > ? and id <= ?
       and not exists (select 1 from file_blobs fb where fb.blob_id = blobs.id)`,
      [after, through],
    );
  });
}

const forgetCopies = (sql: Sql, range: readonly string[]) =>
  sql.rows(
    `delete from replicas where blob_id > ? and blob_id <= ?
     and not exists (select 1 from file_blobs fb where fb.blob_id = replicas.blob_id)`,
    range,
  );

/** What is directly in each directory is pending there: the fold sums it up afterwards. */
export async function deriveSizes(database: Database): Promise<void> {
  await clearTable(database, 'directory_sizes', 'directory_id');
  const directories = "select id from entries where kind = 'directory'";
  await eachPage(database, directories, async (sql, after, through) => {
    await sql.rows(
      `insert into directory_sizes (${sizeColumns.join(', ')})
       select p.id, 0, 0, 0, sum(case when e.kind = 'file' then 1 else 0 end),
         sum(case when e.kind = 'directory' then 1 else 0 end), sum(coalesce(f.size_bytes, 0))
       from entries p join entries e on e.parent_id = p.id left join files f on f.id = e.file_id
       where p.kind = 'directory' and p.id > ? and p.id <= ? group by p.id`,
      [after, through],
    );
  });
}

/** Directories with copies of their own are looked at again: how far a sweep had come is not in the journal. */
export async function requestSweeps(sql: Sql, nowMs: number): Promise<void> {
  await sql.rows(
    `insert into copies_sweeps (directory_id, after_name, requested_at)
     select id, '', ? from entries where kind = 'directory' and copies is not null
     on conflict do nothing`,
    [nowMs],
  );
}

export async function deriveTotals(sql: Sql): Promise<void> {
  const states = ['wanted', 'stored', 'corrupt', 'dropping'];
  const sums: Record<(typeof totalNames)[number], string> = {
    files: "select count(*) from entries where kind = 'file'",
    directories: `select count(*) from entries where kind = 'directory' and id not in ('${rootId}', '${trashId}')`,
    logical_bytes: 'select coalesce(sum(size_bytes), 0) from files',
    ...(Object.fromEntries(
      states.map((state) => [state, `select count(*) from replicas where state = '${state}'`]),
    ) as Record<'wanted' | 'stored' | 'corrupt' | 'dropping', string>),
    missing_bytes: `select
      coalesce((select sum(b.size_bytes) from replicas r join blobs b on b.id = r.blob_id where r.state in ('wanted', 'corrupt')), 0)
      + coalesce((select sum(b.size_bytes * b.short) from blobs b where b.short > 0), 0)`,
    short: 'select count(*) from blobs where blobs.short > 0',
    lost: `select count(*) from blobs b where b.unreferenced_since is null
      and not exists (select 1 from replicas r where r.blob_id = b.id and r.state = 'stored')`,
  };
  const set = totalNames.map((name) => `${name} = (${sums[name]})`);
  await sql.rows(`update totals set ${set.join(', ')} where id = 1`);
}

/** Runs a step for each run of ids, each in a transaction of its own. */
async function eachPage(
  database: Database,
  ids: string,
  step: (sql: Sql, after: string, through: string) => Promise<void>,
): Promise<void> {
  for (let after = ''; ; ) {
    const where = ids.includes(' where ') ? 'and' : 'where';
    const rows = await database.rows<{ id: string }>(`${ids} ${where} id > ? order by id limit ?`, [
      after,
      pageRows,
    ]);
    const through = rows.at(-1)?.id;
    if (through === undefined) return;
    const from = after;
    await database.transaction((sql) => step(sql, from, through));
    after = through;
  }
}

/** Deletes every row, in steps. */
export async function clearTable(database: Database, table: string, key: string): Promise<void> {
  for (;;) {
    const rows = await database.transaction((sql) =>
      sql.rows(
        `delete from ${table} where ${key} in (select ${key} from ${table} limit ?) returning ${key}`,
        [pageRows],
      ),
    );
    if (rows.length === 0) return;
  }
}
