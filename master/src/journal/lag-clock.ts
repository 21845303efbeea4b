import type { Clock } from '@dfs/shared';

const samplesMax = 600;

/** Remembers when the journal reached which number, so that it can be said how late a keeper is. */
export class LagClock {
  readonly #clock: Clock;
  #samples: { readonly number: number; readonly atMs: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Called as the journal grows, not for each change. */
  reached(number: number): void {
    const newest = this.#samples.at(-1);
    if (newest && number === newest.number) return;
    // A restore ended with a lower number.
    if (newest && number < newest.number) this.#samples = [];
    this.#samples.push({ number, atMs: this.#clock.monotonic() });
    // Every other one of the older half: the longer ago, the less does it matter when exactly.
    if (this.#samples.length > samplesMax) {
      this.#samples = this.#samples.filter((_, at) => at % 2 === 0 || at > samplesMax / 2);
    }
  }

  /** Nobody needs to know when these were reached. */
  forget(through: number): void {
    const firstKept = this.#samples.findIndex(({ number }) => number > through);
    this.#samples.splice(0, firstKept < 0 ? this.#samples.length : firstKept);
  }

  /** Since when, in ms, there is a change that a keeper of changes up to `number` lacks. */
  lagMs(number: number): number {
    const missed = this.#samples.find((sample) => sample.number > number);
    return missed ? this.#clock.monotonic() - missed.atMs : 0;
  }
}
