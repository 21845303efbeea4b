import type { ReplicationJob } from '@dfs/shared';

/**
 * Does one job. What it resolves for is over, well or because it is better left to the repair loop; it rejects with what made the job fail.
 * When `signal` aborts, the job is not this process's any more: it ends soon.
 */
export type JobHandler = (job: ReplicationJob, signal: AbortSignal) => Promise<void>;

/**
 * Where replication jobs come from. It may lose jobs and may give one twice, both are harmless; it survives that its other end goes away and comes back.
 * `describeJobSource` proves these promises.
 */
export interface JobSource {
  /** Gives jobs to the handler, many at a time. Resolves when the source was closed; called once. */
  run(handler: JobHandler): Promise<void>;
  /**
   * Takes no new jobs, lets running ones end for a while, then aborts their signals. Resolves when none runs any more. Jobs that did not end are
   * given out again, to another worker or later.
   */
  close(): Promise<void>;
}
