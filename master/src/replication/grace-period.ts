import type { Clock } from '@dfs/shared';

/** Wall clock and monotonic clock drift apart slowly by themselves; more than this between two looks is a jump. */
const jumpMs = 5_000;

/**
 * How long something must lie unused before it is collected, safe against a wall clock that is set: after a jump a whole period passes, measured by the
 * monotonic clock, before anything counts as old.
 */
export class GracePeriod {
  readonly #clock: Clock;
  readonly #graceMs: number;
  #offsetMs: number;
  #heldUntilMonotonicMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#offsetMs = clock.now() - clock.monotonic();
  }

  /**
   * What was last used before this time, ms since 1970, is old enough; 0 while a jump of the clock is waited out. `graceMs`: a shorter time than usual.
   */
  endedBeforeMs(graceMs = this.#graceMs): number {
    const monotonicMs = this.#clock.monotonic();
    const offsetMs = this.#clock.now() - monotonicMs;
    if (Math.abs(offsetMs - this.#offsetMs) > jumpMs) {
      this.#heldUntilMonotonicMs = monotonicMs + this.#graceMs;
    }
    this.#offsetMs = offsetMs;
    if (monotonicMs < this.#heldUntilMonotonicMs) return 0;
    return this.#clock.now() - Math.min(graceMs, this.#graceMs);
  }
}
