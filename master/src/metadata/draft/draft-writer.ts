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

/**
 * Writes all that was decided, one statement per table and kind of change. `lastNumber`: of the newest row of the journal; gives the new one.
 */
export async function writeDraft(
  sql: Sql,
  draft: Draft,
  lastNumber: number,
  caches: MetadataCaches,
): Promise<number> {
  const totals = { files: 0, directories: 0, logicalBytes: 0, storedCopies: 0 };
  await writeEntries(sql, draft.entries.changes(), totals);
  await writeFiles(sql, draft.files.changes(), totals);
  await writeBlobs(sql, draft.blobs.changes(), totals);
  await writeKeys(sql, draft);
  await upsertRows(
    sql,
    'nodes',
    nodeColumns,
    draft.nodes.changes().flatMap(({ after }) => (after ? [nodeValuesOf(after)] : [])),
  );
  await writeUploads(sql, draft);
  await writeLog(sql, draft, caches);
  await addTotals(sql, totals);
  return writeJournal(sql, draft, lastNumber);
}

type Totals = Record<'files' | 'directories' | 'logicalBytes' | 'storedCopies', number>;

async function writeEntries(
  sql: Sql,
  changes: readonly Change<string, Entry>[],
  totals: Totals,
): Promise<void> {
  const gone: Value[][] = [];
  const inserted: Value[][] = [];
  const updated: Value[][] = [];
  for (const { before, after } of changes) {
    if (before) count(totals, before, -1);
    if (after) count(totals, after, 1);
    if (before && before.id !== after?.id) gone.push([before.id]);
    if (after) (before?.id === after.id ? updated : inserted).push(entryValuesOf(after));
  }
  // Names are freed first: a new row may take the name of one that goes.
  await deleteRows(sql, 'entries', ['id'], gone);
  await upsertRows(sql, 'entries', entryColumns, updated);
  await insertRows(sql, 'entries', entryColumns, inserted);
}

function count(totals: Totals, { kind }: Entry, difference: number): void {
  totals[kind === 'file' ? 'files' : 'directories'] += difference;
}

const entryValuesOf = (entry: Entry): Value[] => {
  const row = entryRowOf(entry);
  return entryColumns.map((column) => row[column]);
};

async function writeFiles(
  sql: Sql,
  changes: readonly Change<string, FileRecord>[],
  totals: Totals,
): Promise<void> {
  const gone = changes.flatMap(({ before, after }) => (before && !after ? [before] : []));
  const made = changes.flatMap(({ before, after }) => (after && !before ? [after] : []));
  for (const file of gone) totals.logicalBytes -= file.sizeBytes;
  for (const file of made) totals.logicalBytes += file.sizeBytes;
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

async function writeBlobs(
  sql: Sql,
  changes: readonly Change<BlobId, BlobState>[],
  totals: Totals,
): Promise<void> {
  const inserted: Value[][] = [];
  const updated: Value[][] = [];
  const gone: Value[][] = [];
  const copies = { inserted: [] as Value[][], updated: [] as Value[][], gone: [] as Value[][] };
  for (const { key, before, after } of changes) {
    if (!after) gone.push([key]);
    else if (!before) inserted.push(blobValuesOf(after));
    else if (differs(blobValuesOf(before), blobValuesOf(after))) updated.push(blobValuesOf(after));
    totals.storedCopies += storedCopies(after) - storedCopies(before);
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

const storedCopies = (blob: BlobState | null) =>
  blob?.copies.filter((copy) => copy.state === 'stored').length ?? 0;

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

async function addTotals(sql: Sql, totals: Totals): Promise<void> {
  if (Object.values(totals).every((total) => total === 0)) return;
  await sql.execute(
    `update totals set files = files + ?, directories = directories + ?, logical_bytes = logical_bytes + ?,
     stored_copies = stored_copies + ? where id = 1`,
    [totals.files, totals.directories, totals.logicalBytes, totals.storedCopies],
  );
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
