import type { Clock } from '@dfs/shared';

/** What was not used is kept for so long. */
const keptMs = 2_000;

/** So many bytes per second and no more, on average. What is larger than the budget of the moment goes through, and the next ones wait for it. */
export class ByteBudget {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number | undefined;
  #availableBytes: number;
  #filledAtMs: number;

  /** `bytesPerSecond` undefined: no limit. */
  constructor(clock: Clock, bytesPerSecond: number | undefined) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
    this.#availableBytes = ((bytesPerSecond ?? 0) * keptMs) / 1_000;
    this.#filledAtMs = clock.monotonic();
  }

  /** False when nothing is left. */
  take(bytes: number): boolean {
    if (this.#bytesPerSecond === undefined) return true;
    this.#fill(this.#bytesPerSecond);
    if (this.#availableBytes <= 0) return false;
    this.#availableBytes -= bytes;
    return true;
  }

  #fill(bytesPerSecond: number): void {
    const now = this.#clock.monotonic();
    const gained = ((now - this.#filledAtMs) * bytesPerSecond) / 1_000;
    this.#filledAtMs = now;
    this.#availableBytes = Math.min(
      (bytesPerSecond * keptMs) / 1_000,
      this.#availableBytes + gained,
    );
  }
}
