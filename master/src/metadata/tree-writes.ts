import type { EntryId, FilePath } from '@dfs/shared';
import type { Database, Sql, Value } from './database.ts';
import { decideFold } from './decisions/fold.ts';
import { decideMove } from './decisions/moving.ts';
import { decideRemoval } from './decisions/removal.ts';
import { decideExpiry, decideRestore } from './decisions/trash.ts';
import { decideTrashCollection, type TrashPile } from './decisions/trash-collection.ts';
import type { Draft } from './draft/draft.ts';
import type { GroupCommit } from './group-commit.ts';
import type { EntryKind } from './metadata-repository.ts';
import { belowPath, trashedBytes, trashedTables } from './reads/trash-reader.ts';
import { places } from './sql-text.ts';
import type {
  CollectedTrash,
  MoveOutcome,
  MoveRequest,
  RemoveRequest,
  RestoreOutcome,
  RestoreRequest,
  TrashToEmpty,
} from './tree-changes.ts';

/** Of one transaction. */
const namesMax = 1_000;

/** The writes of `TreeChanges`. */
export class TreeWrites {
  readonly #database: Database;
  readonly #writes: GroupCommit;

  constructor(database: Database, writes: GroupCommit) {
    this.#database = database;
    this.#writes = writes;
  }

  moveEntry(request: MoveRequest): Promise<MoveOutcome> {
    return this.#writes.submit({ rows: 1, decide: (draft) => decideMove(draft, request) });
  }

  removeEntry(path: FilePath, request: RemoveRequest): Promise<void> {
    return this.#writes.submit({
      rows: 1,
      decide: (draft) => decideRemoval(draft, path, request),
    });
  }

  restoreTrashed(id: EntryId, request: RestoreRequest): Promise<RestoreOutcome> {
    return this.#writes.submit({ rows: 1, decide: (draft) => decideRestore(draft, id, request) });
  }

  async emptyTrash({ ids, within, ...query }: TrashToEmpty): Promise<number> {
    if (ids !== undefined) return (await this.#expire(ids, within)).size;
    let total = 0;
    for (let last: TrashPlace | undefined, isMore = true; isMore; ) {
      const page = await shownItems(this.#database, { ...query, after: last });
      const expired = await this.#expire(page.map((item) => item.entry_id));
      total += expired.size;
      last = page.at(-1);
      isMore = page.length === namesMax;
    }
    return total;
  }

  async expireOldestTrash(bytes: number): Promise<{ items: number; bytes: number }> {
    const total = { items: 0, bytes: 0 };
    for (let last: TrashPlace | undefined, isMore = true; isMore && total.bytes < bytes; ) {
      const page = await shownItems(this.#database, { after: last });
      const enough = upTo(bytes - total.bytes, page);
      const expired = await this.#expire(enough.map((item) => item.entry_id));
      total.items += expired.size;
      for (const { entry_id, size } of enough) if (expired.has(entry_id)) total.bytes += size;
      last = enough.at(-1);
      isMore = page.length === namesMax || enough.length < page.length;
    }
    return total;
  }

  /** Gives those that could still be brought back, and were within that part of the tree. */
  async #expire(ids: readonly EntryId[], within?: FilePath): Promise<ReadonlySet<EntryId>> {
    const expired = new Set<EntryId>();
    for (let at = 0; at < ids.length; at += namesMax) {
      const some = ids.slice(at, at + namesMax);
      const decide = (draft: Draft) => decideExpiry(draft, some, within);
      for (const id of await this.#writes.submit({ rows: some.length, decide })) expired.add(id);
    }
    return expired;
  }

  collectTrash({ nowMs, limit }: { nowMs: number; limit: number }): Promise<CollectedTrash> {
    const names = Math.max(2, Math.min(namesMax, limit));
    let pile: TrashPile = { items: [], children: [], hasAllItems: true, hasAllChildren: true };
    return this.#writes.submit({
      rows: names,
      prepare: async (sql) => {
        pile = await readPile(sql, nowMs, names);
      },
      decide: (draft) => decideTrashCollection(draft, pile, nowMs),
    });
  }

  foldSizes(limit: number): Promise<number> {
    const count = Math.max(1, Math.min(namesMax, limit));
    let ids: EntryId[] = [];
    return this.#writes.submit({
      rows: count,
      prepare: async (sql) => {
        const rows = await sql.rows<{ directory_id: EntryId }>(
          `select directory_id from directory_sizes
           where pending_files <> 0 or pending_directories <> 0 or pending_bytes <> 0 limit ?`,
          [count],
        );
        ids = rows.map((row) => row.directory_id);
      },
      decide: (draft) => decideFold(draft, ids),
    });
  }
}

interface TrashPlace {
  readonly entry_id: EntryId;
  readonly removed_at: number;
}

/** A page of what is shown, oldest first. It is searched for where nobody waits to write, and looked at again when it is decided. */
function shownItems(
  sql: Sql,
  { after, path }: { after: TrashPlace | undefined; path?: FilePath },
): Promise<(TrashPlace & { readonly size: number })[]> {
  const conditions = ['t.is_hidden = 0'];
  const values: Value[] = [];
  if (after) {
    conditions.push('(t.removed_at, t.entry_id) > (?, ?)');
    values.push(after.removed_at, after.entry_id);
  }
  if (path !== undefined) {
    const below = belowPath(path);
    conditions.push(below.where);
    values.push(...below.values);
  }
  return sql.rows(
    `select t.entry_id, t.removed_at, ${trashedBytes} as size from ${trashedTables}
     where ${conditions.join(' and ')} order by t.removed_at, t.entry_id limit ${namesMax}`,
    values,
  );
}

/** The first of these whose sizes come to so many bytes. */
function upTo<Row extends { readonly size: number }>(bytes: number, rows: readonly Row[]): Row[] {
  let sum = 0;
  const end = rows.findIndex(({ size }) => {
    sum += size;
    return sum >= bytes;
  });
  return end < 0 ? [...rows] : rows.slice(0, end + 1);
}

/** Half of the names are items at most, so that there is room for what is in them. */
async function readPile(sql: Sql, nowMs: number, names: number): Promise<TrashPile> {
  const itemsMax = Math.floor(names / 2);
  const rows = await sql.rows<{ id: EntryId; kind: EntryKind; weight: number | string }>(
    `select t.entry_id as id, e.kind, ${weight} as weight from trash t join entries e on e.id = t.entry_id
     where t.expires_at <= ? order by t.expires_at, t.entry_id limit ?`,
    [Math.round(nowMs), itemsMax],
  );
  const items = asMuchAs(itemsMax, rows);
  const directories = items.taken.filter(({ kind }) => kind === 'directory').map(({ id }) => id);
  const childrenMax = Math.max(0, names - items.weight);
  const found =
    directories.length === 0 || childrenMax === 0
      ? []
      : await sql.rows<{ parent_id: EntryId; name: string; weight: number | string }>(
          `select e.parent_id, e.name, ${weight} as weight from entries e where e.parent_id in (${places(directories)}) limit ?`,
          [...directories, childrenMax],
        );
  const children = asMuchAs(childrenMax, found).taken;
  return {
    items: items.taken.map(({ id }) => id),
    children: children.map((row) => ({ parentId: row.parent_id, name: row.name })),
    hasAllItems: rows.length < itemsMax && items.taken.length === rows.length,
    hasAllChildren: found.length < childrenMax && children.length === found.length,
  };
}

/** Of an entry `e`: as many rows go with a name as its content has blobs. */
const weight = `(select count(*) from file_blobs b where b.file_id = e.file_id)`;

/** The first of them, until they weigh so much together (each weighs one at least); one of any weight, since a file goes in one transaction. */
function asMuchAs<Row extends { readonly weight: number | string }>(
  most: number,
  rows: readonly Row[],
): { readonly taken: readonly Row[]; readonly weight: number } {
  const taken: Row[] = [];
  let sum = 0;
  for (const row of rows) {
    const weighs = Math.max(1, Number(row.weight));
    if (taken.length > 0 && sum + weighs > most) break;
    taken.push(row);
    sum += weighs;
  }
  return { taken, weight: sum };
}
