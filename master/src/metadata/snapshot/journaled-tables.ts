import { accessKeyColumns, grantColumns, revocationColumns } from '../rights-rows.ts';
import { entryColumns, fileBlobColumns, fileColumns, trashColumns } from '../rows.ts';

/** A table whose rows are in the journal. */
export interface JournaledTable {
  readonly name: string;
  /** Those that the journal carries; the first `keyColumns` are the primary key. */
  readonly columns: readonly string[];
  readonly keyColumns: number;
  /** Names at most one row: while images are replayed, a newer row may take them before the older one is seen to go. */
  readonly unique?: readonly string[];
  /** What the columns that the journal does not carry hold until they are derived. */
  readonly defaults?: Readonly<Record<string, string | number>>;
}

/** All of them: what a snapshot holds and a restore loads. Everything else in the database is derived, or found on the nodes. */
export const journaledTables: readonly JournaledTable[] = [
  { name: 'entries', columns: entryColumns, keyColumns: 1, unique: ['parent_id', 'name'] },
  { name: 'files', columns: fileColumns, keyColumns: 1 },
  { name: 'file_blobs', columns: fileBlobColumns, keyColumns: 2 },
  {
    name: 'blobs',
    columns: ['id', 'size_bytes', 'md5', 'copies_wanted'],
    keyColumns: 1,
    defaults: { path: '', short: 0, released: 0, copies_changed_at: 0 },
  },
  { name: 'trash', columns: trashColumns, keyColumns: 1 },
  { name: 'access_keys', columns: accessKeyColumns, keyColumns: 1 },
  { name: 'address_grants', columns: grantColumns, keyColumns: 1 },
  { name: 'link_revocations', columns: revocationColumns, keyColumns: 1 },
];
