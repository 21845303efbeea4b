import { setTimeout } from 'node:timers/promises';
import { decideRetry, StoreError } from '@dfs/shared';

export interface RetryLimits {
  /** How long to go on without success, ms. */
  readonly patienceMs: number;
  /** The same while nothing at all listens at the address: a store that is not running is said soon. */
  readonly refusedPatienceMs: number;
}

export const defaultRetryLimits: RetryLimits = { patienceMs: 60_000, refusedPatienceMs: 3_000 };

/** The code by which the retry policy judges an error: the network's where there is one, else the kind. */
export function codeOf(error: unknown): string {
  if (!(error instanceof StoreError)) return (error as NodeJS.ErrnoException).code ?? 'internal';
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code;
  return typeof code === 'string' && code.startsWith('E') ? code : error.kind;
}

/**
 * Counts the failures of one piece of work and waits as the retry policy says. `progress` starts the patience anew.
 */
export class Retries {
  readonly #limits: RetryLimits;
  #startedAtMs = performance.now();
  #attempt = 0;
  #hadContact = false;

  constructor(limits: RetryLimits = defaultRetryLimits) {
    this.#limits = limits;
  }

  progress(): void {
    this.#startedAtMs = performance.now();
    this.#attempt = 0;
    this.#hadContact = true;
  }

  /** Resolves when it is time to try again; rejects with `error` itself when that cannot help or patience ends. */
  async wait(error: unknown): Promise<void> {
    this.#attempt += 1;
    const code = codeOf(error);
    const retryAfterSeconds = error instanceof StoreError ? error.retryAfterSeconds : undefined;
    const decision = decideRetry(
      { code, attempt: this.#attempt, retryAfterSeconds },
      Math.random(),
    );
    // The store tried its other nodes itself; what it says for good is for good.
    if (decision.action === 'never' || decision.action === 'other') throw error;
    const isRefused = code === 'ECONNREFUSED' && !this.#hadContact;
    const patienceMs = isRefused ? this.#limits.refusedPatienceMs : this.#limits.patienceMs;
    const delayMs = Math.min(decision.delayMs, 5_000);
    if (performance.now() - this.#startedAtMs + delayMs > patienceMs) throw error;
    await setTimeout(delayMs);
  }
}
