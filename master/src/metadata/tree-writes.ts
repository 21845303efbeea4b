import type { Clock, EntryId, FilePath } from '@dfs/shared';
import type { Sql, Value } from './database.ts';
import { decideFold } from './decisions/fold.ts';
import { decideMove } from './decisions/moving.ts';
import { decideRemoval } from './decisions/removal.ts';
import { decideExpiry, decideRestore } from './decisions/trash.ts';
import { decideTrashCollection, type TrashPile } from './decisions/trash-collection.ts';
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
} from './tree-changes.ts';

/** Of one transaction. */
const namesMax = 1_000;

/** The writes of `TreeChanges`. */
export class TreeWrites {
  readonly #writes: GroupCommit;
  readonly #clock: Clock;

  constructor(writes: GroupCommit, clock: Clock) {
    this.#writes = writes;
    this.#clock = clock;
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

  async emptyTrash(query: { ids?: readonly EntryId[]; path?: FilePath }): Promise<number> {
    if (query.ids !== undefined) return this.#expireThese(query.ids);
    const below = query.path === undefined ? undefined : belowPath(query.path);
    let [total, after] = [0, ''];
    for (;;) {
      // By id, which is not given anew: what comes to the trash meanwhile may be met or not, and the end is reached.
      const page = await this.#expirePage(
        `is_hidden = 0 and entry_id > ?${below ? ` and ${below.where}` : ''} order by entry_id`,
        [after, ...(below?.values ?? [])],
      );
      total += page.expired;
      if (page.last === undefined) return total;
      after = page.last;
    }
  }

  async #expireThese(ids: readonly EntryId[]): Promise<number> {
    let total = 0;
    for (let at = 0; at < ids.length; at += namesMax) {
      const some = ids.slice(at, at + namesMax);
      const expired = await this.#writes.submit({
        rows: some.length,
        decide: (draft) => decideExpiry(draft, some),
      });
      total += expired.length;
    }
    return total;
  }

  async #expirePage(
    where: string,
    values: readonly Value[],
  ): Promise<{ expired: number; last: EntryId | undefined }> {
    let ids: EntryId[] = [];
    const expired = await this.#writes.submit({
      rows: namesMax,
      prepare: async (sql) => {
        const rows = await sql.rows<{ entry_id: EntryId }>(
          `select entry_id from trash t where ${where} limit ${namesMax}`,
          values,
        );
        ids = rows.map((row) => row.entry_id);
      },
      decide: (draft) => decideExpiry(draft, ids).length,
    });
    return { expired, last: ids.length < namesMax ? undefined : ids.at(-1) };
  }

  async expireOldestTrash(bytes: number): Promise<{ items: number; bytes: number }> {
    const total = { items: 0, bytes: 0 };
    for (let isMore = true; isMore && total.bytes < bytes; ) {
      const wanted = bytes - total.bytes;
      let rows: { entry_id: EntryId; size: number }[] = [];
      const expired = await this.#writes.submit({
        rows: namesMax,
        prepare: async (sql) => {
          rows = upTo(wanted, await oldestOf(sql, this.#clock.now()));
        },
        decide: (draft) =>
          new Set(
            decideExpiry(
              draft,
              rows.map((row) => row.entry_id),
            ),
          ),
      });
      isMore = expired.size > 0;
      total.items += expired.size;
      for (const { entry_id, size } of rows) if (expired.has(entry_id)) total.bytes += size;
    }
    return total;
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

const oldestOf = (sql: Sql, nowMs: number) =>
  sql.rows<{ entry_id: EntryId; size: number }>(
    `select t.entry_id, ${trashedBytes} as size from ${trashedTables}
     where t.is_hidden = 0 and t.expires_at > ? order by t.removed_at, t.entry_id limit ${namesMax}`,
    [Math.round(nowMs)],
  );

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
  const rows = await sql.rows<{ id: EntryId; kind: EntryKind }>(
    `select t.entry_id as id, e.kind from trash t join entries e on e.id = t.entry_id
     where t.expires_at <= ? order by t.expires_at, t.entry_id limit ?`,
    [Math.round(nowMs), itemsMax],
  );
  const directories = rows.filter(({ kind }) => kind === 'directory').map(({ id }) => id);
  const childrenMax = names - rows.length;
  const children =
    directories.length === 0
      ? []
      : await sql.rows<{ parent_id: EntryId; name: string }>(
          `select parent_id, name from entries where parent_id in (${places(directories)}) limit ?`,
          [...directories, childrenMax],
        );
  return {
    items: rows.map(({ id }) => id),
    children: children.map((row) => ({ parentId: row.parent_id, name: row.name })),
    hasAllItems: rows.length < itemsMax,
    hasAllChildren: children.length < childrenMax,
  };
}
