import { type BlobState, isLost, missingBytesOf, shortOf } from '../blob-state.ts';
import type { Entry, FileRecord } from '../metadata-repository.ts';
import { type Totals, totalNames } from '../row-changes.ts';
import type { Draft } from './draft.ts';

/** What a batch adds to each column of `totals`; undefined when nothing. */
export function totalsAddedBy(draft: Draft): number[] | undefined {
  const totals = differencesOf(draft);
  const values = totalNames.map((name) => totals[name]);
  return values.every((value) => value === 0) ? undefined : values;
}

function differencesOf({ entries, files, blobs }: Draft): Totals {
  const totals = Object.fromEntries(totalNames.map((name) => [name, 0])) as Totals;
  for (const { before, after } of entries.changes()) {
    countEntry(totals, before, -1);
    countEntry(totals, after, 1);
  }
  for (const { before, after } of files.changes()) {
    countFile(totals, before, -1);
    countFile(totals, after, 1);
  }
  for (const { before, after } of blobs.changes()) {
    countBlob(totals, before, -1);
    countBlob(totals, after, 1);
  }
  return totals;
}

function countEntry(totals: Totals, entry: Entry | null, sign: 1 | -1): void {
  if (entry) totals[entry.kind === 'file' ? 'files' : 'directories'] += sign;
}

function countFile(totals: Totals, file: FileRecord | null, sign: 1 | -1): void {
  if (file) totals.logical_bytes += sign * file.sizeBytes;
}

function countBlob(totals: Totals, blob: BlobState | null, sign: 1 | -1): void {
  if (!blob) return;
  for (const copy of blob.copies) totals[copy.state] += sign;
  if (shortOf(blob) > 0) totals.short += sign;
  if (isLost(blob)) totals.lost += sign;
  totals.missing_bytes += sign * missingBytesOf(blob);
}
