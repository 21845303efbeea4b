import { type FilePath, StoreError } from '@dfs/shared';
import type { BlobState } from '../blob-state.ts';
import type { Draft } from '../draft/draft.ts';
import { blobImage } from '../journal.ts';
import type { Entry } from '../metadata-repository.ts';
import { findChain } from './directories.ts';
import { setEntry } from './touch.ts';

/** How many copies the last entry of a chain that begins at the root is to have: the nearest that says a number tells, else the configured one. */
export const copiesAt = (chain: readonly Pick<Entry, 'copies'>[], configured: number): number =>
  chain.findLast((entry) => entry.copies !== undefined)?.copies ?? configured;

/** The blob with this many copies wanted, journaled when that is another number than before. */
export function withCopiesWanted(draft: Draft, blob: BlobState, copies: number): BlobState {
  const copiesWanted = Math.max(1, copies);
  if (copiesWanted === blob.copiesWanted) return blob;
  const changed = { ...blob, copiesWanted };
  draft.journalise(blobImage(changed));
  return changed;
}

/**
 * The number for an entry, or for what is below it, is or may be another one from now on: its contents are looked at again in the background. Of contents that files share, the name that
 * wants the most copies counts, and finding it may take reading many names, so it is not done here.
 */
export function sweepLater(draft: Draft, entry: Entry, requestedAtMs = draft.nowMs): void {
  draft.sweeps.set(entry.id, { afterName: '', requestedAtMs });
}

/** What `setCopies` promises. */
export function decideCopies(draft: Draft, path: FilePath, copies: number | null): Entry {
  const before = findChain(draft, path)?.at(-1);
  if (!before) throw new StoreError('not-found', `There is nothing at ${path}.`);
  const { copies: _, ...rest } = before;
  const entry = setEntry(draft, copies === null ? rest : { ...rest, copies });
  // Also where the number is the same: whoever sets it wants it to be so.
  sweepLater(draft, entry);
  return entry;
}

/**
 * To be called when an entry came to be elsewhere, with the chains that end in it before and after. Where it was in the trash before, its contents may have been looked at without it:
 * `before` is undefined then.
 */
export function settleMovedCopies(
  draft: Draft,
  before: readonly Entry[] | undefined,
  after: readonly Entry[],
): void {
  const entry = after.at(-1) as Entry;
  const wanted = copiesAt(after, draft.configuredCopies);
  const isSame = before && copiesAt(before, draft.configuredCopies) === wanted;
  // A sweep that is under way may have passed the one place and not have reached the other.
  if (isSame && !draft.mayHaveSweeps) return;
  sweepLater(draft, entry);
}
