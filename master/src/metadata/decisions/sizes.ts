import { StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { negative, type TreeSize } from '../draft/draft-sizes.ts';
import type { Entry } from '../metadata-repository.ts';

/** What an entry counts for in the directory that holds it, as far as that directory can know. */
export function sizeOfEntry(draft: Draft, entry: Entry): TreeSize {
  if (entry.fileId === undefined) {
    const { files, directories, bytes } = draft.sizes.countedIn(entry.id);
    return { files, directories: directories + 1, bytes };
  }
  const file = draft.files.get(entry.fileId);
  if (!file) throw new StoreError('internal', `The content of the entry ${entry.id} is missing.`);
  return { files: 1, directories: 0, bytes: file.sizeBytes };
}

/** The entry came to be in its parent. */
export const countIn = (draft: Draft, entry: Entry) =>
  draft.sizes.addPending(entry.parentId, sizeOfEntry(draft, entry));

/** The entry leaves its parent. To be called before its content is released. */
export const countOut = (draft: Draft, entry: Entry) =>
  draft.sizes.addPending(entry.parentId, negative(sizeOfEntry(draft, entry)));
