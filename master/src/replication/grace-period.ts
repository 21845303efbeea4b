import type { Clock } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';

/** Wall clock and monotonic clock drift apart slowly by themselves; more than this between two looks is a jump. */
const jumpMs = 5_000;
/** So far the clock may be ahead of what else tells the time before it is doubted, ms. */
const aheadMaxMs = 10 * 60_000;

/** What else tells the time. */
export interface OtherClocks {
  /** The newest time that was recorded before this start, ms since 1970; undefined or 0: none was. */
  readonly newestRecordedMs?: number;
  /** By how much this clock is ahead of most nodes' clocks, ms; undefined while no node told its time. */
  readonly aheadOfNodesMs?: () => number | undefined;
  readonly logger?: Pick<Logger, 'warn'>;
}

/**
 * How long something must lie unused before it is collected, safe against a wall clock that is wrong. A whole period passes, measured by the monotonic clock,
 * before anything counts as old: after a jump, and after a start with a clock far ahead of the newest time that was recorded before. Nothing counts as old
 * while the clock is far ahead of most nodes' clocks.
 */
export class GracePeriod {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #others: OtherClocks;
  #offsetMs: number;
  #heldUntilMonotonicMs = Number.NEGATIVE_INFINITY;
  #isAheadOfNodes = false;

  constructor(clock: Clock, graceMs: number, others: OtherClocks = {}) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#others = others;
    this.#offsetMs = clock.now() - clock.monotonic();
    const aheadMs = clock.now() - (others.newestRecordedMs || clock.now());
    if (aheadMs <= aheadMaxMs) return;
    this.#hold('the clock is far ahead of the last time recorded', aheadMs);
  }

  /**
   * What was last used before this time, ms since 1970, is old enough; 0 while the clock is not trusted. `graceMs`: a shorter time than usual.
   */
  endedBeforeMs(graceMs = this.#graceMs): number {
    const monotonicMs = this.#clock.monotonic();
    const offsetMs = this.#clock.now() - monotonicMs;
    const jumpedMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (Math.abs(jumpedMs) > jumpMs) this.#hold('the clock was set', jumpedMs);
    this.#compareWithNodes();
    if (this.#isAheadOfNodes || monotonicMs < this.#heldUntilMonotonicMs) return 0;
    return this.#clock.now() - Math.min(graceMs, this.#graceMs);
  }

  #hold(reason: string, byMs: number): void {
    this.#heldUntilMonotonicMs = this.#clock.monotonic() + this.#graceMs;
    const forSeconds = Math.ceil(this.#graceMs / 1000);
    this.#others.logger?.warn(`${reason}: nothing expires for one grace time`, {
      bySeconds: Math.round(byMs / 1000),
      forSeconds,
    });
  }

  #compareWithNodes(): void {
    const aheadMs = this.#others.aheadOfNodesMs?.() ?? 0;
    const isAhead = aheadMs > aheadMaxMs;
    if (isAhead && !this.#isAheadOfNodes) {
      this.#others.logger?.warn(
        'the clock is far ahead of the nodes: nothing expires until they agree',
        {
          bySeconds: Math.round(aheadMs / 1000),
        },
      );
    }
    this.#isAheadOfNodes = isAhead;
  }
}
