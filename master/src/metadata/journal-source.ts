import type { JournalRecord } from '@dfs/shared';

/** What others keep of the database, so that it can be rebuilt (`shared/src/journal-format.ts`). */
export interface JournalSource {
  /** Committed changes after this number, in order, at most `limit`. Those that every keeper has in a snapshot are pruned, so the first may come later. */
  journalRecords(after: number, limit: number): Promise<readonly JournalRecord[]>;
  /**
   * Every journaled row, as the lines of a snapshot, each piece one or more whole lines with their ends. Takes the memory of a page. `consistent`:
   * all of one moment, else page by page while commits go on.
   */
  snapshot(options: { readonly isConsistent: boolean }): AsyncIterable<string>;
}
