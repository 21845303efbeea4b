/** Thrown by a decision that needs a row not read yet: the row is noted, read, and the decision taken again. */
export class RowsMissing extends Error {
  override readonly name = 'RowsMissing';
}
/** One for all: it is no failure, and a stack for each would cost. */
export const rowsMissing = new RowsMissing('Rows are missing that the decision needs.');

/** What undoes the changes of one operation, newest last. */
export type UndoLog = (() => void)[];

export interface Change<Key, Row> {
  readonly key: Key;
  readonly before: Row | null;
  readonly after: Row | null;
}

/**
 * The rows of one table that a batch touches: what the database holds, and over it what was decided. `null` says that there is no such row.
 */
export class DraftTable<Key extends string, Row> {
  readonly #undo: UndoLog;
  readonly #recall: (key: Key) => Row | undefined;
  readonly #stored = new Map<Key, Row | null>();
  readonly #decided = new Map<Key, Row | null>();
  /** Keys asked for and not read yet. */
  readonly missing = new Set<Key>();

  /** `recall`: a row known to stand in the database like this, where it is known without a query. */
  constructor(undo: UndoLog, recall: (key: Key) => Row | undefined = () => undefined) {
    this.#undo = undo;
    this.#recall = recall;
  }

  /** Says what the database holds. */
  learn(key: Key, row: Row | null): void {
    this.#stored.set(key, row);
    this.missing.delete(key);
  }

  /** Notes that the row will be needed, so that it is read together with others. */
  need(key: Key): void {
    if (this.peek(key) === undefined) this.missing.add(key);
  }

  /** The row as decided so far, or null. Throws `rowsMissing` when it was not read. */
  get(key: Key): Row | null {
    const row = this.peek(key);
    if (row !== undefined) return row;
    this.missing.add(key);
    throw rowsMissing;
  }

  /** Undefined when it was not read; does not ask for it. */
  peek(key: Key): Row | null | undefined {
    const decided = this.#decided.get(key);
    if (decided !== undefined) return decided;
    const stored = this.#stored.get(key);
    if (stored !== undefined) return stored;
    const recalled = this.#recall(key);
    if (recalled !== undefined) this.learn(key, recalled);
    return recalled;
  }

  /** The row as decided, or else as it was before it was decided to go. */
  peekAny(key: Key): Row | null | undefined {
    return this.#decided.get(key) ?? this.#stored.get(key);
  }

  set(key: Key, row: Row | null): void {
    const before = this.#decided.get(key);
    this.#undo.push(() => {
      if (before === undefined) this.#decided.delete(key);
      else this.#decided.set(key, before);
    });
    this.#decided.set(key, row);
  }

  /** Forgets what was decided, not what was read. */
  restart(): void {
    this.#decided.clear();
  }

  /** What the database must change; a row that was decided without being read counts as absent before. */
  changes(): Change<Key, Row>[] {
    const changes: Change<Key, Row>[] = [];
    for (const [key, after] of this.#decided) {
      const before = this.#stored.get(key) ?? null;
      if (before !== after) changes.push({ key, before, after });
    }
    return changes;
  }
}

/** Numbers of rows that refer to something: those in the database, read only where the number matters, and what the batch added. */
export class DraftCount<Key extends string> {
  readonly #undo: UndoLog;
  readonly #stored = new Map<Key, number>();
  readonly #added = new Map<Key, number>();
  readonly #fresh = new Set<Key>();
  readonly missing = new Set<Key>();

  constructor(undo: UndoLog) {
    this.#undo = undo;
  }

  learn(key: Key, count: number): void {
    this.#stored.set(key, count);
    this.missing.delete(key);
  }

  /** Says that the thing was made in this batch: nothing in the database refers to it. */
  makeFresh(key: Key): void {
    if (this.#fresh.has(key)) return;
    this.#undo.push(() => this.#fresh.delete(key));
    this.#fresh.add(key);
  }

  /** Notes that the number will be needed, so that it is read together with others. */
  need(key: Key): void {
    if (!this.#fresh.has(key) && !this.#stored.has(key)) this.missing.add(key);
  }

  isFresh(key: Key): boolean {
    return this.#fresh.has(key);
  }

  add(key: Key, difference: number): void {
    const before = this.#added.get(key) ?? 0;
    this.#undo.push(() => this.#added.set(key, before));
    this.#added.set(key, before + difference);
  }

  /** Throws `rowsMissing` when it was not counted. */
  get(key: Key): number {
    const stored = this.#fresh.has(key) ? 0 : this.#stored.get(key);
    if (stored !== undefined) return stored + (this.#added.get(key) ?? 0);
    this.missing.add(key);
    throw rowsMissing;
  }

  restart(): void {
    this.#added.clear();
    this.#fresh.clear();
  }
}
