import type { JournalRun, KeptSnapshot } from '@dfs/shared/cluster';

/** What of a segment matters to what may go. */
interface SegmentFacts {
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
  readonly runs: readonly JournalRun[];
}

export interface Position {
  readonly epoch: number;
  readonly last: number;
}

/** Where the journal goes on: after its newest record, or after its newest snapshot where that is newer. `segments` in order, `snapshots` the newest first. Pure. */
export function positionOf(
  segments: readonly SegmentFacts[],
  snapshots: readonly KeptSnapshot[],
): Position {
  const segment = segments.at(-1);
  const snapshot = snapshots[0];
  const ofRecords = segment ? { epoch: segment.epoch, last: segment.last } : nowhere;
  const ofSnapshot = snapshot ? { epoch: snapshot.epoch, last: snapshot.from } : nowhere;
  const isSnapshotNewer =
    ofSnapshot.epoch > ofRecords.epoch ||
    (ofSnapshot.epoch === ofRecords.epoch && ofSnapshot.last > ofRecords.last);
  return isSnapshotNewer ? ofSnapshot : ofRecords;
}

const nowhere: Position = { epoch: 0, last: 0 };

/** The records that count: those of an older epoch end before the first of a newer one. Runs that follow one another in one epoch are one. Pure. */
export function effectiveRuns(segments: readonly SegmentFacts[]): JournalRun[] {
  const runs: JournalRun[] = [];
  for (const segment of segments) {
    const newer = segments.filter(({ epoch }) => epoch > segment.epoch);
    const through = Math.min(...newer.map(({ first }) => first - 1), segment.last);
    for (const run of segment.runs) {
      if (run.first > through) continue;
      const last = Math.min(run.last, through);
      const before = runs.at(-1);
      if (before?.epoch === run.epoch && before.last + 1 === run.first) {
        runs[runs.length - 1] = { ...before, last };
      } else {
        runs.push({ ...run, last });
      }
    }
  }
  return runs;
}

/** A snapshot can be used once all records are there that its rows may show already, of its own epoch. Pure. */
export function isUsable(snapshot: KeptSnapshot, runs: readonly JournalRun[]): boolean {
  const { epoch, from, to } = snapshot;
  return (
    to <= from || runs.some((run) => run.epoch === epoch && run.first <= from + 1 && run.last >= to)
  );
}

/**
 * What the newest snapshot that can be used makes superfluous: older snapshots, records that it covers, and those of older epochs. A newer snapshot whose records are
 * still on their way stays beside it. Pure.
 */
export function coveredBy<Segment extends SegmentFacts>(
  segments: readonly Segment[],
  snapshots: readonly KeptSnapshot[],
): { readonly segments: Segment[]; readonly snapshots: KeptSnapshot[] } {
  const runs = effectiveRuns(segments);
  const base = snapshots.find((snapshot) => isUsable(snapshot, runs));
  if (!base) return { segments: [], snapshots: snapshots.slice(1) };
  return {
    segments: segments.filter(
      ({ epoch, last }) => epoch < base.epoch || (epoch === base.epoch && last <= base.from),
    ),
    snapshots: snapshots.filter((snapshot, at) => at > 0 && snapshot !== base),
  };
}
