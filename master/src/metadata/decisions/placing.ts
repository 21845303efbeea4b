import type { EntryId } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryGone, entryImage, trashImage } from '../journal.ts';
import type { Entry, TrashRecord } from '../metadata-repository.ts';
import { entryKeyOf, trashId } from '../root-entries.ts';
import { releaseName } from './release.ts';
import { countIn, countOut } from './sizes.ts';

/** Gives an entry another place, which must be free: one row, whatever is below it. */
export function relocate(
  draft: Draft,
  entry: Entry,
  { parentId, name }: { readonly parentId: EntryId; readonly name: string },
): Entry {
  const moved = { ...entry, parentId, name };
  countOut(draft, entry);
  draft.entries.set(entryKeyOf(entry.parentId, entry.name), null);
  draft.children.add(entry.parentId, -1);
  draft.entries.set(entryKeyOf(parentId, name), moved);
  draft.children.add(parentId, 1);
  countIn(draft, moved);
  draft.journalise(entryImage(moved));
  return moved;
}

/** Takes a file, or a directory with nothing in it, out of the tree for good. */
export function erase(draft: Draft, entry: Entry): void {
  countOut(draft, entry);
  if (entry.kind === 'directory') draft.sizes.remove(entry.id);
  draft.entries.set(entryKeyOf(entry.parentId, entry.name), null);
  draft.children.add(entry.parentId, -1);
  draft.journalise(entryGone(entry));
  if (entry.fileId !== undefined) releaseName(draft, entry.fileId);
}

export interface Farewell {
  /** Where it was. */
  readonly path: string;
  readonly reason: TrashRecord['reason'];
  /** Until when it can be brought back; absent: not at all. */
  readonly trashUntilMs?: number | undefined;
}

/** Makes an entry go: into the trash, or for good. A directory that is not empty is then out of sight at once, and left to the trash's collection. */
export function giveUp(draft: Draft, entry: Entry, farewell: Farewell): void {
  const { trashUntilMs } = farewell;
  if (trashUntilMs !== undefined)
    moveToTrash(draft, entry, { ...farewell, expiresAtMs: trashUntilMs });
  else if (entry.kind === 'file' || draft.children.get(entry.id) === 0) erase(draft, entry);
  else moveToTrash(draft, entry, { ...farewell, expiresAtMs: draft.nowMs, isHidden: true });
}

export interface TrashLabel extends Pick<TrashRecord, 'path' | 'reason' | 'expiresAtMs'> {
  readonly isHidden?: boolean;
}

/** An entry in the trash has its own id as its name, so that nothing there is ever taken. */
export function moveToTrash(draft: Draft, entry: Entry, label: TrashLabel): void {
  relocate(draft, entry, { parentId: trashId, name: entry.id });
  recordTrash(draft, entry.id, label);
}

export function recordTrash(
  draft: Draft,
  entryId: EntryId,
  { path, reason, expiresAtMs, isHidden = false }: TrashLabel,
): void {
  const record = { entryId, path, removedAtMs: draft.nowMs, expiresAtMs, reason, isHidden };
  draft.trash.set(entryId, record);
  draft.journalise(trashImage(record));
}
