import type { BlobId, NodeId } from '@dfs/shared';
import { type BlobState, type Copy, ranked } from '../blob-state.ts';
import type { Sql, Value, WriterSql } from '../database.ts';
import { logValuesOf } from '../log-rows.ts';
import type { MetadataCaches } from '../metadata-caches.ts';
import type { Entry, FileRecord } from '../metadata-repository.ts';
import { pathsOfBlobs } from '../reads/blob-paths.ts';
import {
  accessKeyColumns,
  accessKeyRowOf,
  grantColumns,
  grantRowOf,
  revocationColumns,
  revocationRowOf,
} from '../rights-rows.ts';
import type { ChangedRows } from '../row-changes.ts';
import {
  blobValuesOf,
  copyValuesOf,
  entryColumns,
  entryRowOf,
  fileBlobColumns,
  fileBlobRowsOf,
  fileColumns,
  fileRowOf,
  nodeValuesOf,
  trashColumns,
  trashRowOf,
  wholeNumber,
} from '../rows.ts';
import type { Draft } from './draft.ts';
import type { Change } from './draft-table.ts';
import { totalsAddedBy } from './totals.ts';

/**
 * Writes all that was decided. `lastNumber`: of the newest row of the journal; gives the new one.
 */
export async function writeDraft(
  sql: WriterSql,
  draft: Draft,
  lastNumber: number,
  caches: MetadataCaches,
): Promise<number> {
  const { journal, nowMs } = draft;
  const totals = totalsAddedBy(draft);
  await sql.change({
    ...entryRows(draft.entries.changes()),
    ...treeRows(draft),
    ...fileRows(draft.files.changes()),
    ...blobRows(draft.blobs.changes(), draft.lostNodes),
    ...keyRows(draft),
    ...rightsRows(draft),
    nodesSet: draft.nodes.changes().flatMap(({ after }) => (after ? [nodeValuesOf(after)] : [])),
    ...uploadRows(draft),
    ...(await logRows(sql, draft, caches)),
    ...(totals === undefined ? {} : { totalsAdded: [totals] }),
    journalNew: journal.map((images, at) => [lastNumber + at + 1, nowMs, JSON.stringify(images)]),
  });
  return lastNumber + journal.length;
}

/** The values of a row in the order of its columns. */
const valuesOf = <Name extends string>(
  columns: readonly Name[],
  row: Readonly<Record<Name, Value>>,
): Value[] => columns.map((column) => row[column]);

function entryRows(changes: readonly Change<string, Entry>[]): ChangedRows {
  const gone: Value[][] = [];
  const added: Value[][] = [];
  const updated: Value[][] = [];
  for (const { before, after } of changes) {
    if (before && before.id !== after?.id) gone.push([before.id]);
    if (after)
      (before?.id === after.id ? updated : added).push(valuesOf(entryColumns, entryRowOf(after)));
  }
  return { entriesGone: gone, entriesSet: updated, entriesNew: added };
}

function treeRows({ trash, sweeps, sizes }: Draft): ChangedRows {
  const trashed = trash.changes();
  const swept = sweeps.changes();
  return {
    trashGone: trashed.flatMap(({ key, after }) => (after ? [] : [[key]])),
    trashSet: trashed.flatMap(({ after }) =>
      after ? [valuesOf(trashColumns, trashRowOf(after))] : [],
    ),
    sweepsGone: swept.flatMap(({ key, after }) => (after ? [] : [[key]])),
    sweepsSet: swept.flatMap(({ key, after }) =>
      after ? [[key, after.afterName, wholeNumber(after.requestedAtMs)]] : [],
    ),
    sizesAdded: sizes.added(),
    sizesGone: sizes.gone(),
  };
}

function fileRows(changes: readonly Change<string, FileRecord>[]): ChangedRows {
  const gone = changes.flatMap(({ before, after }) => (before && !after ? [[before.id]] : []));
  const made = changes.flatMap(({ before, after }) => (after && !before ? [after] : []));
  return {
    fileBlobsGone: gone,
    filesGone: gone,
    filesNew: made.map((file) => valuesOf(fileColumns, fileRowOf(file))),
    fileBlobsNew: made.flatMap(fileBlobRowsOf).map((row) => valuesOf(fileBlobColumns, row)),
  };
}

function blobRows(
  changes: readonly Change<BlobId, BlobState>[],
  lostNodes: ReadonlySet<NodeId>,
): ChangedRows {
  const added: Value[][] = [];
  const updated: Value[][] = [];
  const gone: Value[][] = [];
  const copies = { added: [] as Value[][], updated: [] as Value[][], gone: [] as Value[][] };
  for (const { key, before, after } of changes) {
    if (!after) gone.push([key]);
    else if (!before) added.push(blobValuesOf(after));
    else if (differs(blobValuesOf(before), blobValuesOf(after))) updated.push(blobValuesOf(after));
    const copiesAfter = after ? ranked(after, lostNodes).copies : [];
    sortCopies(copies, key, before?.copies ?? [], copiesAfter);
  }
  return {
    blobsGone: gone,
    blobsSet: updated,
    blobsNew: added,
    copiesGone: copies.gone,
    copiesSet: copies.updated,
    copiesNew: copies.added,
  };
}

const differs = (a: readonly Value[], b: readonly Value[]) =>
  a.some((value, index) => value !== b[index]);

/** A copy that did not change is the same object: states are never edited. */
function sortCopies(
  sorted: { added: Value[][]; updated: Value[][]; gone: Value[][] },
  blobId: BlobId,
  before: readonly Copy[],
  after: readonly Copy[],
): void {
  for (const copy of after) {
    const old = before.find((other) => other.nodeId === copy.nodeId);
    if (!old) sorted.added.push(copyValuesOf(blobId, copy));
    else if (old !== copy) sorted.updated.push(copyValuesOf(blobId, copy));
  }
  for (const { nodeId } of before) {
    if (!after.some((copy) => copy.nodeId === nodeId)) sorted.gone.push([blobId, nodeId]);
  }
}

function keyRows({ keys }: Draft): ChangedRows {
  const changes = keys.changes();
  return {
    keysSet: changes.flatMap(({ key, after }) =>
      after ? [[key, after.path, after.outcome, after.createdAtMs]] : [],
    ),
  };
}

function rightsRows(draft: Draft): ChangedRows {
  const keys = draft.accessKeys.changes();
  const grants = draft.grants.changes();
  const revocations = draft.revocations.changes();
  return {
    accessKeysGone: goneOf(keys),
    accessKeysSet: setOf(keys, (key) => valuesOf(accessKeyColumns, accessKeyRowOf(key))),
    grantsGone: goneOf(grants),
    grantsSet: setOf(grants, (grant) => valuesOf(grantColumns, grantRowOf(grant))),
    revocationsGone: goneOf(revocations),
    revocationsSet: setOf(revocations, (row) => valuesOf(revocationColumns, revocationRowOf(row))),
  };
}

const goneOf = (changes: readonly Change<string, unknown>[]): Value[][] =>
  changes.flatMap(({ key, after }) => (after === null ? [[key]] : []));

const setOf = <Row>(
  changes: readonly Change<string, Row>[],
  values: (row: Row) => Value[],
): Value[][] => changes.flatMap(({ after }) => (after === null ? [] : [values(after)]));

function uploadRows({ uploads }: Draft): ChangedRows {
  const changes = uploads.changes();
  return {
    uploadsGone: changes.flatMap(({ key, after }) => (after === null ? [[key]] : [])),
    uploadsSet: changes.flatMap(({ key, after }) => (after === null ? [] : [[key, after]])),
  };
}

async function logRows(
  sql: Sql,
  { log, blobs }: Draft,
  caches: MetadataCaches,
): Promise<ChangedRows> {
  if (log.length === 0) return {};
  const paths = await pathsOfBlobs(
    sql,
    log.map((row) => row.blobId),
    caches.loadDirectories,
  );
  return {
    logNew: log.map((row) => {
      const path = paths.get(row.blobId) ?? blobs.peekAny(row.blobId)?.path ?? '';
      return logValuesOf({ ...row, path });
    }),
  };
}
