import { type EntryId, type FilePath, StoreError } from '@dfs/shared';
import type { Database, Value } from '../database.ts';
import type { EntryKind } from '../metadata-repository.ts';
import type { TrashRow } from '../rows.ts';
import type { TrashedEntry, TrashPage } from '../tree-changes.ts';

const pageMax = 1_000;

/** What is in the trash, with sizes: for `trashedBytes`. */
export const trashedTables = `trash t join entries e on e.id = t.entry_id
  left join files f on f.id = e.file_id left join directory_sizes s on s.directory_id = e.id`;
export const trashedBytes = 'coalesce(f.size_bytes, s.bytes + s.pending_bytes, 0)';

/** A condition on `trash t`: what was at this path or below. */
export function belowPath(path: FilePath): { where: string; values: Value[] } {
  const start = path === '/' ? path : `${path}/`;
  // Both databases count characters, not the halves of which a string here may consist.
  return {
    where: '(t.path = ? or substr(t.path, 1, ?) = ?)',
    values: [path, [...start].length, start],
  };
}

interface TrashedRow extends TrashRow {
  readonly kind: EntryKind;
  readonly size: number;
  readonly files: number;
}

export interface TrashQuery {
  readonly nowMs: number;
  readonly limit: number;
  readonly after?: string;
  readonly path?: FilePath;
}

/** What can be brought back, newest first. */
export async function listTrash(database: Database, query: TrashQuery): Promise<TrashPage> {
  const { nowMs, limit, after, path } = query;
  const count = Math.max(1, Math.min(pageMax, limit));
  const conditions = ['t.is_hidden = 0', 't.expires_at > ?'];
  const values: Value[] = [Math.round(nowMs)];
  if (after !== undefined) {
    conditions.push('(t.removed_at, t.entry_id) < (?, ?)');
    values.push(...placeOf(after));
  }
  if (path !== undefined) {
    const below = belowPath(path);
    conditions.push(below.where);
    values.push(...below.values);
  }
  const rows = await database.rows<TrashedRow>(
    `select t.entry_id, t.path, t.removed_at, t.expires_at, t.reason, e.kind, ${trashedBytes} as size,
     case when e.kind = 'file' then 1 else coalesce(s.files + s.pending_files, 0) end as files
     from ${trashedTables} where ${conditions.join(' and ')}
     order by t.removed_at desc, t.entry_id desc limit ?`,
    [...values, count + 1],
  );
  const page = rows.slice(0, count);
  const items = page.map(trashedEntryOf);
  const last = page.at(-1);
  return rows.length > count && last
    ? { items, next: `${last.removed_at}-${last.entry_id}` }
    : { items };
}

function placeOf(after: string): [number, EntryId] {
  const [, removedAt, id] = /^(\d{1,15})-([0-9a-f-]{36})$/.exec(after) ?? [];
  if (removedAt === undefined || id === undefined) {
    throw new StoreError(
      'invalid-request',
      `${JSON.stringify(after)} begins no page of the trash.`,
      {
        hint: 'Give what the page before gave as next.',
      },
    );
  }
  return [Number(removedAt), id as EntryId];
}

const trashedEntryOf = (row: TrashedRow): TrashedEntry => ({
  id: row.entry_id,
  path: row.path as FilePath,
  kind: row.kind,
  reason: row.reason,
  removedAtMs: row.removed_at,
  expiresAtMs: row.expires_at,
  sizeBytes: row.size,
  files: row.files,
});
