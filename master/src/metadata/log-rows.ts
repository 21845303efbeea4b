import { createHash } from 'node:crypto';
import type { BlobId, NodeId } from '@dfs/shared';
import type { Value } from './database.ts';
import type { LogEntry } from './metadata-repository.ts';
import { plainText, wholeNumber } from './rows.ts';

export const logColumns = [
  'blob_id',
  'path',
  'path_key',
  'source',
  'target',
  'outcome',
  'error_code',
  'message',
  'started_at',
  'duration_ms',
] as const;

export interface LogTableRow {
  readonly id: number;
  readonly blob_id: BlobId;
  readonly path: string;
  readonly source: NodeId | null;
  readonly target: NodeId;
  readonly outcome: LogEntry['outcome'];
  readonly error_code: string | null;
  readonly message: string | null;
  readonly started_at: number;
  readonly duration_ms: number;
}

/** What the index of paths holds: whole paths are longer than PostgreSQL lets an index row be. */
export const pathKeyOf = (path: string) =>
  createHash('sha256').update(path).digest('hex').slice(0, 16);

const durationMaxMs = 2 ** 31 - 1;

export const logValuesOf = (row: Omit<LogEntry, 'id'>): Value[] => [
  row.blobId,
  row.path,
  pathKeyOf(row.path),
  row.source ?? null,
  row.target,
  row.outcome,
  row.errorCode === undefined ? null : plainText(row.errorCode, 100),
  row.message === undefined ? null : plainText(row.message),
  wholeNumber(row.startedAtMs),
  Math.min(durationMaxMs, Math.max(0, wholeNumber(row.durationMs))),
];

export const logEntryOf = (row: LogTableRow): LogEntry => ({
  id: row.id,
  blobId: row.blob_id,
  path: row.path,
  ...(row.source === null ? {} : { source: row.source }),
  target: row.target,
  outcome: row.outcome,
  ...(row.error_code === null ? {} : { errorCode: row.error_code }),
  ...(row.message === null ? {} : { message: row.message }),
  startedAtMs: row.started_at,
  durationMs: row.duration_ms,
});
