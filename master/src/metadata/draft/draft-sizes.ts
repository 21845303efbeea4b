import type { EntryId } from '@dfs/shared';
import type { Value } from '../database.ts';
import { rowsMissing, type UndoLog } from './draft-table.ts';

/** Of everything below a directory; a difference may be negative. */
export interface TreeSize {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
}

export const noSize: TreeSize = { files: 0, directories: 0, bytes: 0 };

export const sumOfSizes = (a: TreeSize, b: TreeSize): TreeSize => ({
  files: a.files + b.files,
  directories: a.directories + b.directories,
  bytes: a.bytes + b.bytes,
});

export const negative = ({ files, directories, bytes }: TreeSize): TreeSize => ({
  files: -files,
  directories: -directories,
  bytes: -bytes,
});

export const sizeColumns = [
  'directory_id',
  'files',
  'directories',
  'bytes',
  'pending_files',
  'pending_directories',
  'pending_bytes',
] as const;

interface Added {
  readonly counted: TreeSize;
  readonly pending: TreeSize;
}

const isNone = ({ files, directories, bytes }: TreeSize) =>
  files === 0 && directories === 0 && bytes === 0;

/**
 * What a batch adds to the sizes of directories. Most of it is added without reading a row: a name that comes or goes is pending at its parent. What was
 * counted of a directory is read only when the directory moves.
 */
export class DraftSizes {
  readonly #undo: UndoLog;
  readonly #counted = new Map<EntryId, TreeSize>();
  readonly #added = new Map<EntryId, Added>();
  readonly #gone = new Set<EntryId>();
  readonly #fresh = new Set<EntryId>();
  readonly missing = new Set<EntryId>();

  constructor(undo: UndoLog) {
    this.#undo = undo;
  }

  /** Says what the database holds as counted. */
  learn(id: EntryId, counted: TreeSize): void {
    this.#counted.set(id, counted);
    this.missing.delete(id);
  }

  /** Says that this batch made the directory: nothing of it was counted. */
  makeFresh(id: EntryId): void {
    if (this.#fresh.has(id)) return;
    this.#undo.push(() => this.#fresh.delete(id));
    this.#fresh.add(id);
  }

  /** Notes that what was counted will be needed, so that it is read together with others. */
  need(id: EntryId): void {
    if (!this.#fresh.has(id) && !this.#counted.has(id)) this.missing.add(id);
  }

  /** What its parent knows of: counted, without what is pending. Throws `rowsMissing` when it was not read. */
  countedIn(id: EntryId): TreeSize {
    const stored = this.#fresh.has(id) ? noSize : this.#counted.get(id);
    if (stored !== undefined) return sumOfSizes(stored, this.#added.get(id)?.counted ?? noSize);
    this.missing.add(id);
    throw rowsMissing;
  }

  /** Something came to be directly in a directory, or went (negative). */
  addPending(id: EntryId, difference: TreeSize): void {
    this.#add(id, { counted: noSize, pending: difference });
  }

  /** What was pending is counted; the caller adds it to the parent. */
  fold(id: EntryId, amount: TreeSize): void {
    this.#add(id, { counted: amount, pending: negative(amount) });
  }

  /** The directory itself goes, and its row with it. */
  remove(id: EntryId): void {
    if (this.#gone.has(id)) return;
    this.#undo.push(() => this.#gone.delete(id));
    this.#gone.add(id);
  }

  /** Rows of what is added. */
  added(): Value[][] {
    const rows: Value[][] = [];
    for (const [id, { counted, pending }] of this.#added) {
      if (this.#gone.has(id) || (isNone(counted) && isNone(pending))) continue;
      rows.push([
        id,
        ...[counted.files, counted.directories, counted.bytes],
        ...[pending.files, pending.directories, pending.bytes],
      ]);
    }
    return rows;
  }

  /** Keys of rows that go. */
  gone(): Value[][] {
    return [...this.#gone].map((id) => [id]);
  }

  restart(): void {
    this.#added.clear();
    this.#gone.clear();
    this.#fresh.clear();
  }

  #add(id: EntryId, { counted, pending }: Added): void {
    const before = this.#added.get(id);
    this.#undo.push(() => {
      if (before === undefined) this.#added.delete(id);
      else this.#added.set(id, before);
    });
    this.#added.set(id, {
      counted: sumOfSizes(before?.counted ?? noSize, counted),
      pending: sumOfSizes(before?.pending ?? noSize, pending),
    });
  }
}
