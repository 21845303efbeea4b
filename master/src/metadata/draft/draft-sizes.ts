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

/** Of a directory: what its parent knows of, and what it does not know of yet. */
export interface KnownSize {
  readonly counted: TreeSize;
  readonly pending: TreeSize;
}

export const isNone = ({ files, directories, bytes }: TreeSize) =>
  files === 0 && directories === 0 && bytes === 0;

const nothingKnown: KnownSize = { counted: noSize, pending: noSize };

/**
 * What a batch adds to the sizes of directories. Most of it is added without reading a row: a name that comes or goes is pending at its parent. Rows are
 * read only when a directory moves, or what is pending in it is counted.
 */
export class DraftSizes {
  readonly #undo: UndoLog;
  readonly #stored = new Map<EntryId, KnownSize>();
  readonly #added = new Map<EntryId, KnownSize>();
  readonly #gone = new Set<EntryId>();
  readonly #fresh = new Set<EntryId>();
  readonly missing = new Set<EntryId>();

  constructor(undo: UndoLog) {
    this.#undo = undo;
  }

  /** Says what the database holds. */
  learn(id: EntryId, size: KnownSize): void {
    this.#stored.set(id, size);
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
    if (!this.#fresh.has(id) && !this.#stored.has(id)) this.missing.add(id);
  }

  /** What its parent knows of: counted, without what is pending. Throws `rowsMissing` when it was not read. */
  countedIn(id: EntryId): TreeSize {
    return this.#sizeOf(id).counted;
  }

  /** What its parent does not know of yet. Throws `rowsMissing` when it was not read. */
  pendingIn(id: EntryId): TreeSize {
    return this.#sizeOf(id).pending;
  }

  /** Something came to be directly in a directory, or went (negative). */
  addPending(id: EntryId, difference: TreeSize): void {
    this.#add(id, { counted: noSize, pending: difference });
  }

  /** What was pending is counted. Gives how much that was: the caller adds it to the parent. Throws `rowsMissing` when it was not read. */
  fold(id: EntryId): TreeSize {
    const amount = this.pendingIn(id);
    this.#add(id, { counted: amount, pending: negative(amount) });
    return amount;
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

  #sizeOf(id: EntryId): KnownSize {
    const stored = this.#fresh.has(id) ? nothingKnown : this.#stored.get(id);
    if (stored === undefined) {
      this.missing.add(id);
      throw rowsMissing;
    }
    const added = this.#added.get(id);
    if (added === undefined) return stored;
    return {
      counted: sumOfSizes(stored.counted, added.counted),
      pending: sumOfSizes(stored.pending, added.pending),
    };
  }

  #add(id: EntryId, { counted, pending }: KnownSize): void {
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
