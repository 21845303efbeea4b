import type { ClusterId, Heartbeat } from '@dfs/shared';

export interface OwnCluster {
  readonly clusterId: ClusterId;
  readonly epoch: number;
  readonly journal: number;
  /** The database never held a file. */
  readonly isEmpty: boolean;
  /** A restore of the database began and did not end. */
  readonly isUnfinished: boolean;
  /** Why it is in recovery already. */
  readonly recovery?: string | undefined;
}

export type ClusterVerdict =
  | { readonly kind: 'fine' }
  | {
      readonly kind: 'wrong-cluster' | 'recovery';
      readonly message: string;
      readonly hint: string;
    };

/** What to do about a master in recovery. */
export const restoreHint =
  'Nothing was changed on any node. Run "dfs restore" to rebuild the database from the nodes, or stop the master and put back the database that belongs to them.';

/** Why a master with a half-restored database does not serve. */
export const unfinishedRestore =
  'A restore of the database began and did not end: run "dfs restore" again.';

/**
 * Whether a node belongs to this database. A node of another cluster is refused, unless this database is empty while the node holds blobs: then it is the
 * database that is missing, and the master must not serve, place or delete. The same when a node saw a later epoch or journal number of this cluster. Pure.
 */
export function judgeCluster(
  heartbeat: Pick<Heartbeat, 'clusterId' | 'epoch' | 'journal' | 'blobCount' | 'name'>,
  own: OwnCluster,
): ClusterVerdict {
  const { clusterId, epoch, journal, blobCount, name } = heartbeat;
  if (own.isUnfinished) return { kind: 'recovery', message: unfinishedRestore, hint: restoreHint };
  if (clusterId === undefined) {
    // A new disk would join the cluster that this database may not belong to.
    if (own.recovery === undefined) return { kind: 'fine' };
    return { kind: 'recovery', message: own.recovery, hint: restoreHint };
  }
  if (clusterId !== own.clusterId) {
    if (own.isEmpty && blobCount > 0) {
      return {
        kind: 'recovery',
        message: `The master's database is empty, but node ${name} holds ${blobCount} blobs of cluster ${clusterId}.`,
        hint: restoreHint,
      };
    }
    return {
      kind: 'wrong-cluster',
      message: `Node ${name} belongs to cluster ${clusterId}, this master to ${own.clusterId}.`,
      hint: 'Start the node with the data directory and the master address of one cluster.',
    };
  }
  if (epoch > own.epoch || (epoch === own.epoch && journal > own.journal)) {
    return {
      kind: 'recovery',
      message: `The master's database is older than its nodes: node ${name} saw epoch ${epoch}, change ${journal}; the database ends at epoch ${own.epoch}, change ${own.journal}.`,
      hint: restoreHint,
    };
  }
  return { kind: 'fine' };
}
