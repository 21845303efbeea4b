import type { Clock } from '../clock.ts';

/** A clock that moves only when told to. */
export class FakeClock implements Clock {
  #nowMs: number;
  #monotonicMs = 1_000;

  /** `startMs`: wall-clock time at the beginning, ms since 1970. */
  constructor(startMs = Date.UTC(2030, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  /** Lets time pass. */
  advance(ms: number): void {
    this.#nowMs += ms;
    this.#monotonicMs += ms;
  }

  /** Sets the wall clock, as an operator or NTP does: the monotonic time does not jump with it. */
  set(nowMs: number): void {
    this.#nowMs = nowMs;
  }
}
