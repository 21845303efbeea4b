import type { NodeId } from '@dfs/shared';
import type { NodeSnapshot } from '../cluster/node-directory.ts';

/** On how many further nodes a file belongs that is read so often: one for each time that the limit is reached. Pure. */
export const furtherNodes = (readsPerMinute: number, limitPerMinute: number) =>
  limitPerMinute === 0 ? 0 : Math.floor(readsPerMinute / limitPerMinute);

/**
 * Which of these nodes cache a file next, at most `count`: those that cache the fewest hot files first, so that several are spread, then the least busy, then the
 * one with the least of its room used. Pure.
 */
export function chooseCaches(
  candidates: readonly NodeSnapshot[],
  count: number,
  hotFilesOn: (id: NodeId) => number,
): NodeId[] {
  const usedShare = ({ usedBytes, capacityBytes }: NodeSnapshot) =>
    usedBytes / Math.max(1, capacityBytes);
  return candidates
    .toSorted(
      (a, b) =>
        hotFilesOn(a.id) - hotFilesOn(b.id) ||
        a.inFlight - b.inFlight ||
        usedShare(a) - usedShare(b),
    )
    .slice(0, Math.max(0, count))
    .map(({ id }) => id);
}
