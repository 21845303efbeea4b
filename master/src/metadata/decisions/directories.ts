import { type FilePath, namesOf, newEntryId, parentOf, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { entryImage } from '../journal.ts';
import type { Entry, MadeDirectory } from '../metadata-repository.ts';
import { entryKeyOf, nowhereId, rootId } from '../root-entries.ts';

const rootKey = entryKeyOf(nowhereId, '');

/** The directory of this path and those above it, from the root; what is missing is made. Rejects with `not-a-directory`. */
export function makeDirectories(draft: Draft, path: FilePath): Entry[] {
  const chain = [rootOf(draft, path)];
  for (const name of namesOf(path)) {
    const parent = chain.at(-1) as Entry;
    const entry = draft.child(parent.id, name) ?? makeDirectory(draft, parent, name);
    if (entry.kind !== 'directory') throw notADirectory(path, name);
    chain.push(entry);
  }
  return chain;
}

/** One directory, with those above it or only where they are. Rejects with `not-a-directory`, and with `conflict` for a missing parent. */
export function decideDirectory(
  draft: Draft,
  path: FilePath,
  { parents }: { readonly parents: boolean },
): MadeDirectory {
  const existing = findChain(draft, path)?.at(-1);
  if (existing?.kind === 'directory') return { entry: existing, isNew: false };
  const isOrphan = !existing && !findChain(draft, parentOf(path));
  // Where a file is in the way, it is said below.
  if (!parents && isOrphan && chainAlong(draft, path).at(-1)?.kind === 'directory') {
    throw new StoreError('conflict', `There is no directory ${parentOf(path)}.`, {
      hint: 'Make the directories above it first.',
    });
  }
  return { entry: makeDirectories(draft, path).at(-1) as Entry, isNew: true };
}

/** The entry of this path and those above it, from the root; undefined when a name is absent or a parent is a file. */
export function findChain(draft: Draft, path: FilePath): Entry[] | undefined {
  const chain = chainAlong(draft, path);
  return chain.length === namesOf(path).length + 1 ? chain : undefined;
}

/** What there is on the way to a path, from the root: ends with its entry, or before the first name that is absent or below a file. */
export function chainAlong(draft: Draft, path: FilePath): Entry[] {
  const chain = [rootOf(draft, path)];
  for (const name of namesOf(path)) {
    const parent = chain.at(-1) as Entry;
    const entry = parent.kind === 'directory' ? draft.child(parent.id, name) : null;
    if (!entry) break;
    chain.push(entry);
  }
  return chain;
}

/** Asks for what is known to be needed on the way to a path: the root, whose id never changes, and the first name below it. */
export function needWayTo(draft: Draft, path: FilePath): void {
  draft.entries.need(rootKey);
  const [first] = namesOf(path);
  if (first !== undefined) draft.entries.need(entryKeyOf(rootId, first));
}

function rootOf(draft: Draft, path: FilePath): Entry {
  needWayTo(draft, path);
  const root = draft.entries.get(rootKey);
  if (!root) throw new StoreError('internal', 'The metadata database has no root directory.');
  return root;
}

function makeDirectory(draft: Draft, parent: Entry, name: string): Entry {
  const entry: Entry = {
    id: newEntryId(),
    parentId: parent.id,
    name,
    kind: 'directory',
    createdAtMs: draft.nowMs,
    modifiedAtMs: draft.nowMs,
    visibility: 'inherit',
  };
  draft.entries.set(entryKeyOf(parent.id, name), entry);
  draft.children.makeFresh(entry.id);
  draft.sizes.makeFresh(entry.id);
  draft.sizes.addPending(parent.id, { files: 0, directories: 1, bytes: 0 });
  draft.children.add(parent.id, 1);
  draft.journalise(entryImage(entry));
  return entry;
}

export const notADirectory = (path: FilePath, name: string) =>
  new StoreError('not-a-directory', `${JSON.stringify(name)} in ${path} is a file.`, {
    hint: 'Choose a path whose parents are directories.',
  });
