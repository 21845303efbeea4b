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

export interface RetriesOptions {
  readonly limits?: RetryLimits | undefined;
  /** Is told what happened before the first wait, and when that changes; nobody is told when absent. */
  readonly say?: ((line: string) => void) | undefined;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Counts the failures of one piece of work and waits as the retry policy says. `progress` starts the patience anew.
 */
export class Retries {
  readonly #limits: RetryLimits;
  readonly #say: ((line: string) => void) | undefined;
  readonly #signal: AbortSignal | undefined;
  #saidReason: string | undefined;
  #startedAtMs = performance.now();
  #attempt = 0;
  #hadContact = false;

  constructor({ limits = defaultRetryLimits, say, signal }: RetriesOptions = {}) {
    this.#limits = limits;
    this.#say = say;
    this.#signal = signal;
  }

  progress(): void {
    this.#startedAtMs = performance.now();
    this.#attempt = 0;
    this.#hadContact = true;
  }

  /** Resolves when it is time to try again; rejects with `error` itself when that cannot help or patience ends. */
  async wait(error: unknown): Promise<void> {
    if (this.#signal?.aborted) throw error;
    this.#attempt += 1;
    const code = codeOf(error);
    const retryAfterSeconds = error instanceof StoreError ? error.retryAfterSeconds : undefined;
    const decision = decideRetry(
      { code, attempt: this.#attempt, retryAfterSeconds },
      Math.random(),
    );
    // The store tried its other nodes itself; what it says for good is for good.
    if (decision.action === 'never' || decision.action === 'other') throw error;
    // An administrator ends a recovery, not time.
    if (code === 'in-recovery') throw error;
    const isRefused = code === 'ECONNREFUSED' && !this.#hadContact;
    const patienceMs = isRefused ? this.#limits.refusedPatienceMs : this.#limits.patienceMs;
    const delayMs = Math.min(decision.delayMs, 5_000);
    const leftMs = patienceMs - (performance.now() - this.#startedAtMs);
    if (delayMs > leftMs) throw error;
    this.#tell(error, leftMs);
    await setTimeout(delayMs, undefined, this.#signal ? { signal: this.#signal } : {}).catch(() => {
      throw error;
    });
  }

  #tell(error: unknown, leftMs: number): void {
    const message = error instanceof Error ? error.message : String(error);
    // Counts and addresses differ from one try to the next: the reason is the same.
    const reason = message.replace(/\d+/g, '#');
    if (reason === this.#saidReason) return;
    this.#saidReason = reason;
    const seconds = Math.max(1, Math.round(leftMs / 1000));
    this.#say?.(`dfs: ${message.replace(/\.$/, '')}; trying again for up to ${seconds} s`);
  }
}
