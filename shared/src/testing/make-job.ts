import { newBlobId, newNodeId } from '../ids.ts';
import type { ReplicationJob } from '../replication-job.ts';

/** A copy to be made, of a blob and between nodes that exist nowhere. */
export const makeJob = (overrides: Partial<ReplicationJob> = {}): ReplicationJob => ({
  blobId: newBlobId(),
  target: newNodeId(),
  sizeBytes: 4_096,
  md5: 'd41d8cd98f00b204e9800998ecf8427e',
  path: '/ordner/größe ✓.txt',
  sources: [newNodeId(), newNodeId()],
  ...overrides,
});
