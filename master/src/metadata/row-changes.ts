import type { Value } from './database.ts';
import { sizeColumns } from './draft/draft-sizes.ts';
import { logColumns } from './log-rows.ts';
import { accessKeyColumns, grantColumns, revocationColumns } from './rights-rows.ts';
import {
  blobColumns,
  copyColumns,
  entryColumns,
  fileBlobColumns,
  fileColumns,
  nodeColumns,
  trashColumns,
} from './rows.ts';

/** A way in which a batch changes rows of one table. */
export interface RowChange {
  readonly table: string;
  /**
   * `delete`: the rows of these keys go. `insert`: new rows. `upsert`: new rows, or all columns of those that are there.
   * `add`: one row of numbers, added to the columns of row 1. `accumulate`: new rows, or numbers added to the columns of those that are there.
   */
  readonly kind: 'delete' | 'insert' | 'upsert' | 'add' | 'accumulate';
  readonly columns: readonly string[];
  /** For `upsert`: the first so many columns are the primary key. */
  readonly keyColumns: number;
}

/** The columns of `totals`. */
export const totalNames = [
  'files',
  'directories',
  'logical_bytes',
  'wanted',
  'stored',
  'corrupt',
  'dropping',
  'short',
  'lost',
  'missing_bytes',
] as const;

export type Totals = Record<(typeof totalNames)[number], number>;

const change = (
  table: string,
  kind: RowChange['kind'],
  columns: readonly string[],
  keyColumns = 1,
): RowChange => ({ table, kind, columns, keyColumns });

/** Every way there is, in the order in which a batch takes them: names are freed first, since a new row may take the name of one that goes. */
export const rowChanges = {
  entriesGone: change('entries', 'delete', ['id']),
  entriesSet: change('entries', 'upsert', entryColumns),
  entriesNew: change('entries', 'insert', entryColumns),
  trashGone: change('trash', 'delete', ['entry_id']),
  trashSet: change('trash', 'upsert', trashColumns),
  sweepsGone: change('copies_sweeps', 'delete', ['directory_id']),
  sweepsSet: change('copies_sweeps', 'upsert', ['directory_id', 'after_name', 'requested_at']),
  sizesAdded: change('directory_sizes', 'accumulate', sizeColumns),
  sizesGone: change('directory_sizes', 'delete', ['directory_id']),
  fileBlobsGone: change('file_blobs', 'delete', ['file_id']),
  filesGone: change('files', 'delete', ['id']),
  filesNew: change('files', 'insert', fileColumns),
  fileBlobsNew: change('file_blobs', 'insert', fileBlobColumns),
  blobsGone: change('blobs', 'delete', ['id']),
  blobsSet: change('blobs', 'upsert', blobColumns),
  blobsNew: change('blobs', 'insert', blobColumns),
  copiesGone: change('replicas', 'delete', ['blob_id', 'node_id']),
  copiesSet: change('replicas', 'upsert', copyColumns, 2),
  copiesNew: change('replicas', 'insert', copyColumns),
  keysSet: change('idempotency_keys', 'upsert', ['key', 'path', 'outcome', 'created_at']),
  accessKeysGone: change('access_keys', 'delete', ['id']),
  accessKeysSet: change('access_keys', 'upsert', accessKeyColumns),
  grantsGone: change('address_grants', 'delete', ['id']),
  grantsSet: change('address_grants', 'upsert', grantColumns),
  revocationsGone: change('link_revocations', 'delete', ['subject']),
  revocationsSet: change('link_revocations', 'upsert', revocationColumns),
  nodesSet: change('nodes', 'upsert', nodeColumns),
  uploadsGone: change('uploads', 'delete', ['blob_id']),
  uploadsSet: change('uploads', 'upsert', ['blob_id', 'expires_at']),
  logNew: change('replication_log', 'insert', logColumns),
  totalsAdded: change('totals', 'add', totalNames),
  journalNew: change('changes', 'insert', ['number', 'at', 'images']),
} as const satisfies Record<string, RowChange>;

export type RowChangeName = keyof typeof rowChanges;
export const rowChangeNames = Object.keys(rowChanges) as RowChangeName[];

type Rows = readonly (readonly Value[])[];

/** The rows of each change of one batch; for a deletion, their keys. */
export type ChangedRows = { readonly [name in RowChangeName]?: Rows };

/** Those that change something, in their order. */
export function changesIn(rows: ChangedRows): [RowChangeName, Rows][] {
  return rowChangeNames.flatMap((name): [RowChangeName, Rows][] => {
    const some = rows[name];
    return some === undefined || some.length === 0 ? [] : [[name, some]];
  });
}

/** What follows the values of an `insert`: what becomes of rows which are there. */
export function conflictClauseOf({ table, kind, columns, keyColumns }: RowChange): string {
  if (kind !== 'upsert' && kind !== 'accumulate') return '';
  const before = (column: string) => (kind === 'accumulate' ? `${table}.${column} + ` : '');
  const set = columns
    .slice(keyColumns)
    .map((column) => `${column} = ${before(column)}excluded.${column}`);
  return `on conflict (${columns.slice(0, keyColumns).join(', ')}) do update set ${set.join(', ')}`;
}
