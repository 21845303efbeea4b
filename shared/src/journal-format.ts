import type { ClusterId } from './ids.ts';

/**
 * The journal as master and nodes pass it on and keep it, a line of JSON each.
 *
 * A snapshot (what nodes keep, and what `dfs backup` writes) is the gzip of `SnapshotHead`, then a `SnapshotRow` per row, then `SnapshotEnd`. Without
 * its last line it is incomplete. One that was taken while commits went on (`from` < `to`) gives a right state once all records after `from` are
 * replayed on it, up to `to` at least.
 */

/** A row as it is after a change, never what was done: replaying it twice does no harm. `key` and `row` have the columns' names. */
export interface RowImage {
  readonly table: string;
  readonly op: 'upsert' | 'delete';
  readonly key: Readonly<Record<string, string | number>>;
  readonly row?: object;
}

/**
 * One committed change. Numbers go on across epochs: for one number the record of the highest epoch counts, and records of an older epoch
 * with a number at or above the first of a newer epoch are void.
 */
export interface JournalRecord {
  readonly number: number;
  readonly epoch: number;
  /** By the master's clock, ms. */
  readonly at: number;
  readonly images: readonly RowImage[];
}

export interface SnapshotHead {
  readonly snapshot: {
    readonly format: 1;
    readonly clusterId: ClusterId;
    readonly epoch: number;
    /** The newest change when it began: records after it are to be replayed. */
    readonly from: number;
    readonly at: number;
  };
}

export interface SnapshotRow {
  readonly table: string;
  readonly key: Readonly<Record<string, string | number>>;
  readonly row: object;
}

export interface SnapshotEnd {
  readonly end: {
    readonly from: number;
    /** The newest change that a row of it may show. */
    readonly to: number;
    /** Rows. */
    readonly images: number;
    readonly at: number;
  };
}

export type SnapshotLine = SnapshotHead | SnapshotRow | SnapshotEnd;
