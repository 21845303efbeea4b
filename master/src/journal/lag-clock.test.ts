import { FakeClock } from '@dfs/shared/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { LagClock } from './lag-clock.ts';

let clock: FakeClock;
let lag: LagClock;
beforeEach(() => {
  clock = new FakeClock();
  lag = new LagClock(clock);
});

describe('the lag of a keeper', () => {
  it('is nothing while it has all', () => {
    lag.reached(5);
    clock.advance(60_000);
    expect(lag.lagMs(5)).toBe(0);
    expect(lag.lagMs(7)).toBe(0);
  });

  it('is the age of the oldest change that it lacks, however long nothing had happened before', () => {
    lag.reached(5);
    clock.advance(3_600_000);
    lag.reached(6);
    clock.advance(1_000);
    lag.reached(9);
    clock.advance(500);
    expect(lag.lagMs(5)).toBe(1_500);
    expect(lag.lagMs(6)).toBe(500);
    lag.forget(6);
    expect(lag.lagMs(6)).toBe(500);
  });

  it('takes bounded memory and stays about right', () => {
    for (let number = 1; number <= 100_000; number += 1) {
      lag.reached(number);
      clock.advance(100);
    }
    const trueMs = (100_000 - 50_000) * 100;
    expect(lag.lagMs(50_000)).toBeGreaterThan(trueMs * 0.5);
    expect(lag.lagMs(50_000)).toBeLessThanOrEqual(trueMs);
    expect(lag.lagMs(99_999)).toBe(100);
  });

  it('begins anew when a restore ended with a lower number', () => {
    lag.reached(500);
    clock.advance(1_000);
    lag.reached(80);
    expect(lag.lagMs(80)).toBe(0);
    clock.advance(1_000);
    lag.reached(81);
    clock.advance(200);
    expect(lag.lagMs(80)).toBe(200);
  });
});
