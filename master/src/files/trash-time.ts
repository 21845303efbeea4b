import type { Clock } from '@dfs/shared';
import type { TrashTime } from '../metadata/tree-changes.ts';

/** Until when what is given up now can be brought back. */
export function trashUntil({
  clock,
  config,
}: {
  readonly clock: Clock;
  readonly config: { readonly trashTtlMs: number };
}): TrashTime {
  return config.trashTtlMs === 0 ? {} : { trashUntilMs: clock.now() + config.trashTtlMs };
}
