import type { NodeId, NodeStatus } from '@dfs/shared';
import type { JournalKeeper, JournalStatus } from '@dfs/shared/cluster';
import type { NodeStore } from '../cluster/node-directory.ts';

/** A node that can be asked, although it may not be part of the cluster yet. */
export interface RestoreSource {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly store: Pick<NodeStore, 'open' | 'inventory'>;
  readonly journal: Pick<JournalKeeper, 'journalStatus' | 'readRecords' | 'openSnapshot'>;
  status(signal?: AbortSignal): Promise<NodeStatus>;
  close(): Promise<void>;
}

/** A node that answered. */
export interface ReachedSource extends RestoreSource {
  readonly nodeStatus: NodeStatus;
  readonly journalStatus: JournalStatus;
}

export interface MissedSource {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly problem: string;
}

const answerWithinMs = 10_000;

/** Asks every node what it is and what it keeps of the journal. */
export async function reachSources(sources: readonly RestoreSource[]): Promise<{
  readonly reached: readonly ReachedSource[];
  readonly missed: readonly MissedSource[];
}> {
  const reached: ReachedSource[] = [];
  const missed: MissedSource[] = [];
  await Promise.all(
    sources.map(async (source) => {
      const { id, name, url } = source;
      try {
        const signal = AbortSignal.timeout(answerWithinMs);
        const nodeStatus = await source.status(signal);
        const journalStatus = await source.journal.journalStatus(signal);
        reached.push({
          ...source,
          status: (given) => source.status(given),
          close: () => source.close(),
          nodeStatus,
          journalStatus,
        });
      } catch (error) {
        missed.push({ id, name, url, problem: (error as Error).message });
      }
    }),
  );
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  return { reached: reached.sort(byName), missed: missed.sort(byName) };
}
