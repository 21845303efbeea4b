import type { Front } from '../http/front.ts';

export interface Readiness {
  readonly ready: boolean;
  /** Why not, in sentences. */
  readonly reasons: readonly string[];
}

/** `GET /readyz`: whether the master can take and give files. Never rejects. */
export async function readinessOf({
  metadata,
  nodes,
}: Pick<Front, 'metadata' | 'nodes'>): Promise<Readiness> {
  const reasons: string[] = [];
  const isDatabaseOpen = await metadata.isEmpty().then(
    () => true,
    () => false,
  );
  if (!isDatabaseOpen) reasons.push('The database does not answer.');
  if (nodes.recovery() !== undefined) {
    reasons.push('The master is in recovery: run "dfs restore", or bring back its database.');
  }
  const takesWrites = nodes.snapshots().some((node) => node.state === 'up' && node.freeBytes > 0);
  if (!takesWrites) reasons.push('No storage node takes writes.');
  return { ready: reasons.length === 0, reasons };
}
