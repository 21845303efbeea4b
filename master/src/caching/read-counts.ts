import type { Clock, FileId } from '@dfs/shared';

/** A minute is counted in slots, so that old reads go a slot at a time. */
const slotMs = 10_000;
const slotsPerMinute = 6;
const defaultFilesMax = 10_000;

export interface FileRate {
  readonly fileId: FileId;
  readonly readsPerMinute: number;
}

interface Counter {
  /** Reads by slot, in a ring. */
  readonly slots: number[];
  /** Number of the newest slot since the clock began. */
  newest: number;
}

/**
 * How often each file was read within the last minute. Remembers so many files at most; the one whose last read lies back farthest is forgotten first, so that a
 * walk over many files does not push out those that are read all the time.
 */
export class ReadCounts {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #filesMax: number;
  /** In order of the last read. */
  readonly #counters = new Map<FileId, Counter>();

  constructor({
    clock,
    filesMax = defaultFilesMax,
  }: { readonly clock: Pick<Clock, 'monotonic'>; readonly filesMax?: number }) {
    this.#clock = clock;
    this.#filesMax = filesMax;
  }

  /** Notes reads of now. */
  add(fileId: FileId, reads = 1): void {
    const now = this.#slotNow();
    let counter = this.#counters.get(fileId);
    if (counter) this.#counters.delete(fileId);
    else counter = { slots: Array<number>(slotsPerMinute).fill(0), newest: now };
    this.#counters.set(fileId, counter);
    advance(counter, now);
    const index = now % slotsPerMinute;
    counter.slots[index] = (counter.slots[index] ?? 0) + reads;
    if (this.#counters.size <= this.#filesMax) return;
    for (const oldest of this.#counters.keys()) {
      this.#counters.delete(oldest);
      return;
    }
  }

  /** Reads within the last minute, to the slot: those of its first ten seconds may have gone. */
  perMinute(fileId: FileId): number {
    const counter = this.#counters.get(fileId);
    return counter ? sumOf(counter, this.#slotNow()) : 0;
  }

  /** Files with more reads than that within the last minute, the most read first, at most `limit`. */
  above(readsPerMinute: number, limit: number): readonly FileRate[] {
    const now = this.#slotNow();
    const rates: FileRate[] = [];
    for (const [fileId, counter] of this.#counters) {
      const reads = sumOf(counter, now);
      if (reads > readsPerMinute) rates.push({ fileId, readsPerMinute: reads });
    }
    return rates.sort((a, b) => b.readsPerMinute - a.readsPerMinute).slice(0, limit);
  }

  #slotNow(): number {
    return Math.floor(this.#clock.monotonic() / slotMs);
  }
}

/** Empties the slots of times in which nothing was read. */
function advance(counter: Counter, now: number): void {
  const steps = Math.min(slotsPerMinute, now - counter.newest);
  for (let step = 0; step < steps; step += 1) counter.slots[(now - step) % slotsPerMinute] = 0;
  counter.newest = Math.max(counter.newest, now);
}

function sumOf({ slots, newest }: Counter, now: number): number {
  let sum = 0;
  // Slots older than a minute still hold their counts until the next read.
  for (let slot = Math.max(0, now - slotsPerMinute + 1); slot <= newest; slot += 1)
    sum += slots[slot % slotsPerMinute] ?? 0;
  return sum;
}
