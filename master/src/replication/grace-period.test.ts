import { FakeClock, recordingLogger } from '@dfs/shared/testing';
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

  it.each([
    { name: 'two days ahead of the newest recorded time', days: 2, isHeld: true },
    { name: 'a minute ahead of it', days: 1 / 1440, isHeld: false },
    { name: 'behind it', days: -2, isHeld: false },
  ])('of a start with a clock $name', ({ days, isHeld }) => {
    const clock = new FakeClock();
    const { logger, lines } = recordingLogger();
    const newestRecordedMs = clock.now() - days * 86_400_000;
    const grace = new GracePeriod(clock, graceMs, { newestRecordedMs, logger });
    expect(grace.endedBeforeMs() === 0).toBe(isHeld);
    clock.advance(graceMs - 1);
    expect(grace.endedBeforeMs() === 0).toBe(isHeld);
    clock.advance(1);
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
    expect(lines).toHaveLength(isHeld ? 1 : 0);
  });

  it('has no wrong time written down, so that a restart within the grace time is held, too', () => {
    const twoDaysMs = 2 * 86_400_000;
    const clock = new FakeClock();
    const rightMs = clock.now();
    clock.set(rightMs + twoDaysMs);
    let newestRecordedMs = rightMs;
    for (let start = 0; start < 3; start += 1) {
      const grace = new GracePeriod(clock, graceMs, { newestRecordedMs });
      clock.advance(120_000);
      expect(grace.endedBeforeMs()).toBe(0);
      newestRecordedMs = grace.trustedNowMs();
      expect(newestRecordedMs).toBe(rightMs + (start + 1) * 120_000);
    }
  });

  it('writes down the time before a jump until the grace time is over', () => {
    const clock = new FakeClock();
    const grace = new GracePeriod(clock, graceMs);
    clock.advance(10_000);
    const rightMs = grace.trustedNowMs();
    expect(rightMs).toBe(clock.now());
    clock.set(clock.now() + 86_400_000);
    clock.advance(5_000);
    expect(grace.trustedNowMs()).toBe(rightMs + 5_000);
    expect(grace.doubt()).toEqual({ restMs: graceMs });
    clock.advance(graceMs);
    expect(grace.doubt()).toBeUndefined();
    expect(grace.trustedNowMs()).toBe(clock.now());
  });

  it('trusts the clock of a first start, of which nothing is recorded', () => {
    const clock = new FakeClock();
    const grace = new GracePeriod(clock, graceMs, { newestRecordedMs: 0 });
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
  });

  it('counts nothing as old for as long as the clock is far ahead of the nodes, with one line', () => {
    const clock = new FakeClock();
    const { logger, lines } = recordingLogger();
    let aheadMs = 2 * 86_400_000;
    const grace = new GracePeriod(clock, graceMs, { aheadOfNodesMs: () => aheadMs, logger });
    for (let i = 0; i < 10; i += 1) {
      expect(grace.endedBeforeMs()).toBe(0);
      clock.advance(graceMs);
    }
    expect(lines).toHaveLength(1);
    expect(grace.doubt()).toEqual({ aheadOfNodesMs: aheadMs });
    aheadMs = 1_000;
    expect(grace.endedBeforeMs()).toBe(clock.now() - graceMs);
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
