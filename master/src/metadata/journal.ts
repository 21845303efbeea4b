import type { EntryId, FileId } from '@dfs/shared';
import type { BlobState } from './blob-state.ts';
import type { Entry, FileRecord, TrashRecord } from './metadata-repository.ts';
import { entryRowOf, fileBlobRowsOf, fileRowOf, trashRowOf } from './rows.ts';

/**
 * A row as it is after a change, as it stands in `changes.images`: never what was done, so that replaying images twice, or on rows that are
 * newer already, does no harm. `key` and `row` have the columns' names.
 */
export interface Image {
  readonly table:
    | 'entries'
    | 'files'
    | 'file_blobs'
    | 'blobs'
    | 'trash'
    | 'access_keys'
    | 'address_grants'
    | 'link_revocations';
  readonly op: 'upsert' | 'delete';
  readonly key: Readonly<Record<string, string | number>>;
  readonly row?: object;
}

export const entryImage = (entry: Entry): Image => ({
  table: 'entries',
  op: 'upsert',
  key: { id: entry.id },
  row: entryRowOf(entry),
});

export const entryGone = (entry: Entry): Image => ({
  table: 'entries',
  op: 'delete',
  key: { id: entry.id },
});

export const trashImage = (record: TrashRecord): Image => ({
  table: 'trash',
  op: 'upsert',
  key: { entry_id: record.entryId },
  row: trashRowOf(record),
});

export const trashGone = (entryId: EntryId): Image => ({
  table: 'trash',
  op: 'delete',
  key: { entry_id: entryId },
});

export const fileImages = (file: FileRecord): Image[] => [
  { table: 'files', op: 'upsert', key: { id: file.id }, row: fileRowOf(file) },
  ...fileBlobRowsOf(file).map(
    (row): Image => ({
      table: 'file_blobs',
      op: 'upsert',
      key: fileBlobKey(file.id, row.sequence),
      row,
    }),
  ),
];

export const fileGone = (file: FileRecord): Image[] => [
  { table: 'files', op: 'delete', key: { id: file.id } },
  ...file.blobs.map(
    (_, sequence): Image => ({
      table: 'file_blobs',
      op: 'delete',
      key: fileBlobKey(file.id, sequence),
    }),
  ),
];

const fileBlobKey = (fileId: FileId, sequence: number) => ({ file_id: fileId, sequence });

/** Only what cannot be learnt from the nodes: how many copies are wanted. */
export const blobImage = (blob: BlobState): Image => ({
  table: 'blobs',
  op: 'upsert',
  key: { id: blob.id },
  row: {
    id: blob.id,
    size_bytes: blob.sizeBytes,
    md5: blob.md5,
    copies_wanted: blob.copiesWanted,
  },
});
