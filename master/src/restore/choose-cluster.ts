import { type ClusterId, StoreError } from '@dfs/shared';

export interface ClusterClaim {
  readonly who: string;
  readonly clusterId: ClusterId;
}

/** The one cluster that everything belongs to, or the one that was asked for. Rejects with `conflict` and a list of them when there are several, `not-found` when the one asked for is not among them. Pure. */
export function chooseCluster(
  claims: readonly ClusterClaim[],
  asked: ClusterId | undefined,
): ClusterId | undefined {
  const clusters = new Map<ClusterId, string[]>();
  for (const { who, clusterId } of claims) {
    clusters.set(clusterId, [...(clusters.get(clusterId) ?? []), who]);
  }
  const list = [...clusters].map(([id, members]) => `${id} (${members.join(', ')})`).join('; ');
  if (asked !== undefined) {
    if (clusters.has(asked)) return asked;
    throw new StoreError('not-found', `Nothing of the cluster ${asked} was found.`, {
      hint: list === '' ? 'Start its storage nodes.' : `What was found: ${list}.`,
    });
  }
  if (clusters.size <= 1) return [...clusters.keys()][0];
  throw new StoreError('conflict', `Several clusters were found: ${list}.`, {
    hint: 'Say which one this database is for: dfs restore --cluster <id>.',
  });
}
