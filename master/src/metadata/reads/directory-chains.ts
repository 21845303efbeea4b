import type { EntryId, FilePath } from '@dfs/shared';
import type { Sql } from '../database.ts';
import type { LoadDirectories } from '../metadata-caches.ts';
import type { Entry } from '../metadata-repository.ts';
import { nowhereId, rootId } from '../root-entries.ts';
import { type EntryRow, entryColumns, entryOf } from '../rows.ts';
import { chunksOf, places } from '../sql-text.ts';

const columns = entryColumns.map((column) => `e.${column}`).join(', ');

/**
 * The directories from the root to each of these, itself included; those not below the root (in the trash) are absent. All are of the one state that `sql` sees; where `load` is given,
 * it knows that state, and only what it does not know is read.
 */
export async function chainsOfDirectories(
  sql: Sql,
  ids: Iterable<EntryId>,
  load?: LoadDirectories,
): Promise<ReadonlyMap<EntryId, readonly Entry[]>> {
  const asked = [...new Set(ids)];
  const entries = load ? await loadUpwards(sql, asked, load) : await readUpwards(sql, asked);
  const chains = new Map<EntryId, readonly Entry[]>();
  for (const id of asked) {
    const chain = chainOf(id, entries);
    if (chain) chains.set(id, chain);
  }
  return chains;
}

/** These and all above them, in one query. */
async function readUpwards(
  sql: Sql,
  ids: readonly EntryId[],
): Promise<ReadonlyMap<EntryId, Entry>> {
  const entries = new Map<EntryId, Entry>();
  for (const some of chunksOf(ids, 1)) {
    const rows = await sql.rows<EntryRow>(
      `with recursive upwards as (
         select ${columns} from entries e where e.id in (${places(some)})
         union select ${columns} from entries e join upwards u on e.id = u.parent_id
       ) select * from upwards`,
      some,
    );
    for (const row of rows) entries.set(row.id, entryOf(row));
  }
  return entries;
}

/** Level by level for all together. */
async function loadUpwards(
  sql: Sql,
  ids: readonly EntryId[],
  load: LoadDirectories,
): Promise<ReadonlyMap<EntryId, Entry>> {
  const entries = new Map<EntryId, Entry>();
  for (let level = new Set(ids); level.size > 0; ) {
    const parents = new Set<EntryId>();
    for (const entry of (await load([...level], (missing) => readEntries(sql, missing))).values()) {
      entries.set(entry.id, entry);
      if (entry.parentId !== nowhereId) parents.add(entry.parentId);
    }
    level = new Set([...parents].filter((id) => !entries.has(id)));
  }
  return entries;
}

async function readEntries(
  sql: Sql,
  ids: readonly EntryId[],
): Promise<(readonly [EntryId, Entry])[]> {
  const entries: Entry[] = [];
  for (const some of chunksOf(ids, 1)) {
    const rows = await sql.rows<EntryRow>(
      `select ${columns} from entries e where e.id in (${places(some)})`,
      some,
    );
    entries.push(...rows.map(entryOf));
  }
  return entries.map((entry) => [entry.id, entry] as const);
}

function chainOf(id: EntryId, entries: ReadonlyMap<EntryId, Entry>): Entry[] | undefined {
  const chain: Entry[] = [];
  for (let entry = entries.get(id); entry; entry = entries.get(entry.parentId)) {
    chain.unshift(entry);
  }
  return chain[0]?.id === rootId ? chain : undefined;
}

/** The path that a chain from the root leads to. */
export const pathOfChain = (chain: readonly Entry[]) =>
  (chain.length === 1 ? '/' : chain.map((entry) => entry.name).join('/')) as FilePath;
