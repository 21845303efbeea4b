import type { BlobId } from './ids.ts';
import type { NodeName } from './public-messages.ts';
import type { ScrubStatus } from './scrub-messages.ts';

/** Bodies of the public port about looking after what is stored. */

/** An element of the answers to `GET` and `POST /api/v1/scrub?node=`: how each node stands, or why it cannot be said. */
export interface ScrubAnswer {
  readonly node: NodeName;
  readonly status?: ScrubStatus;
  readonly error?: string;
}

/**
 * Where database and nodes differ. `missing`: a copy that the database counts on is not there · `wrong`: it is there, damaged or with other bytes ·
 * `uncounted`: a whole copy that the database does not count on · `surplus`: a blob has more copies than wanted · `orphaned`: a node holds a blob that the
 * database does not know · `lost`: no stored copy is known of a blob that files need.
 */
export type FsckProblem = 'missing' | 'wrong' | 'uncounted' | 'surplus' | 'orphaned' | 'lost';

/** A line of `GET /api/v1/fsck` (dry run) and `POST /api/v1/fsck` (repair), NDJSON. */
export interface FsckFinding {
  readonly problem: FsckProblem;
  readonly blob: BlobId;
  /** Of a name that holds it, or that it was written under. */
  readonly path?: string;
  readonly node?: NodeName;
  readonly detail: string;
}

/** The last line. */
export interface FsckSummary {
  readonly summary: {
    readonly isRepair: boolean;
    /** Copies compared, and bytes that they stand for. */
    readonly copies: number;
    readonly bytes: number;
    readonly problems: Readonly<Record<FsckProblem, number>>;
    /** Nodes that could not be asked: what they hold was not compared. */
    readonly notAsked: readonly NodeName[];
  };
}

/** `fsck` broke off: what follows is not known. */
export interface FsckFailure {
  readonly error: { readonly code: string; readonly message: string };
}

export type FsckLine = FsckFinding | FsckSummary | FsckFailure;
