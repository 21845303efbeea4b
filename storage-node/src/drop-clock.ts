import { type Clock, StoreError } from '@dfs/shared';

/**
 * More difference between the two clocks than this means that one of them stood still or jumped.
 */
const driftMaxMs = 2_000;

interface Heard {
  readonly masterTimeMs: number;
  /** This node's clocks when the question left. */
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/**
 * The master's time as this node may assume it, for the expiry of drops: learnt from heartbeats,
 * carried on by the monotonic clock. It errs on the late side only, so that no drop is carried out
 * after its expiry. A process that was stopped sees time pass; a machine that slept may not (its
 * monotonic clock slept too), so the wall clock must agree.
 */
export class DropClock {
  readonly #clock: Clock;
  #heard: Heard | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What a question to the master must remember: take it before asking. */
  moment(): Omit<Heard, 'masterTimeMs'> {
    return { monotonicMs: this.#clock.monotonic(), wallMs: this.#clock.now() };
  }

  /** `asked` is the moment before the question: the master's answer cannot be older. */
  heard(masterTimeMs: number, asked: Omit<Heard, 'masterTimeMs'>): void {
    this.#heard = { masterTimeMs, ...asked };
  }

  /** The master's time, ms since 1970, or undefined when it is not known. */
  masterNowMs(): number | undefined {
    if (this.#heard === undefined) return undefined;
    const { masterTimeMs, monotonicMs, wallMs } = this.#heard;
    const passedMs = this.#clock.monotonic() - monotonicMs;
    const drift = Math.abs(this.#clock.now() - wallMs - passedMs);
    return drift > driftMaxMs ? undefined : masterTimeMs + passedMs;
  }

  /**
   * Rejects with `expired` after that time of the master, and with `unavailable` when its time is
   * not known.
   */
  mustBeBefore(expiresAtMs: number): void {
    const nowMs = this.masterNowMs();
    if (nowMs === undefined) {
      throw new StoreError(
        'unavailable',
        "This node does not know the master's time at the moment.",
        {
          hint: 'It learns it with its next heartbeat.',
          retryAfterSeconds: 3,
        },
      );
    }
    if (nowMs > expiresAtMs) {
      throw new StoreError(
        'expired',
        `The drop came ${Math.ceil(nowMs - expiresAtMs)} ms too late.`,
      );
    }
  }
}
