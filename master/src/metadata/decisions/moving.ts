import { baseNameOf, rootPath, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { Entry } from '../metadata-repository.ts';
import type { MoveOutcome, MoveRequest } from '../tree-changes.ts';
import { checkCondition, taken } from './conditions.ts';
import { settleMovedCopies } from './copies-wanted.ts';
import { checkReplaceable, findDestination } from './destination.ts';
import { findChain, needWayTo } from './directories.ts';
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
  const journey = { from, to, source, verb: 'move' as const };
  const { parents, existing } = findDestination(draft, journey);
  checkCondition(draft, to, existing, request.destination ?? {});
  if (existing && !overwrite) throw taken(to);
  if (existing) checkReplaceable(journey, existing);

  // As a DELETE before it would have done (RFC 4918 section 9.9.4): what is replaced goes whole.
  if (existing) giveUp(draft, existing, { path: to, reason: 'replaced', trashUntilMs });
  const parent = parents.at(-1) as Entry;
  const moved = relocate(draft, entry, { parentId: parent.id, name: baseNameOf(to) });
  settleMovedCopies(draft, source, [...parents, moved]);
  return { path: to, entry: moved, isNew: existing === null };
}
