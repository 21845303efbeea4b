import { StoreError } from '@dfs/shared';
import { restoreHint } from '../cluster/recovery.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';

/** Rejects with `in-recovery` while the master may not serve. */
export function mustServe({ nodes }: Pick<FileServiceDependencies, 'nodes'>): void {
  const reason = nodes.recovery();
  if (reason === undefined) return;
  throw new StoreError('in-recovery', reason, {
    hint: restoreHint,
    retryAfterSeconds: 30,
  });
}

/**
 * Rejects as `mustServe`, and with `unavailable` until a node has confirmed the database: what an old one is told to forget may be a file that it does not know.
 */
export function mustServeChanges({ nodes }: Pick<FileServiceDependencies, 'nodes'>): void {
  mustServe({ nodes });
  if (nodes.isConfirmed()) return;
  throw new StoreError('unavailable', 'No storage node has reported since the master started.', {
    hint: 'Nothing was changed. Start the nodes, and try again.',
    retryAfterSeconds: 1,
  });
}
