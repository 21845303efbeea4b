import type { JournalRecord } from '@dfs/shared';
import type { JournalLine } from './journal-rows.ts';

/** What others keep of the database, so that it can be rebuilt (`shared/src/journal-format.ts`). */
export interface JournalSource {
  /** Called after each commit with the number of the newest change, before those hear of it who wrote. Gives what ends it. */
  onJournal(listener: (number: number) => void): () => void;
  /** Committed changes after this number, as a keeper takes them, in order, about `maxBytes` of them and one at least. As `journalRecords`, the first may come later. */
  journalLines(after: number, maxBytes: number): Promise<readonly JournalLine[]>;
  /** The oldest and the newest change that the database holds; undefined on a new database. */
  journalExtent(): Promise<{ readonly first: number; readonly last: number } | undefined>;
  /** Forgets changes up to this number, the oldest first and at most 1 000; never the newest one. Gives how many went. */
  pruneJournal(through: number): Promise<number>;
  /** Committed changes after this number, in order, at most `limit`. Those that every keeper has in a snapshot are pruned, so the first may come later. */
  journalRecords(after: number, limit: number): Promise<readonly JournalRecord[]>;
  /**
   * Every journaled row, as the lines of a snapshot, each piece one or more whole lines with their ends. Takes the memory of a page. `consistent`:
   * all of one moment, else page by page while commits go on.
   */
  snapshot(options: { readonly isConsistent: boolean }): AsyncIterable<string>;
}
