import type { FileId } from '@dfs/shared';
import type { ListedEntry } from '../metadata-repository.ts';
import { type EntryRow, entryColumns, type FileRow } from '../rows.ts';

/** A row of an entry with what a listing tells of its content. */
export type ListedRow = EntryRow & {
  readonly [Column in 'size_bytes' | 'md5' | 'content_type']: FileRow[Column] | null;
};

/** Of `listedTables`. */
export const listedColumns = `${entryColumns.map((column) => `e.${column}`).join(', ')}, f.size_bytes, f.md5, f.content_type`;
export const listedTables = 'entries e left join files f on f.id = e.file_id';

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

/** Called for each of a million rows: an object is made once, and not of others. `isPublic`: what is above it. */
export function listedEntryOf(row: ListedRow, isPublic: boolean): ListedEntry {
  const { visibility } = row;
  const entry: Mutable<ListedEntry> = {
    id: row.id,
    parentId: row.parent_id,
    name: row.name,
    kind: row.kind,
    createdAtMs: row.created_at,
    modifiedAtMs: row.modified_at,
    visibility,
    isPublic: visibility === 'inherit' ? isPublic : visibility === 'public',
  };
  if (row.copies !== null) entry.copies = row.copies;
  if (row.file_id !== null) {
    entry.fileId = row.file_id;
    entry.file = fileOf(row, row.file_id);
  }
  return entry;
}

const fileOf = (row: ListedRow, id: FileId) => ({
  id,
  sizeBytes: row.size_bytes as number,
  md5: row.md5 as string,
  contentType: row.content_type as string,
});
