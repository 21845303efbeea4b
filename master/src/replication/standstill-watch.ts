import type { Clock } from '@dfs/shared';

const tickEveryMs = 500;
/** Two ticks further apart than this: the process stood still (suspended, a slept laptop). */
const gapMaxMs = 2_000;

/** Notices that this process stood still, after which nothing that it remembers of others says how they are now. */
export class StandstillWatch {
  readonly #clock: Clock;
  #tickedAtMs: number;
  #stoodStill = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#tickedAtMs = clock.monotonic();
  }

  start(): void {
    this.#tickedAtMs = this.#clock.monotonic();
    this.#timer = setInterval(() => this.tick(), tickEveryMs);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Called by a timer; a test calls it while it moves its clock. */
  tick(): void {
    const now = this.#clock.monotonic();
    if (now - this.#tickedAtMs > gapMaxMs) this.#stoodStill = true;
    this.#tickedAtMs = now;
  }

  /** True once after each standstill. */
  takeStandstill(): boolean {
    this.tick();
    const stoodStill = this.#stoodStill;
    this.#stoodStill = false;
    return stoodStill;
  }
}
