import type { EntryId } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { Entry, TrashRecord } from '../metadata-repository.ts';
import { entryKeyOf, trashId } from '../root-entries.ts';
import { erase, moveToTrash } from './placing.ts';
import { sizeOfEntry } from './sizes.ts';
import { forgetItem, needItem } from './trash.ts';

/** What one transaction of the collection looks at. Each is looked at again where it is decided. */
export interface TrashPile {
  /** Of items that have expired. */
  readonly items: readonly EntryId[];
  /** Some that are directly in those of them that are directories. */
  readonly children: readonly { readonly parentId: EntryId; readonly name: string }[];
  /** Nothing else has expired. */
  readonly hasAllItems: boolean;
  /** Nothing else is in these directories. */
  readonly hasAllChildren: boolean;
}

interface Item {
  readonly entry: Entry;
  readonly record: TrashRecord;
}

interface Collected {
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly isDone: boolean;
}

/**
 * Takes what has expired apart: files go for good; directories in a directory become hidden items of their own, so that a tree is never followed; a directory with
 * nothing left in it goes. Killed between two transactions, it goes on with what is left.
 */
export function decideTrashCollection(draft: Draft, pile: TrashPile, nowMs: number): Collected {
  const counts = { files: 0, directories: 0, bytes: 0 };
  const items = findItems(draft, pile, nowMs);
  let hasMore = !(pile.hasAllItems && pile.hasAllChildren);
  const remove = (entry: Entry) => {
    if (entry.kind === 'directory') counts.directories += 1;
    else {
      counts.files += 1;
      counts.bytes += sizeOfEntry(draft, entry).bytes;
    }
    erase(draft, entry);
  };
  const touched = new Set<EntryId>();
  draft.each(pile.children, ({ parentId, name }) => {
    const parent = items.get(parentId);
    const child = parent && draft.child(parentId, name);
    if (!child) return;
    touched.add(parentId);
    if (child.kind === 'file') return remove(child);
    hasMore = true;
    needDirectory(draft, child.id);
    moveToTrash(draft, child, {
      ...parent.record,
      path: `${parent.record.path}/${name}`,
      isHidden: true,
    });
  });
  draft.each([...items.values()], ({ entry }) => {
    if (entry.kind === 'directory') {
      // The page was full of what is in others: nothing is known of this one.
      if (!pile.hasAllChildren && !touched.has(entry.id)) return;
      needDirectory(draft, entry.id);
      if (draft.children.get(entry.id) > 0) {
        hasMore = true;
        // What went is no longer counted as being in the trash.
        draft.sizes.addPending(trashId, draft.sizes.fold(entry.id));
        return;
      }
    }
    remove(entry);
    forgetItem(draft, entry.id);
  });
  return { ...counts, isDone: !hasMore };
}

/** Those that are still there and have expired, with what is known to be needed of them and of what is in them. */
function findItems(draft: Draft, pile: TrashPile, nowMs: number): Map<EntryId, Item> {
  for (const id of pile.items) needItem(draft, id);
  for (const { parentId, name } of pile.children) draft.entries.need(entryKeyOf(parentId, name));
  const items = new Map<EntryId, Item>();
  draft.each(pile.items, (id) => {
    const record = draft.trash.get(id);
    const entry = draft.child(trashId, id);
    if (record && entry && record.expiresAtMs <= nowMs) items.set(id, { entry, record });
  });
  for (const { entry } of items.values()) needContent(draft, entry);
  for (const { parentId, name } of pile.children) {
    const child = draft.entries.peek(entryKeyOf(parentId, name));
    if (child) needContent(draft, child);
  }
  return items;
}

function needContent(draft: Draft, { kind, id, fileId }: Entry): void {
  if (kind === 'directory') needDirectory(draft, id);
  if (fileId === undefined) return;
  draft.files.need(fileId);
  draft.names.need(fileId);
}

function needDirectory(draft: Draft, id: EntryId): void {
  draft.sizes.need(id);
  draft.children.need(id);
}
