import type { FileId } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { fileGone } from '../journal.ts';

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
