import { type FileId, type FilePath, rootPath, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryGone, fileGone } from '../journal.ts';
import type { BindCondition } from '../metadata-repository.ts';
import { entryKeyOf } from '../root-entries.ts';
import { checkCondition } from './conditions.ts';
import { findChain } from './directories.ts';
import { countOut } from './sizes.ts';

/** Removes a file's name or an empty directory. What `removeEntry` promises is decided here. */
export function decideRemoval(draft: Draft, path: FilePath, condition: BindCondition): void {
  if (path === rootPath) {
    throw new StoreError('conflict', 'The root directory cannot be removed.');
  }
  const entry = findChain(draft, path)?.at(-1);
  if (!entry) throw new StoreError('not-found', `There is nothing at ${path}.`);
  checkCondition(draft, path, entry, condition);
  if (entry.kind === 'directory' && draft.children.get(entry.id) > 0) {
    throw new StoreError('conflict', `The directory ${path} is not empty.`, {
      hint: 'Remove what is in it first.',
    });
  }
  countOut(draft, entry);
  if (entry.kind === 'directory') draft.sizes.remove(entry.id);
  draft.entries.set(entryKeyOf(entry.parentId, entry.name), null);
  draft.children.add(entry.parentId, -1);
  draft.journalise(entryGone(entry));
  if (entry.fileId !== undefined) releaseName(draft, entry.fileId);
}

/** A name less holds this content: if that was the last one, it goes and its blobs wait for collection. */
export function releaseName(draft: Draft, fileId: FileId): void {
  draft.names.add(fileId, -1);
  draft.names.need(fileId);
  const file = draft.files.get(fileId);
  if (!file || draft.names.get(fileId) > 0) return;
  draft.files.set(fileId, null);
  draft.journalise(...fileGone(file));
  for (const { blobId } of file.blobs) {
    draft.uses.add(blobId, -1);
    draft.uses.need(blobId);
    draft.blobs.need(blobId);
  }
  for (const { blobId } of file.blobs) {
    const blob = draft.blobs.get(blobId);
    if (!blob || draft.uses.get(blobId) > 0) continue;
    draft.blobs.set(blobId, { ...blob, unreferencedSinceMs: draft.nowMs });
  }
}
