import type { EntryId } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { isNone } from '../draft/draft-sizes.ts';
import { nowhereId } from '../root-entries.ts';

/**
 * Counts what is pending in these directories and tells the directories that hold them: where they are now, for one may have moved in this very batch. Gives in how many something was pending.
 */
export function decideFold(draft: Draft, ids: readonly EntryId[]): number {
  for (const id of ids) {
    draft.sizes.need(id);
    draft.entries.directoryKeys.need(id);
  }
  const folded = draft.each(ids, (id) => {
    const parentId = draft.entries.parentOfDirectory(id);
    if (parentId === undefined || isNone(draft.sizes.pendingIn(id))) return false;
    const amount = draft.sizes.fold(id);
    if (parentId !== nowhereId) draft.sizes.addPending(parentId, amount);
    return true;
  });
  return folded.filter(Boolean).length;
}
