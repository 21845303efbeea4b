import type { StoreError } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { DropClock } from './drop-clock.ts';

/** The master's clock is wrong by an hour, and it is the one that counts. */
const masterAheadMs = 3_600_000;

let clock: FakeClock;
let drops: DropClock;
/** What the master's clock shows in truth. */
let masterNowMs: () => number;

beforeEach(() => {
  clock = new FakeClock();
  drops = new DropClock(clock);
  const startMs = clock.now() + masterAheadMs;
  const startMonotonicMs = clock.monotonic();
  masterNowMs = () => startMs + clock.monotonic() - startMonotonicMs;
});

function heartbeat({ roundTripMs = 0 }: { roundTripMs?: number } = {}): void {
  const asked = drops.moment();
  const answeredAtMs = masterNowMs();
  clock.advance(roundTripMs);
  drops.heard(answeredAtMs, asked);
}

function outcomeOf(expiresAtMs: number): string {
  try {
    drops.mustBeBefore(expiresAtMs);
    return 'allowed';
  } catch (error) {
    return (error as StoreError).kind;
  }
}

describe('the expiry of a drop', () => {
  it('is not decided before the master was heard', () => {
    expect(outcomeOf(Number.MAX_SAFE_INTEGER)).toBe('unavailable');
  });

  it("is in the master's clock, not in ours", () => {
    heartbeat();
    expect(outcomeOf(clock.now() + 30_000)).toBe('expired');
    expect(outcomeOf(masterNowMs() + 30_000)).toBe('allowed');
    expect(outcomeOf(masterNowMs() - 1)).toBe('expired');
  });

  it('passes while the process is stopped', () => {
    heartbeat();
    const expiresAtMs = masterNowMs() + 30_000;
    clock.advance(60_000);
    expect(outcomeOf(expiresAtMs)).toBe('expired');
  });

  it('never counts the way of the answer as time that is left', () => {
    heartbeat({ roundTripMs: 4_000 });
    expect(drops.masterNowMs()).toBeGreaterThanOrEqual(masterNowMs());
  });

  it.each([-86_400_000, -2_500, 2_500, 86_400_000])(
    'is not decided after the wall clock jumped by %i ms, until the next heartbeat',
    (jumpMs) => {
      heartbeat();
      clock.set(clock.now() + jumpMs);
      expect(outcomeOf(masterNowMs() + 30_000)).toBe('unavailable');
      heartbeat();
      expect(outcomeOf(masterNowMs() + 30_000)).toBe('allowed');
    },
  );

  it('is not decided by a machine that slept, whose monotonic clock slept too', () => {
    heartbeat();
    const expiresAtMs = masterNowMs() + 30_000;
    clock.set(clock.now() + 60_000);
    expect(outcomeOf(expiresAtMs)).toBe('unavailable');
  });
});
