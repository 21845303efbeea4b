import type { ErrorBody } from './errors.ts';
import type { NodeId } from './ids.ts';

/**
 * `POST /api/v1/restore?cluster=&into=&acceptLoss=1` (admin; the body: nothing, or a backup) answers NDJSON, a line of these at a time: progress, then one report or one error.
 */
export type RestoreLine =
  | { readonly progress: RestoreProgress }
  | { readonly report: RestoreReport }
  | ErrorBody;

export interface RestoreProgress {
  readonly step: 'nodes' | 'base' | 'records' | 'copies' | 'deriving' | 'found' | 'comparing';
  /** What is being done, for people. */
  readonly message: string;
  /** So many rows, records, blobs or files so far. */
  readonly done: number;
  readonly of?: number;
}

export interface RestoredNode {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  /** Blobs that it holds. */
  readonly blobs: number;
  /** Why it was not read, or not to its end. */
  readonly problem?: string;
}

/** Paths, at most the first 1 000 of so many. */
export interface RestoredPaths {
  readonly count: number;
  readonly paths: readonly string[];
}

export interface RestoreReport {
  readonly clusterId: string;
  /** The database's from now on. */
  readonly epoch: number;
  /** The new SQLite file that was written; absent: the master's own database was. */
  readonly into?: string;
  /** What it was built on: a snapshot kept by nodes, the backup given, the database as it was, the journal from its first record, or what blobs say of themselves alone. */
  readonly base: 'snapshot' | 'backup' | 'database' | 'journal' | 'blobs';
  readonly journal: {
    /** The newest change that was found; 0: none. */
    readonly last: number;
    /** When it was made, ISO 8601. Later changes to the tree may be missing. */
    readonly at?: string;
    /** Records that were replayed. */
    readonly records: number;
  };
  readonly nodes: readonly RestoredNode[];
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  /** Files of which no node that was read holds a copy: they are in the tree, and readable when their node returns. */
  readonly withoutCopy: RestoredPaths;
  /** Files newer than the journal, known from their blobs alone: they may have been renamed or deleted since. */
  readonly found: RestoredPaths;
  /** Put below `/.restored/`, each with the reason. */
  readonly doubtful: {
    readonly count: number;
    readonly files: readonly { readonly path: string; readonly why: string }[];
  };
  /** Paths of which several contents were found: the others are in the trash. */
  readonly contested: RestoredPaths;
  /** Blobs of the time that the journal covers, which it does not know: deleted files, unfinished uploads. They stay on their nodes and count for nothing. */
  readonly unknownBlobs: number;
  /** From the first change to the last; waiting for nodes not counted. */
  readonly seconds: number;
  /** What may be stale or wrong, in sentences. */
  readonly warnings: readonly string[];
  /** With `into`: how what the nodes say differs from the master's own database. */
  readonly differences?: RestoreDifferences;
}

export interface RestoreDifferences {
  readonly onlyInDatabase: RestoredPaths;
  readonly onlyOnNodes: RestoredPaths;
  /** Another content or kind. */
  readonly different: RestoredPaths;
}
