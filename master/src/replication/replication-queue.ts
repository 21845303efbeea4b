import type { ReplicationJob } from '@dfs/shared';

/**
 * Carries hints to the replicator. Whatever it loses, the repair loop finds again, so it may lose everything and may deliver twice;
 * it must never block or fail an upload.
 */
export interface ReplicationQueue {
  /** Resolves once the jobs are handed over. A job whose id is waiting or running already is ignored. Rejects with `unavailable`. */
  enqueue(jobs: readonly ReplicationJob[]): Promise<void>;
  /** Jobs waiting or running as far as known. */
  outstanding(): Promise<number>;
  close(): Promise<void>;
}
