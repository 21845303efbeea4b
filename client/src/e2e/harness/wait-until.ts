import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** Generous: it only bounds how long a failure takes to show. */
  readonly withinMs?: number;
  readonly everyMs?: number;
}

/** Thrown by a `look` that knows that waiting is useless. */
export class InVain extends Error {}

type Truthy<T> = Exclude<T, false | null | undefined | 0 | ''>;

/**
 * Looks again and again until `look` gives something true, and gives that. A `look` that throws is looked at again, too,
 * unless it throws `InVain`. Rejects after
 * `withinMs` (30 s by default) with what was waited for and the last failure.
 */
export async function waitUntil<T>(
  what: string,
  look: () => T | Promise<T>,
  { withinMs = 30_000, everyMs = 50 }: WaitOptions = {},
): Promise<Truthy<T>> {
  const startedAtMs = performance.now();
  let failure: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found) return found as Truthy<T>;
      failure = undefined;
    } catch (error) {
      if (error instanceof InVain) throw error;
      failure = error;
    }
    if (performance.now() - startedAtMs > withinMs) {
      const why = failure instanceof Error ? ` (${failure.message})` : '';
      throw new Error(`Waited ${withinMs / 1000} s in vain: ${what}${why}.`, { cause: failure });
    }
    await delay(everyMs);
  }
}
