import { baseNameOf, type FilePath, namesOf, parentOf, rootPath, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { Entry } from '../metadata-repository.ts';
import type { MoveOutcome, MoveRequest } from '../tree-changes.ts';
import { checkCondition, taken } from './conditions.ts';
import { settleMovedCopies } from './copies-wanted.ts';
import { chainAlong, findChain, needWayTo, notADirectory } from './directories.ts';
import { giveUp, relocate } from './placing.ts';

/**
 * What `moveEntry` promises is decided here. Both paths are followed from the root in the draft, and moves are decided one after the other: of two that would put
 * two directories into each other, the second finds itself inside what it moves.
 */
export function decideMove(draft: Draft, request: MoveRequest): MoveOutcome {
  const { from, to, overwrite, trashUntilMs } = request;
  if (from === rootPath) throw new StoreError('conflict', 'The root directory cannot be moved.');
  needWayTo(draft, to);
  const source = findChain(draft, from);
  const entry = source?.at(-1);
  if (!source || !entry) throw new StoreError('not-found', `There is nothing at ${from}.`);
  checkCondition(draft, from, entry, request.source ?? {});
  if (from === to) throw ontoItself(from);
  const { parents, existing } = placeAt(draft, { from, to, source });
  checkCondition(draft, to, existing, request.destination ?? {});
  if (existing && !overwrite) throw taken(to);
  if (existing && source.some(({ id }) => id === existing.id)) throw ontoParent(from, to);

  // As a DELETE before it would have done (RFC 4918 section 9.9.4): what is replaced goes whole.
  if (existing) giveUp(draft, existing, { path: to, reason: 'replaced', trashUntilMs });
  const parent = parents.at(-1) as Entry;
  const moved = relocate(draft, entry, { parentId: parent.id, name: baseNameOf(to) });
  settleMovedCopies(draft, source, [...parents, moved]);
  return { path: to, entry: moved, isNew: existing === null };
}

/** The directories that lead to a place, and what is there. Rejects with `conflict`, `not-a-directory`. */
function placeAt(
  draft: Draft,
  move: { readonly from: FilePath; readonly to: FilePath; readonly source: readonly Entry[] },
): { parents: readonly Entry[]; existing: Entry | null } {
  const { from, to, source } = move;
  const chain = chainAlong(draft, to);
  const entry = source.at(-1) as Entry;
  if (chain.some(({ id }) => id === entry.id)) throw intoItself(from, to);
  const depth = namesOf(to).length;
  const last = chain.at(-1) as Entry;
  if (chain.length === depth + 1) return { parents: chain.slice(0, -1), existing: last };
  if (last.kind === 'file') throw notADirectory(to, last.name);
  if (chain.length < depth) throw noParent(to);
  return { parents: chain, existing: null };
}

const ontoItself = (path: FilePath) =>
  new StoreError('forbidden', `${path} cannot be moved onto itself.`, {
    hint: 'Choose another name.',
  });

const intoItself = (from: FilePath, to: FilePath) =>
  new StoreError('conflict', `Cannot move ${from} into itself, ${to}.`, {
    hint: 'Choose a place outside of it.',
  });

const ontoParent = (from: FilePath, to: FilePath) =>
  new StoreError('conflict', `Cannot move ${from} onto ${to}, which it is in.`, {
    hint: 'Move it out of there first.',
  });

const noParent = (to: FilePath) =>
  new StoreError('conflict', `There is no directory ${parentOf(to)} to put ${baseNameOf(to)} in.`, {
    hint: 'Make it first.',
  });
