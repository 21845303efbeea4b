import type { Clock } from '@dfs/shared';

const slotMs = 1_000;
const slots = 30;

interface Amount {
  readonly copies: number;
  readonly bytes: number;
}

interface Slot {
  readonly number: number;
  copies: number;
  bytes: number;
}

/** How many copies and bytes were made per second lately. */
export class RecentRate {
  readonly #clock: Clock;
  #slots: Slot[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add({ copies, bytes }: Amount): void {
    const number = this.#now();
    let slot = this.#slots.at(-1);
    if (slot?.number !== number) {
      slot = { number, copies: 0, bytes: 0 };
      this.#slots.push(slot);
      this.#forget(number);
    }
    slot.copies += copies;
    slot.bytes += bytes;
  }

  /** Over the last half minute, or since it began after a pause. */
  perSecond(): Amount {
    const now = this.#now();
    this.#forget(now);
    const [first] = this.#slots;
    if (!first) return { copies: 0, bytes: 0 };
    const seconds = ((now - first.number + 1) * slotMs) / 1_000;
    const sum = (of: (slot: Slot) => number) =>
      this.#slots.reduce((total, slot) => total + of(slot), 0) / seconds;
    return { copies: sum((slot) => slot.copies), bytes: sum((slot) => slot.bytes) };
  }

  #now(): number {
    return Math.floor(this.#clock.monotonic() / slotMs);
  }

  #forget(now: number): void {
    this.#slots = this.#slots.filter((slot) => slot.number > now - slots);
  }
}

/** Seconds until so much is made at this rate; undefined when nothing was made lately. Bytes decide for large blobs, their number for small ones. Pure. */
export function secondsFor(left: Amount, perSecond: Amount): number | undefined {
  if (left.copies === 0) return 0;
  if (perSecond.copies <= 0) return undefined;
  const forBytes = perSecond.bytes > 0 ? left.bytes / perSecond.bytes : 0;
  // Few large copies left say little by their number.
  const forCopies = left.bytes > 0 && perSecond.bytes > 0 ? 0 : left.copies / perSecond.copies;
  return Math.max(1, Math.ceil(Math.max(forBytes, forCopies)));
}
