import {
  baseNameOf,
  childOf,
  type EntryId,
  type FilePath,
  isWithin,
  newEntryId,
  parentOf,
  rootPath,
  StoreError,
} from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryImage, trashGone, trashImage } from '../journal.ts';
import type { Entry, TrashRecord } from '../metadata-repository.ts';
import { entryKeyOf, trashId } from '../root-entries.ts';
import type { RestoreOutcome, RestoreRequest } from '../tree-changes.ts';
import { taken } from './conditions.ts';
import { settleMovedCopies } from './copies-wanted.ts';
import { makeDirectories } from './directories.ts';
import { freeName } from './free-name.ts';
import { giveUp, recordTrash, relocate } from './placing.ts';
import { countIn } from './sizes.ts';

/** What a name held until now goes to the trash under an entry of its own, since the name keeps its entry. */
export function keepReplaced(
  draft: Draft,
  replaced: Entry,
  { path, expiresAtMs }: { readonly path: FilePath; readonly expiresAtMs: number },
): void {
  const id = newEntryId();
  const entry = { ...replaced, id, parentId: trashId, name: id };
  draft.entries.set(entryKeyOf(trashId, id), entry);
  draft.children.add(trashId, 1);
  countIn(draft, entry);
  draft.journalise(entryImage(entry));
  recordTrash(draft, id, { path, expiresAtMs, reason: 'replaced' });
}

/** What `restoreTrashed` promises is decided here. */
export function decideRestore(draft: Draft, id: EntryId, request: RestoreRequest): RestoreOutcome {
  needItem(draft, id);
  const { entry, record } = findItem(draft, id, request.within);
  const path = request.to ?? (record.path as FilePath);
  if (path === rootPath) {
    throw new StoreError('conflict', 'Nothing can take the place of the root directory.', {
      hint: 'Give a path below it.',
    });
  }
  const parents = makeDirectories(draft, parentOf(path));
  const parent = parents.at(-1) as Entry;
  const existing = draft.child(parent.id, baseNameOf(path));
  if (existing && request.onConflict === 'fail') throw taken(path);
  const isRenamed = existing !== null && request.onConflict === 'rename';
  const name = isRenamed ? freeName(draft, parent, existing.name) : baseNameOf(path);
  if (isRenamed && !isWithin(childOf(parentOf(path), name), request.within ?? rootPath)) {
    throw new StoreError('forbidden', `${path} is taken, and another name would be outside.`, {
      hint: 'Replace what is there, or give another path.',
    });
  }
  if (existing && !isRenamed) {
    giveUp(draft, existing, { path, reason: 'replaced', trashUntilMs: request.trashUntilMs });
  }
  const restored = relocate(draft, entry, { parentId: parent.id, name });
  forgetItem(draft, id);
  settleMovedCopies(draft, undefined, [...parents, restored]);
  return { path: childOf(parentOf(path), name), entry: restored };
}

/** Lets these items expire now, of them those that were within a part of the tree; those that cannot be brought back anyway are passed over. Gives those that could. */
export function decideExpiry(
  draft: Draft,
  ids: readonly EntryId[],
  within: FilePath = rootPath,
): EntryId[] {
  for (const id of ids) draft.trash.need(id);
  const expired = draft.each(ids, (id) => {
    const record = draft.trash.get(id);
    if (!record || !isShown(draft, record) || !wasWithin(record, within)) return [];
    const after = { ...record, expiresAtMs: draft.nowMs, isHidden: true };
    draft.trash.set(id, after);
    draft.journalise(trashImage(after));
    return [id];
  });
  return expired.flat();
}

/** The entry is in the trash no more. */
export function forgetItem(draft: Draft, id: EntryId): void {
  draft.trash.set(id, null);
  draft.journalise(trashGone(id));
}

export function needItem(draft: Draft, id: EntryId): void {
  draft.trash.need(id);
  draft.entries.need(entryKeyOf(trashId, id));
}

function findItem(
  draft: Draft,
  id: EntryId,
  within: FilePath = rootPath,
): { entry: Entry; record: TrashRecord } {
  const record = draft.trash.get(id);
  const entry = draft.child(trashId, id);
  if (record && entry && isShown(draft, record) && wasWithin(record, within)) {
    return { entry, record };
  }
  throw new StoreError('not-found', `There is nothing in the trash with the id ${id}.`, {
    hint: 'Look at what the trash holds: what has expired cannot be brought back.',
  });
}

const wasWithin = ({ path }: TrashRecord, within: FilePath) => isWithin(path as FilePath, within);

const isShown = (draft: Draft, { isHidden, expiresAtMs }: TrashRecord) =>
  !isHidden && expiresAtMs > draft.nowMs;
