import type { EntryId, FilePath } from '@dfs/shared';
import type { BindCondition, Entry, EntryKind } from './metadata-repository.ts';

/** What becomes of a name that is given up. */
export interface TrashTime {
  /** Until when it can be brought back; absent: not at all. */
  readonly trashUntilMs?: number;
}

export interface MoveRequest extends TrashTime {
  readonly from: FilePath;
  readonly to: FilePath;
  /** Whether what is at `to` is replaced: it then goes whole, to the trash when a time is given. */
  readonly overwrite: boolean;
  /** On what is at `from`. */
  readonly source?: BindCondition;
  /** On what is at `to`. */
  readonly destination?: BindCondition;
}

export interface MoveOutcome {
  readonly path: FilePath;
  readonly entry: Entry;
  /** Nothing was at `to`. */
  readonly isNew: boolean;
}

export interface RemoveRequest extends BindCondition, TrashTime {
  /** What it has to be; by default anything. */
  readonly expect?: 'file' | 'empty-directory';
}

/** Something in the trash that can be brought back. */
export interface TrashedEntry {
  readonly id: EntryId;
  /** Where it was. */
  readonly path: FilePath;
  readonly kind: EntryKind;
  readonly reason: 'deleted' | 'replaced';
  readonly removedAtMs: number;
  readonly expiresAtMs: number;
  /** Of a directory: all that is in it, seconds late. */
  readonly sizeBytes: number;
  readonly files: number;
}

export interface TrashPage {
  /** Newest first. */
  readonly items: readonly TrashedEntry[];
  /** To give as `after` for the next page; absent at the end. */
  readonly next?: string;
}

/** Without ids and path: everything that is there now. */
export interface TrashToEmpty {
  readonly ids?: readonly EntryId[];
  /** Of these ids only what was in this part of the tree. */
  readonly within?: FilePath;
  /** What was there or below. */
  readonly path?: FilePath;
}

export interface RestoreRequest extends TrashTime {
  /** Where to; by default where it was. */
  readonly to?: FilePath;
  /** What was anywhere else is passed over as if it were not there. */
  readonly within?: FilePath;
  /** When the name is taken. `replace` gives up what has it, as a move does. */
  readonly onConflict: 'fail' | 'rename' | 'replace';
}

export interface RestoreOutcome {
  /** Another than asked when renamed. */
  readonly path: FilePath;
  readonly entry: Entry;
}

/** What one transaction of the trash's collection did. */
export interface CollectedTrash {
  /** Names of files that went; their contents' blobs wait for collection where nothing else refers to them. */
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  /** Nothing that has expired is left. */
  readonly isDone: boolean;
}

/** All that is below a directory, without itself; of a file: itself. */
export interface Usage {
  readonly kind: EntryKind;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

/**
 * Moving and removing whole parts of the tree, the trash, and sizes of directories. Like all of `MetadataRepository`: each method is one transaction, unless it says otherwise.
 *
 * What is given up with a time goes to the trash, however large, as one row. Without a time a file is released at once and an empty directory goes; a directory with something
 * in it goes out of sight at once and is taken apart by `collectTrash`.
 */
export interface TreeChanges {
  /**
   * Gives a file or directory another place; one row changes, whatever is below it. Rejects: `not-found` (nothing at `from`), `forbidden` (onto itself), `conflict` (the root, into
   * itself, onto a directory that it is in, no directory to put it in), `not-a-directory` (a parent of `to` is a file), `precondition-failed` (a condition does not hold, or `to` is taken and not to be replaced).
   */
  moveEntry(request: MoveRequest): Promise<MoveOutcome>;
  /**
   * Removes a file, or a directory with all that is in it. Rejects: `not-found`, `precondition-failed`, `conflict` (the root; not empty where an empty directory is expected), `is-a-directory`,
   * `not-a-directory` (not what is expected).
   */
  removeEntry(path: FilePath, request?: RemoveRequest): Promise<void>;

  /** What can be brought back at this time; with `path`, only what was there or below. Rejects with `invalid-request` for an `after` that no page gave. */
  listTrash(query: {
    nowMs: number;
    limit: number;
    after?: string;
    path?: FilePath;
  }): Promise<TrashPage>;
  /**
   * Brings a whole item back; parents that are missing are made. Rejects: `not-found` (no such item, or it has expired), `precondition-failed` (the name is taken and `onConflict` is `fail`),
   * `not-a-directory` (a parent is a file), `conflict` (as the root, or no free name is left).
   */
  restoreTrashed(id: EntryId, request: RestoreRequest): Promise<RestoreOutcome>;
  /** Lets items expire at once. Takes a transaction for each 1 000. Gives how many. */
  emptyTrash(query: TrashToEmpty): Promise<number>;
  /** The same for the oldest items, with a transaction for each 1 000 too, until what they hold comes to so many bytes (of contents, not of their copies). */
  expireOldestTrash(bytes: number): Promise<{ readonly items: number; readonly bytes: number }>;
  /** Takes what has expired apart: at most `limit` (and 1 000) names in a transaction, where a file counts as many as it has blobs and one of more than that goes by itself. To be called until it is done. */
  collectTrash(query: { nowMs: number; limit: number }): Promise<CollectedTrash>;

  /** Counts what came and went in at most `limit` directories, one step towards the root. Gives in how many; 0: every directory knows all that is below it. */
  foldSizes(limit: number): Promise<number>;
  /** Rejects with `not-found`. Of a directory as far as `foldSizes` has come. */
  usageOf(path: FilePath): Promise<Usage>;
}
