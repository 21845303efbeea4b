import { describe, expect, it } from 'vitest';
import { median, mergeLatency, percentile, summariseLatency } from './statistics.ts';

describe('statistics', () => {
  it.each([
    [[3], 3],
    [[3, 1], 2],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])('takes the middle of %j', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  it('has no median of nothing', () => {
    expect(median([])).toBeNaN();
  });

  it('takes the nearest rank, never a value between two samples', () => {
    const sorted = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(percentile(sorted, 0.5)).toBe(50);
    expect(percentile(sorted, 0.99)).toBe(99);
    expect(percentile(sorted, 1)).toBe(100);
    expect(percentile([7], 0.01)).toBe(7);
  });

  it('sorts samples as numbers, whatever their order', () => {
    expect(summariseLatency([100, 9, 20])).toEqual({ p50: 20, p90: 100, p99: 100, max: 100 });
  });

  it('keeps the worst of all rounds and the median of their percentiles', () => {
    const rounds = [1, 2, 60].map((p) => ({ p50: p, p90: p, p99: p, max: p * 10 }));
    expect(mergeLatency(rounds)).toEqual({ p50: 2, p90: 2, p99: 2, max: 600 });
    expect(mergeLatency([])).toBeUndefined();
  });
});
