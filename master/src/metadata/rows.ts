import { type BlobId, type EntryId, type FileId, inventoryKeyOf, type NodeId } from '@dfs/shared';
import { type BlobState, type Copy, shortOf } from './blob-state.ts';
import type { Value } from './database.ts';
import type {
  Entry,
  EntryKind,
  FileRecord,
  NodeRecord,
  ReplicaRole,
  ReplicaState,
  TrashRecord,
  Visibility,
} from './metadata-repository.ts';

/** Between rows of the tables and the words of this program. Both databases give the same types: text, numbers and null. */

/** Texts from outside: PostgreSQL keeps no NUL, and neither database a broken character. */
export const plainText = (text: string, lengthMax = 1_000) =>
  text.slice(0, lengthMax).replaceAll('\0', '').toWellFormed();

export const wholeNumber = (value: number) => Math.round(value);

export interface EntryRow {
  readonly id: EntryId;
  readonly parent_id: EntryId;
  readonly name: string;
  readonly kind: EntryKind;
  readonly file_id: FileId | null;
  readonly created_at: number;
  readonly modified_at: number;
  readonly visibility: Visibility;
  readonly copies: number | null;
}

export const entryColumns = [
  'id',
  'parent_id',
  'name',
  'kind',
  'file_id',
  'created_at',
  'modified_at',
  'visibility',
  'copies',
] as const;

export const entryRowOf = (entry: Entry): EntryRow => ({
  id: entry.id,
  parent_id: entry.parentId,
  name: entry.name,
  kind: entry.kind,
  file_id: entry.fileId ?? null,
  created_at: wholeNumber(entry.createdAtMs),
  modified_at: wholeNumber(entry.modifiedAtMs),
  visibility: entry.visibility,
  copies: entry.copies ?? null,
});

export const entryOf = (row: EntryRow): Entry => ({
  id: row.id,
  parentId: row.parent_id,
  name: row.name,
  kind: row.kind,
  ...(row.file_id === null ? {} : { fileId: row.file_id }),
  createdAtMs: row.created_at,
  modifiedAtMs: row.modified_at,
  visibility: row.visibility,
  ...(row.copies === null ? {} : { copies: row.copies }),
});

export interface TrashRow {
  readonly entry_id: EntryId;
  readonly path: string;
  readonly removed_at: number;
  readonly expires_at: number;
  readonly reason: TrashRecord['reason'];
  readonly is_hidden: number;
}

export const trashColumns = [
  'entry_id',
  'path',
  'removed_at',
  'expires_at',
  'reason',
  'is_hidden',
] as const;

export const trashRowOf = (record: TrashRecord): TrashRow => ({
  entry_id: record.entryId,
  path: record.path,
  removed_at: wholeNumber(record.removedAtMs),
  expires_at: wholeNumber(record.expiresAtMs),
  reason: record.reason,
  is_hidden: Number(record.isHidden),
});

export const trashRecordOf = (row: TrashRow): TrashRecord => ({
  entryId: row.entry_id,
  path: row.path,
  removedAtMs: row.removed_at,
  expiresAtMs: row.expires_at,
  reason: row.reason,
  isHidden: row.is_hidden === 1,
});

export interface FileRow {
  readonly id: FileId;
  readonly size_bytes: number;
  readonly md5: string;
  readonly content_type: string;
  /** JSON. */
  readonly attributes: string;
  readonly created_at: number;
}

export const fileColumns = [
  'id',
  'size_bytes',
  'md5',
  'content_type',
  'attributes',
  'created_at',
] as const;

export const fileRowOf = (file: Omit<FileRecord, 'blobs'>): FileRow => ({
  id: file.id,
  size_bytes: file.sizeBytes,
  md5: file.md5,
  content_type: file.contentType,
  attributes: JSON.stringify(file.attributes),
  created_at: wholeNumber(file.createdAtMs),
});

export interface FileBlobRow {
  readonly file_id: FileId;
  readonly sequence: number;
  readonly blob_id: BlobId;
  readonly offset_bytes: number;
}

export const fileBlobColumns = ['file_id', 'sequence', 'blob_id', 'offset_bytes'] as const;

export const fileBlobRowsOf = (file: FileRecord): FileBlobRow[] =>
  file.blobs.map((blob, sequence) => ({
    file_id: file.id,
    sequence,
    blob_id: blob.blobId,
    offset_bytes: blob.offsetBytes,
  }));

/** A row of `files` with one of its blobs. */
export interface FileAndBlobRow extends FileRow {
  readonly blob_id: BlobId;
  readonly offset_bytes: number;
  readonly blob_size_bytes: number;
  readonly blob_md5: string;
}

/** Of `files f`, for `FileAndBlobRow`; order by f.id, fb.sequence. */
export const fileAndBlobColumns = `f.id, f.size_bytes, f.md5, f.content_type, f.attributes, f.created_at,
  fb.blob_id, fb.offset_bytes, b.size_bytes as blob_size_bytes, b.md5 as blob_md5`;
export const fileAndBlobTables =
  'files f join file_blobs fb on fb.file_id = f.id join blobs b on b.id = fb.blob_id';

/** Files of their rows, which stand together and in order of their blobs. */
export function filesOf(rows: readonly FileAndBlobRow[]): FileRecord[] {
  const files: FileRecord[] = [];
  let blobs: FileRecord['blobs'][number][] = [];
  let last: FileId | undefined;
  for (const row of rows) {
    if (row.id !== last) {
      last = row.id;
      blobs = [];
      files.push({
        id: row.id,
        sizeBytes: row.size_bytes,
        md5: row.md5,
        contentType: row.content_type,
        attributes: JSON.parse(row.attributes) as Record<string, string>,
        createdAtMs: row.created_at,
        blobs,
      });
    }
    blobs.push({
      blobId: row.blob_id,
      offsetBytes: row.offset_bytes,
      sizeBytes: row.blob_size_bytes,
      md5: row.blob_md5,
    });
  }
  return files;
}

export const blobColumns = [
  'id',
  'size_bytes',
  'md5',
  'copies_wanted',
  'path',
  'short',
  'released',
  'unreferenced_since',
  'copies_changed_at',
] as const;

export const blobValuesOf = (blob: BlobState): Value[] => [
  blob.id,
  blob.sizeBytes,
  blob.md5,
  blob.copiesWanted,
  blob.path,
  shortOf(blob),
  Number(blob.released),
  blob.unreferencedSinceMs,
  blob.copiesChangedAtMs,
];

export const copyColumns = [
  'blob_id',
  'node_id',
  'inventory_key',
  'role',
  'state',
  'attempts',
  'next_attempt_at',
  'last_error',
  'changed_at',
  'living_copies',
] as const;

export const copyValuesOf = (blobId: BlobId, copy: Copy): Value[] => [
  blobId,
  copy.nodeId,
  inventoryKeyOf(blobId),
  copy.role,
  copy.state,
  copy.attempts,
  copy.nextAttemptAtMs === null ? null : wholeNumber(copy.nextAttemptAtMs),
  copy.lastError === null ? null : plainText(copy.lastError),
  wholeNumber(copy.changedAtMs),
  copy.livingCopies,
];

/** A row of `blobs b` with one of its `replicas r`, or with none. */
export interface BlobAndCopyRow {
  readonly id: BlobId;
  readonly size_bytes: number;
  readonly md5: string;
  readonly copies_wanted: number;
  readonly path: string;
  readonly released: number;
  readonly unreferenced_since: number | null;
  readonly copies_changed_at: number;
  readonly node_id: NodeId | null;
  readonly role: ReplicaRole;
  readonly state: ReplicaState;
  readonly attempts: number;
  readonly next_attempt_at: number | null;
  readonly last_error: string | null;
  readonly changed_at: number;
  readonly living_copies: number;
}

/** Rows for `BlobAndCopyRow`. */
export const blobsAndCopies = `select b.id, b.size_bytes, b.md5, b.copies_wanted, b.path, b.released, b.unreferenced_since,
  b.copies_changed_at, r.node_id, r.role, r.state, r.attempts, r.next_attempt_at, r.last_error, r.changed_at,
  r.living_copies
  from blobs b left join replicas r on r.blob_id = b.id`;

/** Blobs of their rows, in the order in which each first stands. */
export function blobStatesOf(rows: readonly BlobAndCopyRow[]): Map<BlobId, BlobState> {
  const blobs = new Map<BlobId, BlobState & { copies: Copy[] }>();
  for (const row of rows) {
    let blob = blobs.get(row.id);
    if (!blob) {
      blob = {
        id: row.id,
        sizeBytes: row.size_bytes,
        md5: row.md5,
        copiesWanted: row.copies_wanted,
        path: row.path,
        unreferencedSinceMs: row.unreferenced_since,
        released: row.released === 1,
        copiesChangedAtMs: row.copies_changed_at,
        copies: [],
      };
      blobs.set(row.id, blob);
    }
    if (row.node_id === null) continue;
    blob.copies.push({
      nodeId: row.node_id,
      role: row.role,
      state: row.state,
      attempts: row.attempts,
      nextAttemptAtMs: row.next_attempt_at,
      lastError: row.last_error,
      changedAtMs: row.changed_at,
      livingCopies: row.living_copies,
    });
  }
  return blobs;
}

export interface NodeRow {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly public_url: string | null;
  readonly zone: string | null;
  readonly state: NodeRecord['state'];
  readonly data_dir: string;
  readonly capacity_bytes: number;
  readonly used_bytes: number;
  readonly last_heartbeat_at: number;
}

export const nodeColumns = [
  'id',
  'name',
  'url',
  'public_url',
  'zone',
  'state',
  'data_dir',
  'capacity_bytes',
  'used_bytes',
  'last_heartbeat_at',
] as const;

export const nodeValuesOf = (node: NodeRecord): Value[] => [
  node.id,
  plainText(node.name),
  plainText(node.url),
  node.publicUrl === undefined ? null : plainText(node.publicUrl),
  node.zone === undefined ? null : plainText(node.zone),
  node.state,
  plainText(node.dataDir, 4_096),
  wholeNumber(node.capacityBytes),
  wholeNumber(node.usedBytes),
  wholeNumber(node.lastHeartbeatAtMs),
];

export const nodeOf = (row: NodeRow): NodeRecord => ({
  id: row.id,
  name: row.name,
  url: row.url,
  ...(row.public_url === null ? {} : { publicUrl: row.public_url }),
  ...(row.zone === null ? {} : { zone: row.zone }),
  state: row.state,
  dataDir: row.data_dir,
  capacityBytes: row.capacity_bytes,
  usedBytes: row.used_bytes,
  lastHeartbeatAtMs: row.last_heartbeat_at,
});
