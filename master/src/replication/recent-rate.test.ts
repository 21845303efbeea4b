import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { RecentRate, secondsFor } from './recent-rate.ts';

describe('the recent rate', () => {
  it('is that of the last half minute, and nothing after a pause', () => {
    const clock = new FakeClock();
    const rate = new RecentRate(clock);
    expect(rate.perSecond()).toEqual({ copies: 0, bytes: 0 });
    for (let second = 0; second < 60; second += 1) {
      rate.add({ copies: 2, bytes: second < 20 ? 1_000_000 : 100 });
      clock.advance(second === 59 ? 0 : 1_000);
    }
    expect(rate.perSecond()).toEqual({ copies: 2, bytes: 100 });
    clock.advance(31_000);
    expect(rate.perSecond()).toEqual({ copies: 0, bytes: 0 });
    rate.add({ copies: 1, bytes: 10 });
    expect(rate.perSecond()).toEqual({ copies: 1, bytes: 10 });
  });
});

describe('secondsFor', () => {
  it.each([
    ['nothing is left', { copies: 0, bytes: 0 }, { copies: 5, bytes: 5 }, 0],
    ['nothing was made lately', { copies: 1, bytes: 1 }, { copies: 0, bytes: 0 }, undefined],
    ['bytes decide', { copies: 3, bytes: 1_000 }, { copies: 100, bytes: 10 }, 100],
    ['all that is left is empty', { copies: 30, bytes: 0 }, { copies: 10, bytes: 0 }, 3],
    ['it is nearly done', { copies: 1, bytes: 1 }, { copies: 10, bytes: 1_000 }, 1],
  ])('when %s', (_case, left, rate, expected) => {
    expect(secondsFor(left, rate)).toBe(expected);
  });
});
