import type { Clock } from '@dfs/shared';

interface Sample {
  readonly number: number;
  readonly atMs: number;
}

/** Of each kind. */
const samplesMax = 300;

/** Remembers when the journal reached which number, so that it can be said how late a keeper is: what is recent exactly, what is long ago at growing distances. */
export class LagClock {
  readonly #clock: Clock;
  #recent: Sample[] = [];
  #old: Sample[] = [];
  #oldDistanceMs = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Called as the journal grows, not for each change. */
  reached(number: number): void {
    const newest = this.#recent.at(-1);
    if (number === newest?.number) return;
    // A restore ended with a lower number.
    if (newest && number < newest.number) this.forget(newest.number);
    this.#recent.push({ number, atMs: this.#clock.monotonic() });
    if (this.#recent.length > samplesMax) this.#age(this.#recent.shift() as Sample);
  }

  /** Nobody needs to know when these were reached. */
  forget(through: number): void {
    const isNeeded = ({ number }: Sample) => number > through;
    this.#old = this.#old.filter(isNeeded);
    this.#recent = this.#recent.filter(isNeeded);
    if (this.#old.length === 0) this.#oldDistanceMs = 1;
  }

  /** Since when, in ms, there is a change that a keeper of changes up to `number` lacks. */
  lagMs(number: number): number {
    const isMissed = (sample: Sample) => sample.number > number;
    const missed = this.#old.find(isMissed) ?? this.#recent.find(isMissed);
    return missed ? this.#clock.monotonic() - missed.atMs : 0;
  }

  #age(sample: Sample): void {
    const isFar = (from: Sample | undefined) =>
      from === undefined || sample.atMs - from.atMs >= this.#oldDistanceMs;
    if (isFar(this.#old.at(-1))) this.#old.push(sample);
    if (this.#old.length <= samplesMax) return;
    this.#old = this.#old.filter((_, at) => at % 2 === 0);
    const [first, second] = this.#old;
    this.#oldDistanceMs = first && second ? second.atMs - first.atMs : 1;
  }
}
