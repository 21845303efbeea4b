import type { Entry } from './metadata-repository.ts';

/** Whether the last entry of a chain that begins at the root is public: the nearest one that does not inherit tells; by default it is not. */
export const isPublicAt = (chain: readonly Entry[]): boolean =>
  chain.findLast((entry) => entry.visibility !== 'inherit')?.visibility === 'public';
