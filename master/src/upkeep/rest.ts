import { setTimeout as timeout } from 'node:timers/promises';
import type { Clock } from '@dfs/shared';

/** A transaction is followed by a rest as long as it took: half of the time belongs to others, however slow the database is. Ends when the signal aborts. */
export async function restAfter(
  clock: Clock,
  startedAtMs: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const tookMs = clock.monotonic() - startedAtMs;
  const options = { ref: false, ...(signal ? { signal } : {}) };
  await timeout(tookMs, undefined, options).catch(() => undefined);
}
