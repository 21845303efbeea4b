import type { FoundFile } from '../metadata/restore/restore-types.ts';

/** How many nodes hold all of it, as far as was found. */
export const holdersOf = ({ holders }: Pick<FoundFile, 'holders'>): number =>
  Math.min(...holders.map((nodes) => nodes.length));

/**
 * Several contents of one path, the one to try first in front: the newest; where no order is known, since times are equal or one is missing, the one held by most
 * nodes. What is left is decided by the ids, so that two restores decide alike. Pure.
 */
export function orderContents(contents: readonly FoundFile[]): FoundFile[] {
  const isTimed = contents.every(({ file }) => file.createdAtMs > 0);
  const newerFirst = (a: FoundFile, b: FoundFile) =>
    isTimed ? b.file.createdAtMs - a.file.createdAtMs : 0;
  return [...contents].sort(
    (a, b) => newerFirst(a, b) || holdersOf(b) - holdersOf(a) || (a.file.id < b.file.id ? 1 : -1),
  );
}
