import type { BlobId, EntryId, FileId, NodeId } from '@dfs/shared';
import type { BlobState } from '../blob-state.ts';
import type { Image } from '../journal.ts';
import type {
  Entry,
  FileRecord,
  LogEntry,
  NodeRecord,
  TrashRecord,
} from '../metadata-repository.ts';
import type { AccessKeyRecord, AddressGrant, LinkRevocation } from '../rights.ts';
import { entryKeyOf } from '../root-entries.ts';
import { DraftEntries } from './draft-entries.ts';
import { DraftSizes } from './draft-sizes.ts';
import { DraftCount, DraftTable, RowsMissing, rowsMissing, type UndoLog } from './draft-table.ts';

/** One row of `idempotency_keys`. */
export interface KnownKey {
  /** As asked for, before a rename. */
  readonly path: string;
  /** A `BindOutcome` as JSON. */
  readonly outcome: string;
  readonly createdAtMs: number;
}

/** How far the copies below a directory were looked at again; absent: they are as they should be. */
export interface CopiesSweep {
  /** The last name done; empty: none yet. */
  readonly afterName: string;
  readonly requestedAtMs: number;
}

/** A row for `replication_log`; the path is that of the blob's name at the time of writing. */
export type LogRow = Omit<LogEntry, 'id' | 'path'>;

export interface DraftParts {
  readonly nowMs: number;
  readonly configuredCopies: number;
  /** Copies on these do not count as living. */
  readonly lostNodes?: ReadonlySet<NodeId>;
  /** Directories may wait to be swept: what moves may be passed over by them. By default they may. */
  readonly mayHaveSweeps?: boolean;
  /** A directory that is known to be in the database, by `entryKeyOf`. */
  readonly directoryOf?: (key: string) => Entry | undefined;
}

/**
 * A batch of writes in memory: the rows that it touches and what was decided on them, so that decisions are plain functions.
 * An operation that throws leaves nothing.
 */
export class Draft {
  readonly nowMs: number;
  /** How many copies are wanted where no directory and no file says a number. */
  readonly configuredCopies: number;
  /** Copies on these do not count as living. */
  readonly lostNodes: ReadonlySet<NodeId>;
  /** What moves may be passed over by a sweep of copies that is under way. */
  readonly mayHaveSweeps: boolean;
  readonly #undo: UndoLog = [];
  /** By `entryKeyOf`. */
  readonly entries: DraftEntries;
  readonly files = new DraftTable<FileId, FileRecord>(this.#undo);
  readonly blobs = new DraftTable<BlobId, BlobState>(this.#undo);
  readonly keys = new DraftTable<string, KnownKey>(this.#undo);
  readonly nodes = new DraftTable<NodeId, NodeRecord>(this.#undo);
  /** Until when a blob counts as being uploaded. */
  readonly uploads = new DraftTable<BlobId, number>(this.#undo);
  /** By the entry that is in the trash. */
  readonly trash = new DraftTable<EntryId, TrashRecord>(this.#undo);
  readonly sweeps = new DraftTable<EntryId, CopiesSweep>(this.#undo);
  readonly accessKeys = new DraftTable<string, AccessKeyRecord>(this.#undo);
  readonly grants = new DraftTable<string, AddressGrant>(this.#undo);
  readonly revocations = new DraftTable<string, LinkRevocation>(this.#undo);
  readonly sizes = new DraftSizes(this.#undo);
  /** Entries in a directory, as far as it matters (up to a limit). */
  readonly children = new DraftCount<EntryId>(this.#undo);
  /** Names that hold a content. */
  readonly names = new DraftCount<FileId>(this.#undo);
  /** Rows of `file_blobs` that refer to a blob. */
  readonly uses = new DraftCount<BlobId>(this.#undo);
  /** One element per operation that touched the tree. */
  readonly journal: (readonly Image[])[] = [];
  readonly log: LogRow[] = [];
  #images: Image[] = [];

  constructor(parts: DraftParts) {
    const { nowMs, configuredCopies, directoryOf, lostNodes = new Set() } = parts;
    this.nowMs = nowMs;
    this.configuredCopies = configuredCopies;
    this.lostNodes = lostNodes;
    this.mayHaveSweeps = parts.mayHaveSweeps ?? true;
    this.entries = new DraftEntries(this.#undo, directoryOf);
  }

  /** Runs one operation: all of it or, when it throws, nothing of it. What it journals becomes one row. */
  attempt<Result>(operation: () => Result): Result {
    const logLength = this.log.length;
    this.#undo.length = 0;
    this.#images = [];
    try {
      const result = operation();
      if (this.#images.length > 0) this.journal.push(this.#images);
      return result;
    } catch (error) {
      for (const undo of this.#undo.reverse()) undo();
      this.log.length = logLength;
      throw error;
    } finally {
      this.#undo.length = 0;
    }
  }

  /** Runs a step for each item. Items that miss rows do not keep the next ones from saying what they miss. */
  each<Item, Result>(items: readonly Item[], step: (item: Item) => Result): Result[] {
    let isMissing = false;
    const results: Result[] = [];
    for (const item of items) {
      try {
        results.push(step(item));
      } catch (error) {
        if (!(error instanceof RowsMissing)) {
          // Rows are read first: this failure may be one of rows that were not there yet.
          if (isMissing) throw rowsMissing;
          throw error;
        }
        isMissing = true;
      }
    }
    if (isMissing) throw rowsMissing;
    return results;
  }

  journalise(...images: readonly Image[]): void {
    this.#images.push(...images);
  }

  /** The entry of this name, or null. */
  child(parentId: EntryId, name: string): Entry | null {
    const key = entryKeyOf(parentId, name);
    // Nothing in the database is below a directory that this batch made.
    if (this.children.isFresh(parentId)) return this.entries.peek(key) ?? null;
    return this.entries.get(key);
  }

  /** Forgets all decisions, not the rows read: the batch is decided again. */
  restart(): void {
    for (const table of this.#tables()) table.restart();
    this.journal.length = 0;
    this.log.length = 0;
  }

  get isMissingRows(): boolean {
    return this.#tables().some((table) => table.missing.size > 0);
  }

  #tables() {
    const { entries, files, blobs, keys, nodes, uploads, trash, sweeps } = this;
    const { accessKeys, grants, revocations } = this;
    const { sizes, children, names, uses } = this;
    return [
      ...[entries, entries.directoryKeys, files, blobs, keys, nodes, uploads, trash, sweeps],
      ...[accessKeys, grants, revocations],
      ...[sizes, children, names, uses],
    ];
  }
}
