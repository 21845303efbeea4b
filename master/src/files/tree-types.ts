import type { EntryId, FilePath } from '@dfs/shared';
import type {
  BindCondition,
  DirectoryPage,
  OnConflict,
  Visibility,
} from '../metadata/metadata-repository.ts';
import type { TrashPage, Usage } from '../metadata/tree-changes.ts';
import type { CopyOutcome, WalkedEntry } from '../metadata/working-tree.ts';

export interface RemoveOptions extends BindCondition {
  /** Anything else stays: `is-a-directory`, `not-a-directory`, or `conflict` for a directory that is not empty. */
  readonly expect?: 'file' | 'empty-directory';
  /** Gone for good, instead of to the trash. */
  readonly skipTrash?: boolean;
}

export interface MoveRequest extends BindCondition {
  readonly from: FilePath;
  readonly to: FilePath;
  /** Whether what is at `to` gives way (to the trash). */
  readonly overwrite: boolean;
}

export interface CopyRequest extends MoveRequest {
  /** Of a directory: 0 makes an empty one of its kind. */
  readonly depth: 0 | 'infinity';
  /** A copy that is given up leaves nothing that can be seen. */
  readonly signal: AbortSignal;
}

export interface TouchOptions {
  /** Now by default. */
  readonly modifiedAtMs?: number;
  /** Whether an empty file is made where nothing is. */
  readonly create: boolean;
  readonly signal: AbortSignal;
}

export interface RestoreOptions {
  /** By default where it was. Missing parents are made. */
  readonly to?: FilePath;
  readonly onConflict: OnConflict;
  /** What was anywhere else is `not-found`. */
  readonly within?: FilePath;
}

/** Which items: these (as far as they were `within` a part of the tree), what was at or below a path, or all. */
export type TrashSelection =
  | { readonly ids: readonly EntryId[]; readonly within?: FilePath }
  | { readonly path: FilePath }
  | { readonly all: true };

/** What people do in a tree besides reading and writing files. Part of `FileService`. Conditions judge what is at the first path named, in the transaction that changes it. */
export interface TreeService {
  list(path: FilePath, page: { after?: string; limit: number }): Promise<DirectoryPage>;
  /**
   * `isNew` is false when it was there already. With `parents` those that are missing are made too, else `conflict`. Rejects with `not-a-directory` when a name on the way,
   * or the last, is a file's.
   */
  makeDirectory(
    path: FilePath,
    options?: { readonly parents?: boolean },
  ): Promise<{ readonly isNew: boolean }>;
  /** A file or a whole directory, however large, at once. Rejects: `not-found`, `precondition-failed`, `conflict` (the root), and as `RemoveOptions` say. */
  remove(path: FilePath, options?: RemoveOptions): Promise<void>;
  /**
   * One row changes, however large the directory. `isNew` is false when something was replaced. Rejects: `not-found`, `forbidden` (onto itself), `conflict` (into itself, over what it is in, or no directory
   * to put it in), `not-a-directory`, `precondition-failed` (`to` is taken, or the condition does not hold).
   */
  move(request: MoveRequest): Promise<{ readonly isNew: boolean }>;
  /** Rows, not bytes, under new file ids. Rejects as `move` does; what only parts of it met is told in the outcome. */
  copy(request: CopyRequest): Promise<CopyOutcome>;
  /** Sets the time of modification. Rejects with `not-found` when nothing is there and nothing was to be made. */
  touch(path: FilePath, options: TouchOptions): Promise<{ readonly isNew: boolean }>;
  /** How many copies are wanted of a file or of all below a directory; null: as the directory above has it. Follows in the background. Rejects with `not-found`. */
  setCopies(path: FilePath, copies: number | null): Promise<void>;
  /** Makes a file or a directory public or private, or as the directory above it is; what is below follows unless it says otherwise itself. Counts from the next request on. Rejects with `not-found`. */
  setVisibility(path: FilePath, visibility: Visibility): Promise<void>;
  /** May be seconds late. Rejects with `not-found`. */
  usage(path: FilePath): Promise<Usage>;
  /** All below a directory, page by page, depth first and by the bytes of names; memory for the depth alone. Rejects with `not-found`, `not-a-directory`. */
  walk(
    path: FilePath,
    options?: { readonly after?: FilePath },
  ): AsyncIterable<readonly WalkedEntry[]>;
  /** `path`: only what was there or below it. */
  listTrash(page: { after?: string; limit: number; path?: FilePath }): Promise<TrashPage>;
  /** Gives where it is now. Rejects: `not-found` (expired, emptied or never there), `precondition-failed` (the name is taken), `not-a-directory`, `is-a-directory`. */
  restoreFromTrash(id: EntryId, options: RestoreOptions): Promise<FilePath>;
  /** Gives how many items went. Their content is collected in the background. */
  emptyTrash(selection: TrashSelection): Promise<number>;
}
