import type { FilePath } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryImage } from '../journal.ts';
import type { Entry } from '../metadata-repository.ts';
import { entryKeyOf } from '../root-entries.ts';
import { findChain } from './directories.ts';

/** What `touchEntry` promises. */
export function decideTouch(draft: Draft, path: FilePath, modifiedAtMs: number): Entry | undefined {
  const entry = findChain(draft, path)?.at(-1);
  if (!entry) return undefined;
  return setEntry(draft, { ...entry, modifiedAtMs: Math.round(modifiedAtMs) });
}

/** The entry of this name is like this from now on. */
export function setEntry(draft: Draft, entry: Entry): Entry {
  draft.entries.set(entryKeyOf(entry.parentId, entry.name), entry);
  draft.journalise(entryImage(entry));
  return entry;
}
