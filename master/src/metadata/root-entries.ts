import type { EntryId } from '@dfs/shared';

/** The parent of the roots: no row has this id. */
export const nowhereId = '00000000-0000-0000-0000-000000000000' as EntryId;
/** The root of the tree that users see: its name is empty. */
export const rootId = '00000000-0000-7000-8000-000000000001' as EntryId;
/** A hidden root: what was removed and is kept for a while. No path leads to it. */
export const trashId = '00000000-0000-7000-8000-000000000002' as EntryId;

/** How the caches and drafts name an entry: by its parent and its name, of which at most one exists. */
export const entryKeyOf = (parentId: EntryId, name: string) => `${parentId}/${name}`;
/** The two halves of an entry's key. */
export const partsOfEntryKey = (key: string): [EntryId, string] => [
  key.slice(0, nowhereId.length) as EntryId,
  key.slice(nowhereId.length + 1),
];
