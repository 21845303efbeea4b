import { alternativeName, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import { rowsMissing } from '../draft/draft-table.ts';
import type { Entry } from '../metadata-repository.ts';
import { entryKeyOf } from '../root-entries.ts';
import { findFreeNumber } from './free-number.ts';

/** A name like this one that nothing in the directory has. Rejects with `conflict` when none is left. */
export function freeName(draft: Draft, parent: Entry, name: string): string {
  const keyOf = (n: number) => entryKeyOf(parent.id, alternativeName(name, n));
  const isFresh = draft.children.isFresh(parent.id);
  const found = findFreeNumber((n) => {
    const entry = draft.entries.peek(keyOf(n));
    if (entry === undefined) return isFresh ? false : undefined;
    return entry !== null;
  });
  if ('free' in found) return alternativeName(name, found.free);
  if (found.ask.length === 0) throw new StoreError('conflict', `No free name is left for ${name}.`);
  for (const n of found.ask) draft.entries.need(keyOf(n));
  throw rowsMissing;
}
