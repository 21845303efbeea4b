import { expect, it } from 'vitest';
import { findFreeNumber } from './free-number.ts';

/** Finds by asking a set of taken numbers; gives the number and how often it had to ask. */
function search(taken: ReadonlySet<number>) {
  const known = new Map<number, boolean>();
  for (let rounds = 0; ; rounds += 1) {
    const found = findFreeNumber((n) => known.get(n));
    if ('free' in found) return { free: found.free, rounds, asked: known.size };
    for (const n of found.ask) known.set(n, taken.has(n));
  }
}

const firstNumbers = (count: number) => new Set(Array.from({ length: count }, (_, n) => n + 1));

it.each([0, 1, 2, 7, 8, 9, 15, 16, 17, 100, 255, 256, 1_000, 9_999, 10_000, 1_000_000])(
  'finds the number after %i that are taken in a few rounds',
  (count) => {
    const { free, rounds, asked } = search(firstNumbers(count));
    expect(free).toBe(count + 1);
    expect(rounds).toBeLessThanOrEqual(7);
    expect(asked).toBeLessThan(300);
  },
);

it('finds a free one where numbers in between were freed', () => {
  const taken = firstNumbers(10_000);
  for (const n of [3, 5_000, 9_000]) taken.delete(n);
  const { free } = search(taken);
  expect(taken.has(free)).toBe(false);
});

it('gives the next writers of a batch theirs without asking again', () => {
  const taken = firstNumbers(500);
  const known = new Map<number, boolean>();
  const find = () => {
    for (let rounds = 0; ; rounds += 1) {
      const found = findFreeNumber((n) => known.get(n));
      if ('free' in found) return { free: found.free, rounds };
      for (const n of found.ask) known.set(n, taken.has(n));
    }
  };
  let roundsOfOthers = 0;
  for (let n = 501; n <= 564; n += 1) {
    const { free, rounds } = find();
    expect(free).toBe(n);
    known.set(free, true);
    if (n > 501) roundsOfOthers += rounds;
  }
  expect(roundsOfOthers).toBeLessThanOrEqual(6);
});
