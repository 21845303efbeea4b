import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { ByteBudget } from './byte-budget.ts';

/** How many bytes pass in so many seconds when parts of this size are asked for all the time. */
function passed(seconds: number, partBytes: number, bytesPerSecond: number | undefined): number {
  const clock = new FakeClock();
  const budget = new ByteBudget(clock, bytesPerSecond);
  let bytes = 0;
  for (let ms = 0; ms < seconds * 1_000; ms += 100) {
    for (let asked = 0; asked < 50 && budget.take(partBytes); asked += 1) bytes += partBytes;
    clock.advance(100);
  }
  return bytes;
}

describe('a budget of bytes', () => {
  it.each([
    ['small parts', 10],
    ['parts of its size', 1_000],
    ['parts that are larger than a second of it', 25_000],
  ])('lets through its bytes per second and no more, in %s', (_name, partBytes) => {
    const bytes = passed(100, partBytes, 1_000);
    expect(bytes).toBeGreaterThanOrEqual(100_000 - partBytes);
    // What it keeps at the start, and one part that is larger than what is left.
    expect(bytes).toBeLessThanOrEqual(100_000 + 2_000 + partBytes);
  });

  it('keeps no more than two seconds of what was not used', () => {
    const clock = new FakeClock();
    const budget = new ByteBudget(clock, 100);
    clock.advance(3_600_000);
    let parts = 0;
    while (budget.take(10)) parts += 1;
    expect(parts).toBe(20);
  });

  it('without a limit lets everything through', () => {
    expect(passed(1, 1e12, undefined)).toBe(10 * 50 * 1e12);
  });
});
