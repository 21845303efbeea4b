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
  readonly logger?: Pick<Logger, 'info' | 'warn'>;
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
  /** A time that was trusted, and when that was by the monotonic clock. */
  #trusted: { readonly ms: number; readonly atMonotonicMs: number };
  #heldUntilMonotonicMs = Number.NEGATIVE_INFINITY;
  #aheadOfNodesMs = 0;

  constructor(clock: Clock, graceMs: number, others: OtherClocks = {}) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#others = others;
    this.#offsetMs = clock.now() - clock.monotonic();
    const newestRecordedMs = others.newestRecordedMs || clock.now();
    const aheadMs = clock.now() - newestRecordedMs;
    const isDoubted = aheadMs > aheadMaxMs;
    const ms = isDoubted ? newestRecordedMs : clock.now();
    this.#trusted = { ms, atMonotonicMs: clock.monotonic() };
    if (!isDoubted) return;
    // Also of a machine that was off for a night, so it is no warning.
    this.#hold('info', 'the clock is far ahead of the last time recorded', aheadMs);
  }

  /** Why nothing counts as old at the moment: undefined when the clock is trusted. `aheadOfNodesMs`: until that is over; else for `restMs`. */
  doubt(): { readonly aheadOfNodesMs: number } | { readonly restMs: number } | undefined {
    this.#look();
    if (this.#isAheadOfNodes) return { aheadOfNodesMs: this.#aheadOfNodesMs };
    const restMs = this.#heldUntilMonotonicMs - this.#clock.monotonic();
    return restMs > 0 ? { restMs } : undefined;
  }

  /**
   * The present, ms since 1970; while the clock is not trusted, the last time that was, plus what passed since. For what the next start compares its clock
   * with: a wrong time that was written down would be believed then.
   */
  trustedNowMs(): number {
    const { ms, atMonotonicMs } = this.#trusted;
    if (this.doubt()) return ms + this.#clock.monotonic() - atMonotonicMs;
    return this.#clock.now();
  }

  /**
   * What was last used before this time, ms since 1970, is old enough; 0 while the clock is not trusted. `graceMs`: a shorter time than usual.
   */
  endedBeforeMs(graceMs = this.#graceMs): number {
    if (this.doubt()) return 0;
    return this.#clock.now() - Math.min(graceMs, this.#graceMs);
  }

  get #isAheadOfNodes(): boolean {
    return this.#aheadOfNodesMs > aheadMaxMs;
  }

  #look(): void {
    const monotonicMs = this.#clock.monotonic();
    const offsetMs = this.#clock.now() - monotonicMs;
    const jumpedMs = offsetMs - this.#offsetMs;
    this.#offsetMs = offsetMs;
    if (Math.abs(jumpedMs) > jumpMs) this.#hold('warn', 'the clock was set', jumpedMs);
    this.#compareWithNodes();
    if (this.#isAheadOfNodes || monotonicMs < this.#heldUntilMonotonicMs) return;
    this.#trusted = { ms: this.#clock.now(), atMonotonicMs: monotonicMs };
  }

  #hold(level: 'info' | 'warn', reason: string, byMs: number): void {
    this.#heldUntilMonotonicMs = this.#clock.monotonic() + this.#graceMs;
    const forSeconds = Math.ceil(this.#graceMs / 1000);
    this.#others.logger?.[level](`${reason}: nothing expires for one grace time`, {
      bySeconds: Math.round(byMs / 1000),
      forSeconds,
    });
  }

  #compareWithNodes(): void {
    const wasAhead = this.#isAheadOfNodes;
    this.#aheadOfNodesMs = this.#others.aheadOfNodesMs?.() ?? 0;
    if (wasAhead || !this.#isAheadOfNodes) return;
    const bySeconds = Math.round(this.#aheadOfNodesMs / 1000);
    this.#others.logger?.warn(
      'the clock is far ahead of the nodes: nothing expires until they agree',
      { bySeconds },
    );
  }
}
