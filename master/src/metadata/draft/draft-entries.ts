import type { EntryId } from '@dfs/shared';
import type { Entry } from '../metadata-repository.ts';
import { partsOfEntryKey } from '../root-entries.ts';
import { DraftTable, type UndoLog } from './draft-table.ts';

/** The entries that a batch touches, by `entryKeyOf`; knows of directories where they are, also after they moved in this batch. */
export class DraftEntries extends DraftTable<string, Entry> {
  /** The key of each directory, by its id. */
  readonly directoryKeys: DraftTable<EntryId, string>;

  constructor(undo: UndoLog, recall?: (key: string) => Entry | undefined) {
    super(undo, recall);
    this.directoryKeys = new DraftTable(undo);
  }

  override set(key: string, entry: Entry | null): void {
    const before = this.peek(key);
    const isOther = before?.kind === 'directory' && before.id !== entry?.id;
    // When it got its new place first, it is not gone.
    if (isOther && (this.directoryKeys.peek(before.id) ?? key) === key) {
      this.directoryKeys.set(before.id, null);
    }
    super.set(key, entry);
    if (entry?.kind === 'directory') this.directoryKeys.set(entry.id, key);
  }

  /** The directory that holds this one, or undefined when it is gone. Throws `rowsMissing` when it was not read. */
  parentOfDirectory(id: EntryId): EntryId | undefined {
    const key = this.directoryKeys.get(id);
    return key === null ? undefined : partsOfEntryKey(key)[0];
  }
}
