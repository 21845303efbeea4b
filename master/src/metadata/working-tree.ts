import type { FilePath } from '@dfs/shared';
import type { BindCondition, Entry, ListedEntry } from './metadata-repository.ts';
import type { TrashTime } from './tree-changes.ts';

/** An entry met on a walk, with the path that led to it. */
export interface WalkedEntry extends ListedEntry {
  readonly path: FilePath;
}

export interface CopyRequest extends TrashTime {
  readonly from: FilePath;
  readonly to: FilePath;
  /** Whether what is at `to` goes (to the trash). */
  readonly overwrite: boolean;
  /** Of a directory: 0 copies it alone, without what is in it. */
  readonly depth: 0 | 'infinity';
  /** What the file at `from` must be like. */
  readonly condition?: BindCondition;
  /** Looked at between transactions; an aborted copy leaves nothing that can be seen. */
  readonly signal?: AbortSignal;
}

/** A part that could not be copied; the copy goes on without it. */
export interface CopyFailure {
  /** Where it would have been. */
  readonly path: string;
  readonly error: Error;
}

export interface CopyOutcome {
  /** False when something at `to` was replaced. */
  readonly isNew: boolean;
  /** The first 1 000 of them; where more failed, a last one for `to` says how many. */
  readonly failures: readonly CopyFailure[];
}

export interface SweptCopies {
  /** Entries; 0: nothing is left to do. */
  readonly looked: number;
  /** Blobs that want more copies than before. */
  readonly raised: number;
  readonly lowered: number;
}

/** What people do in a tree besides reading and writing files. Part of `MetadataRepository`, whose promises hold here. */
export interface WorkingTree {
  /**
   * What is below a directory, depth first: a directory, then what is in it; names of one directory by their bytes. Read in pages while others write, with memory for the
   * depth alone: what stays where it is comes exactly once, what is moved meanwhile is found at its old place, its new one, at both or at none.
   * `after`: goes on after this path, also when it is gone. Rejects with `not-found`, `not-a-directory`.
   */
  walkTree(path: FilePath, options?: { after?: FilePath }): AsyncIterable<readonly WalkedEntry[]>;

  /**
   * Sets when a file or directory was last modified. Undefined when nothing is there (whoever wants a file there stores an empty one: a content has at least one blob).
   */
  touchEntry(path: FilePath, modifiedAtMs: number): Promise<Entry | undefined>;

  /**
   * How many copies a file at this path is to have: as the nearest directory or itself says, else as configured. For placing an upload: a file's own number counts
   * when it is known without a query; the bind decides.
   */
  copiesFor(path: FilePath): Promise<number>;
  /**
   * How many copies are wanted of what is here and below; null: as the directory above has it. The contents follow in the background, by `sweepCopies`. Rejects with `not-found`.
   */
  setCopies(path: FilePath, copies: number | null): Promise<Entry>;
  /**
   * Looks again at how many copies are wanted of the contents of at most `limit` entries (of one directory, 1 000 at most); what was asked for first comes first. Of contents that
   * files share, the name that wants the most counts; names in the trash want nothing, and what has no other name keeps its number. Each call is a transaction, and what a crash
   * interrupts goes on where it was. New copies are found to be missing as ever; where numbers were lowered, the copies of the blobs have to be looked at for surplus.
   */
  sweepCopies(limit: number): Promise<SweptCopies>;

  /**
   * Copies a file or a directory with all that is in it: rows, not bytes, under new file ids. A directory is built where nobody sees it, in transactions of at most 1 000 rows,
   * and published by one move; one that is cut short leaves nothing to be seen and is collected. What changes below `from` meanwhile may be copied or not. Rejects: `not-found`, `precondition-failed`
   * (`overwrite` is false and `to` exists, or the condition does not hold), `forbidden` (onto itself), `conflict` (into itself, over what it is in, no directory to put it in, `from` moved or went
   * meanwhile), `not-a-directory` (a parent of `to` is a file), `cancelled`.
   */
  copyEntry(request: CopyRequest): Promise<CopyOutcome>;
}
