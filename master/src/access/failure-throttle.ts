import { isIPv6 } from 'node:net';
import { type Clock, StoreError } from '@dfs/shared';

/** An address may fail so often at once, and once more after each of these times. */
const failuresAtOnce = 10;
const oneMoreAfterMs = 6_000;
const addressesMax = 10_000;
const toldEveryMs = 60_000;

interface Failures {
  /** Failures that are left at `atMs`. */
  left: number;
  atMs: number;
  toldAtMs: number | undefined;
}

/**
 * Limits how often an address may send a wrong key: above it, it is refused before anything is compared, whether its next key is right or not. Of this machine's own
 * addresses nobody is kept out: those who share it, a proxy that nobody said to trust too, could lock each other out, and who is here can do worse than guess.
 */
export class FailureThrottle {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By address, the one that failed longest ago first. */
  readonly #failures = new Map<string, Failures>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** Rejects with `too-many-requests` while the address has failed too often. */
  check(address: string): void {
    const failures = this.#failures.get(placeOf(address));
    if (!failures || isThisMachine(address)) return;
    const left = leftAt(failures, this.#clock.monotonic());
    if (left >= 1) return;
    throw new StoreError('too-many-requests', 'Too many wrong keys came from this address.', {
      hint: 'Wait, then send the right key.',
      retryAfterSeconds: Math.ceil(((1 - left) * oneMoreAfterMs) / 1_000),
    });
  }

  /** Counts a failure. True when it should be told: once a minute for each address. */
  failed(address: string): boolean {
    const place = placeOf(address);
    const now = this.#clock.monotonic();
    const known = this.#failures.get(place);
    const left = known === undefined ? failuresAtOnce : leftAt(known, now);
    const mustTell = known?.toldAtMs === undefined || now - known.toldAtMs >= toldEveryMs;
    this.#failures.delete(place);
    this.#failures.set(place, {
      left: Math.max(0, left - 1),
      atMs: now,
      toldAtMs: mustTell ? now : known.toldAtMs,
    });
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > addressesMax && oldest !== undefined) this.#failures.delete(oldest);
    return mustTell;
  }
}

const leftAt = ({ left, atMs }: Failures, nowMs: number) =>
  Math.min(failuresAtOnce, left + (nowMs - atMs) / oneMoreAfterMs);

const isThisMachine = (address: string) => address === '::1' || /^127\.\d/.test(address);

/** Who has an IPv6 address has the 2^64 others of its network, too. `address` is in its canonical form. */
function placeOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  if (tail === undefined) return before.slice(0, 4).join(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
