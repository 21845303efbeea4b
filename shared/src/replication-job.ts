import type { BlobId, NodeId } from './ids.ts';

export const replicationQueueName = 'dfs-replication';

/**
 * "This blob should be on this node." A hint derived from a committed row: it may be lost, late or run twice, and all three are
 * harmless. The facts are immutable but `sources`, which is a guess of the moment.
 */
export interface ReplicationJob {
  readonly blobId: BlobId;
  readonly target: NodeId;
  readonly sizeBytes: number;
  readonly md5: string;
  /** For log lines. */
  readonly path: string;
  /** Nodes that held a stored copy when the job was made, best first. */
  readonly sources: readonly NodeId[];
}

/** Same blob and target, same id: a queue keeps at most one. Holds no colon and is not all digits, as BullMQ requires. */
export const jobIdOf = (job: Pick<ReplicationJob, 'blobId' | 'target'>) =>
  `copy-${job.blobId}-${job.target}`;
