/**
 * How much a cached blob is worth keeping, as one number: the logarithm (base 2) of its reads, each of
 * which counts half as much after an hour. It is written so that it need not be renewed as time goes
 * by: a read at hour `t` adds `2^t`, so two blobs compare today as they will tomorrow.
 */
export const heatHalfLifeMs = 3_600_000;

/** Of a blob that nobody read yet. */
export const coldest = -Infinity;

/** Of a blob that was read once at that time, ms since 1970. */
export const heatOfReadAt = (atMs: number) => atMs / heatHalfLifeMs;

/** After one more read. */
export function heatAfterRead(heat: number, atMs: number): number {
  const read = heatOfReadAt(atMs);
  const higher = Math.max(heat, read);
  // Of the coldest nothing is left: 2 to minus infinity is 0.
  return higher + Math.log2(1 + 2 ** (Math.min(heat, read) - higher));
}

export interface Evictable {
  readonly heat: number;
  /** A point is worth as much as twice the reads, or as an hour. */
  readonly priority: number;
  /** What its end gives back. */
  readonly bytes: number;
}

/** Whom to let go for `wantedBytes`, the least worth keeping first; fewer bytes when there are no more. Pure. */
export function chooseEvicted<Entry extends Evictable>(
  entries: Iterable<Entry>,
  wantedBytes: number,
): Entry[] {
  const worthOf = ({ heat, priority }: Evictable) => heat + priority;
  const chosen: Entry[] = [];
  let freedBytes = 0;
  for (const entry of [...entries].sort((a, b) => worthOf(a) - worthOf(b))) {
    if (freedBytes >= wantedBytes) break;
    chosen.push(entry);
    freedBytes += entry.bytes;
  }
  return chosen;
}
