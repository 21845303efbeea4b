/** Numbers tried at once: 1 to 8, then each double of the one before. */
const gallop = [1, 2, 3, 4, 5, 6, 7, 8, ...Array.from({ length: 27 }, (_, n) => 2 ** (n + 4))];
/** Between the last taken and the first free one: so many at equal distances … */
const probes = 16;
/** … and so many right after the taken one, so that other writers of the name in the same batch find theirs without a query. */
const spare = 32;

export type FreeNumber = { readonly free: number } | { readonly ask: readonly number[] };

/**
 * Finds a free number for a name that is taken, or tells which numbers to look up first (`isTaken` gives undefined for those not known). Gallops, then
 * narrows: a handful of rounds even where 10 000 are taken. The one found has a taken one before it, but where numbers were freed it need not be the lowest. Pure.
 */
export function findFreeNumber(isTaken: (n: number) => boolean | undefined): FreeNumber {
  let candidates: readonly number[] = gallop;
  let lastTaken = 0;
  for (;;) {
    const ask = candidates.filter((n) => isTaken(n) === undefined);
    if (ask.length > 0) return { ask };
    const at = candidates.findIndex((n) => isTaken(n) === false);
    const firstFree = candidates[at];
    if (firstFree === undefined) return { ask: [] };
    lastTaken = candidates[at - 1] ?? lastTaken;
    if (firstFree === lastTaken + 1) return { free: firstFree };
    candidates = between(lastTaken, firstFree);
  }
}

/** Ascending, ending with the free one, so that there always is one. */
function between(lastTaken: number, firstFree: number): number[] {
  const numbers = new Set<number>([firstFree]);
  for (let n = 1; n <= spare; n += 1) numbers.add(Math.min(lastTaken + n, firstFree));
  const distance = (firstFree - lastTaken) / (probes + 1);
  for (let n = 1; n <= probes; n += 1) numbers.add(Math.floor(lastTaken + n * distance));
  numbers.delete(lastTaken);
  return [...numbers].sort((a, b) => a - b);
}
