import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { GracePeriod } from './grace-period.ts';
import { StandstillWatch } from './standstill-watch.ts';

const graceMs = 900_000;

describe('GracePeriod', () => {
  it('ends a grace time before now', () => {
    const clock = new FakeClock();
    const grace = new GracePeriod(clock, graceMs);
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
    clock.advance(60_000);
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
  });

  it.each([
    { name: 'forward', byMs: 3_600_000 },
    { name: 'back', byMs: -3_600_000 },
  ])('counts nothing as old for a whole grace time after the clock was set $name', ({ byMs }) => {
    const clock = new FakeClock();
    const grace = new GracePeriod(clock, graceMs);
    clock.advance(10_000);
    clock.set(clock.now() + byMs);
    expect(grace.endedBeforeMs()).toBe(0);
    clock.advance(graceMs - 1);
    expect(grace.endedBeforeMs()).toBe(0);
    clock.advance(1);
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
  });

  it('follows a clock that is slewed a little at a time', () => {
    const clock = new FakeClock();
    const grace = new GracePeriod(clock, graceMs);
    for (let i = 0; i < 100; i += 1) {
      clock.advance(10_000);
      clock.set(clock.now() + 500);
      expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
    }
  });
});

describe('StandstillWatch', () => {
  it('notices a gap between two ticks, once', () => {
    const clock = new FakeClock();
    const watch = new StandstillWatch(clock);
    clock.advance(2_001);
    expect(watch.takeStandstill()).toBe(true);
    expect(watch.takeStandstill()).toBe(false);
  });

  it('notices a gap that a tick has seen in between', () => {
    const clock = new FakeClock();
    const watch = new StandstillWatch(clock);
    clock.advance(60_000);
    watch.tick();
    clock.advance(500);
    expect(watch.takeStandstill()).toBe(true);
  });

  it('is content with ticks that come a little late', () => {
    const clock = new FakeClock();
    const watch = new StandstillWatch(clock);
    for (let i = 0; i < 10; i += 1) {
      clock.advance(2_000);
      watch.tick();
    }
    expect(watch.takeStandstill()).toBe(false);
  });

  it('does not take a clock that was set for a standstill', () => {
    const clock = new FakeClock();
    const watch = new StandstillWatch(clock);
    clock.set(clock.now() + 3_600_000);
    expect(watch.takeStandstill()).toBe(false);
  });
});
