import { baseNameOf, type FilePath, namesOf, parentOf, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { Entry } from '../metadata-repository.ts';
import { chainAlong, notADirectory } from './directories.ts';

/** A file or directory on its way to another place. */
export interface Journey {
  readonly from: FilePath;
  readonly to: FilePath;
  /** From the root to what is at `from`. */
  readonly source: readonly Entry[];
  /** For messages: what cannot be done. */
  readonly verb: 'move' | 'copy';
}

export interface Destination {
  /** From the root to the directory that is to hold it. */
  readonly parents: readonly Entry[];
  readonly existing: Entry | null;
}

/** The directories that lead to a place, and what is there. Rejects with `forbidden` (it is there already), `conflict` (in itself, or in no directory), `not-a-directory`. */
export function findDestination(draft: Draft, journey: Journey): Destination {
  const { from, to, source } = journey;
  if (from === to) throw ontoItself(journey);
  const chain = chainAlong(draft, to);
  const entry = source.at(-1) as Entry;
  if (chain.some(({ id }) => id === entry.id)) throw intoItself(journey);
  const depth = namesOf(to).length;
  const last = chain.at(-1) as Entry;
  if (chain.length === depth + 1) return { parents: chain.slice(0, -1), existing: last };
  if (last.kind === 'file') throw notADirectory(to, last.name);
  if (chain.length < depth) throw noParent(to);
  return { parents: chain, existing: null };
}

/** What holds the source cannot be replaced by it. Rejects with `conflict`. */
export function checkReplaceable(journey: Journey, existing: Entry): void {
  const { from, to, source, verb } = journey;
  if (!source.some(({ id }) => id === existing.id)) return;
  throw new StoreError('conflict', `Cannot ${verb} ${from} onto ${to}, which it is in.`, {
    hint: `${verb === 'move' ? 'Move' : 'Copy'} it out of there first.`,
  });
}

const ontoItself = ({ from, verb }: Journey) =>
  new StoreError('forbidden', `Cannot ${verb} ${from} onto itself.`, {
    hint: 'Choose another name.',
  });

const intoItself = ({ from, to, verb }: Journey) =>
  new StoreError('conflict', `Cannot ${verb} ${from} into itself, ${to}.`, {
    hint: 'Choose a place outside of it.',
  });

const noParent = (to: FilePath) =>
  new StoreError('conflict', `There is no directory ${parentOf(to)} to put ${baseNameOf(to)} in.`, {
    hint: 'Make it first.',
  });
