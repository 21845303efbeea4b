import type { BlobId } from '@dfs/shared';
import type { BlobState, Copy } from '../blob-state.ts';
import type { Sql, Value } from '../database.ts';
import { logColumns, logValuesOf } from '../log-rows.ts';
import type { MetadataCaches } from '../metadata-caches.ts';
import type { Entry, FileRecord } from '../metadata-repository.ts';
import { pathsOfBlobs } from '../reads/blob-paths.ts';
import {
  blobColumns,
  blobValuesOf,
  copyColumns,
  copyValuesOf,
  entryColumns,
  entryRowOf,
  fileBlobColumns,
  fileBlobRowsOf,
  fileColumns,
  fileRowOf,
  nodeColumns,
  nodeValuesOf,
} from '../rows.ts';
import { deleteRows, insertRows, upsertRows } from '../sql-text.ts';
import type { Draft } from './draft.ts';
import type { Change } from './draft-table.ts';
import { addTotals } from './totals.ts';

/**
 * Writes all that was decided, one statement per table and kind of change. `lastNumber`: of the newest row of the journal; gives the new one.
 */
export async function writeDraft(
  sql: Sql,
  draft: Draft,
  lastNumber: number,
  caches: MetadataCaches,
): Promise<number> {
  await writeEntries(sql, draft.entries.changes());
  await writeFiles(sql, draft.files.changes());
  await writeBlobs(sql, draft.blobs.changes());
  await writeKeys(sql, draft);
  await upsertRows(
    sql,
    'nodes',
    nodeColumns,
    draft.nodes.changes().flatMap(({ after }) => (after ? [nodeValuesOf(after)] : [])),
  );
  await writeUploads(sql, draft);
  await writeLog(sql, draft, caches);
  await addTotals(sql, draft);
  return writeJournal(sql, draft, lastNumber);
}

async function writeEntries(sql: Sql, changes: readonly Change<string, Entry>[]): Promise<void> {
  const gone: Value[][] = [];
  const inserted: Value[][] = [];
  const updated: Value[][] = [];
  for (const { before, after } of changes) {
    if (before && before.id !== after?.id) gone.push([before.id]);
    if (after) (before?.id === after.id ? updated : inserted).push(entryValuesOf(after));
  }
  // Names are freed first: a new row may take the name of one that goes.
  await deleteRows(sql, 'entries', ['id'], gone);
  await upsertRows(sql, 'entries', entryColumns, updated);
  await insertRows(sql, 'entries', entryColumns, inserted);
}

const entryValuesOf = (entry: Entry): Value[] => {
  const row = entryRowOf(entry);
  return entryColumns.map((column) => row[column]);
};

async function writeFiles(sql: Sql, changes: readonly Change<string, FileRecord>[]): Promise<void> {
  const gone = changes.flatMap(({ before, after }) => (before && !after ? [before] : []));
  const made = changes.flatMap(({ before, after }) => (after && !before ? [after] : []));
  const goneIds = gone.map((file) => [file.id]);
  await deleteRows(sql, 'file_blobs', ['file_id'], goneIds);
  await deleteRows(sql, 'files', ['id'], goneIds);
  const fileRows = made.map(fileRowOf);
  await insertRows(
    sql,
    'files',
    fileColumns,
    fileRows.map((row) => fileColumns.map((column) => row[column])),
  );
  const blobRows = made.flatMap(fileBlobRowsOf);
  await insertRows(
    sql,
    'file_blobs',
    fileBlobColumns,
    blobRows.map((row) => fileBlobColumns.map((column) => row[column])),
  );
}

async function writeBlobs(sql: Sql, changes: readonly Change<BlobId, BlobState>[]): Promise<void> {
  const inserted: Value[][] = [];
  const updated: Value[][] = [];
  const gone: Value[][] = [];
  const copies = { inserted: [] as Value[][], updated: [] as Value[][], gone: [] as Value[][] };
  for (const { key, before, after } of changes) {
    if (!after) gone.push([key]);
    else if (!before) inserted.push(blobValuesOf(after));
    else if (differs(blobValuesOf(before), blobValuesOf(after))) updated.push(blobValuesOf(after));
    sortCopies(copies, key, before?.copies ?? [], after?.copies ?? []);
  }
  await deleteRows(sql, 'blobs', ['id'], gone);
  await upsertRows(sql, 'blobs', blobColumns, updated);
  await insertRows(sql, 'blobs', blobColumns, inserted);
  await deleteRows(sql, 'replicas', ['blob_id', 'node_id'], copies.gone);
  await upsertRows(sql, 'replicas', copyColumns, copies.updated, 2);
  await insertRows(sql, 'replicas', copyColumns, copies.inserted);
}

const differs = (a: readonly Value[], b: readonly Value[]) =>
  a.some((value, index) => value !== b[index]);

/** A copy that did not change is the same object: states are never edited. */
function sortCopies(
  sorted: { inserted: Value[][]; updated: Value[][]; gone: Value[][] },
  blobId: BlobId,
  before: readonly Copy[],
  after: readonly Copy[],
): void {
  for (const copy of after) {
    const old = before.find((other) => other.nodeId === copy.nodeId);
    if (!old) sorted.inserted.push(copyValuesOf(blobId, copy));
    else if (old !== copy) sorted.updated.push(copyValuesOf(blobId, copy));
  }
  for (const { nodeId } of before) {
    if (!after.some((copy) => copy.nodeId === nodeId)) sorted.gone.push([blobId, nodeId]);
  }
}

async function writeKeys(sql: Sql, { keys }: Draft): Promise<void> {
  const rows = keys
    .changes()
    .flatMap(({ key, after }) =>
      after ? [[key, after.path, after.outcome, after.createdAtMs]] : [],
    );
  await upsertRows(sql, 'idempotency_keys', ['key', 'path', 'outcome', 'created_at'], rows);
}

async function writeUploads(sql: Sql, { uploads }: Draft): Promise<void> {
  const changes = uploads.changes();
  const gone = changes.flatMap(({ key, after }) => (after === null ? [[key]] : []));
  const rows = changes.flatMap(({ key, after }) => (after === null ? [] : [[key, after]]));
  await deleteRows(sql, 'uploads', ['blob_id'], gone);
  await upsertRows(sql, 'uploads', ['blob_id', 'expires_at'], rows);
}

async function writeLog(sql: Sql, { log, blobs }: Draft, caches: MetadataCaches): Promise<void> {
  if (log.length === 0) return;
  const paths = await pathsOfBlobs(
    sql,
    log.map((row) => row.blobId),
    caches.recallDirectories,
  );
  const rows = log.map((row) => {
    const path = paths.get(row.blobId) ?? blobs.peekAny(row.blobId)?.path ?? '';
    return logValuesOf({ ...row, path });
  });
  await insertRows(sql, 'replication_log', logColumns, rows);
}

async function writeJournal(sql: Sql, draft: Draft, lastNumber: number): Promise<number> {
  let number = lastNumber;
  const rows = draft.journal.map((images) => {
    number += 1;
    return [number, draft.nowMs, JSON.stringify(images)];
  });
  await insertRows(sql, 'changes', ['number', 'at', 'images'], rows);
  return number;
}
