import type { NodeId } from '@dfs/shared';
import type { JournalRun, JournalStatus, KeptSnapshot } from '@dfs/shared/cluster';

/** What one node keeps of the journal. */
export interface KeptJournal {
  readonly nodeId: NodeId;
  readonly status: Pick<JournalStatus, 'runs' | 'snapshots'>;
}

export type JournalBase =
  /** The journal is there from its first record. */
  | { readonly kind: 'nothing'; readonly epoch: number; readonly from: 0; readonly to: 0 }
  | {
      readonly kind: 'snapshot';
      readonly epoch: number;
      readonly from: number;
      readonly to: number;
      /** Who keeps it. */
      readonly nodeIds: readonly NodeId[];
    }
  /** A backup that was given. */
  | {
      readonly kind: 'backup';
      readonly epoch: number;
      readonly from: number;
      readonly to: number;
    }
  /** The database as it is. */
  | {
      readonly kind: 'database';
      readonly epoch: number;
      readonly from: number;
      readonly to: number;
    };

/** Records of one node that count. */
export interface UsableRun extends JournalRun {
  readonly nodeId: NodeId;
}

export interface JournalPlan {
  /** Undefined: there is no journal at all. */
  readonly base: JournalBase | undefined;
  /** What may be read after the base; of one number all have the same epoch. */
  readonly runs: readonly UsableRun[];
  /** Number of the last record that follows without a gap. */
  readonly last: number;
  /** The base was taken while commits went on, and the records that make it right are not all there. */
  readonly isTorn: boolean;
  /** The highest epoch and, of it, the highest number that anyone keeps: beyond `last`, records cannot be reached. */
  readonly highest: { readonly epoch: number; readonly number: number };
}

/**
 * Where to begin and what to replay: the base of the highest epoch and number, and the longest run of records after it, merged over all nodes. For one number
 * the record of the highest epoch counts; records of an older epoch with a number at or above the first of a newer one are void, and so is a base that
 * may show them. A database or backup that is at hand is preferred when nothing reaches further. Pure.
 */
export function planJournal(
  kept: readonly KeptJournal[],
  own: readonly Extract<JournalBase, { kind: 'backup' | 'database' }>[] = [],
): JournalPlan {
  const firsts = firstOfEpochs(kept, own);
  const runs = usableRuns(kept, firsts);
  const highest = highestOf(kept, own);
  const bases: readonly JournalBase[] = [
    ...own,
    ...snapshotsOf(kept),
    { kind: 'nothing', epoch: 0, from: 0, to: 0 },
  ];
  const judged = bases
    .filter((base) => base.to < voidFrom(firsts, base.epoch))
    .map((base) => ({ base, last: reachFrom(runs, base.from) }))
    // Nothing at all is no base when no record follows.
    .filter(({ base, last }) => base.kind !== 'nothing' || last > 0);
  const usable = judged.filter(({ base, last }) => last >= base.to);
  const [best] = [...(usable.length > 0 ? usable : judged)].sort(
    (a, b) =>
      b.last - a.last ||
      handOf(b.base) - handOf(a.base) ||
      b.base.epoch - a.base.epoch ||
      b.base.from - a.base.from,
  );
  return {
    base: best?.base,
    runs,
    last: best?.last ?? 0,
    isTorn: best !== undefined && best.last < best.base.to,
    highest,
  };
}

/** What is at hand takes the least work and the fewest assumptions. */
const handOf = ({ kind }: JournalBase) => (kind === 'database' || kind === 'backup' ? 1 : 0);

/** The runs that hold this number, the longest first. */
export const runsAt = (runs: readonly UsableRun[], number: number): UsableRun[] =>
  runs.filter((run) => run.first <= number && run.last >= number).sort((a, b) => b.last - a.last);

function reachFrom(runs: readonly UsableRun[], from: number): number {
  let last = from;
  for (;;) {
    const [next] = runsAt(runs, last + 1);
    if (!next) return last;
    last = next.last;
  }
}

/** Of each epoch a number that its first record is not above. */
function firstOfEpochs(
  kept: readonly KeptJournal[],
  own: readonly JournalBase[],
): ReadonlyMap<number, number> {
  const firsts = new Map<number, number>();
  const note = (epoch: number, number: number) => {
    firsts.set(epoch, Math.min(firsts.get(epoch) ?? Number.POSITIVE_INFINITY, number));
  };
  for (const { status } of kept) {
    for (const run of status.runs) note(run.epoch, run.first);
    for (const snapshot of status.snapshots) note(snapshot.epoch, snapshot.from + 1);
  }
  for (const base of own) note(base.epoch, base.from + 1);
  return firsts;
}

/** From which number on records of this epoch are void. */
function voidFrom(firsts: ReadonlyMap<number, number>, epoch: number): number {
  const newer = [...firsts].filter(([other]) => other > epoch).map(([, first]) => first);
  return Math.min(Number.POSITIVE_INFINITY, ...newer);
}

function usableRuns(
  kept: readonly KeptJournal[],
  firsts: ReadonlyMap<number, number>,
): UsableRun[] {
  return kept.flatMap(({ nodeId, status }) =>
    status.runs
      .map((run) => ({
        ...run,
        nodeId,
        last: Math.min(run.last, voidFrom(firsts, run.epoch) - 1),
      }))
      .filter((run) => run.last >= run.first),
  );
}

function snapshotsOf(kept: readonly KeptJournal[]): JournalBase[] {
  const groups = new Map<string, { snapshot: KeptSnapshot; nodeIds: NodeId[] }>();
  for (const { nodeId, status } of kept) {
    for (const snapshot of status.snapshots) {
      // Two nodes may have taken the same state at different speeds: what one shows, the other may not.
      const name = `${snapshot.epoch}-${snapshot.from}-${snapshot.to}`;
      const group = groups.get(name) ?? { snapshot, nodeIds: [] };
      groups.set(name, group);
      group.nodeIds.push(nodeId);
    }
  }
  return [...groups.values()].map(({ snapshot: { epoch, from, to }, nodeIds }) => ({
    kind: 'snapshot',
    epoch,
    from,
    to,
    nodeIds,
  }));
}

function highestOf(
  kept: readonly KeptJournal[],
  own: readonly JournalBase[],
): { epoch: number; number: number } {
  const ends = [
    ...kept.flatMap(({ status }) => [
      ...status.runs.map(({ epoch, last }) => ({ epoch, number: last })),
      ...status.snapshots.map(({ epoch, to }) => ({ epoch, number: to })),
    ]),
    ...own.map(({ epoch, to }) => ({ epoch, number: to })),
  ];
  return ends.reduce(
    (highest, end) =>
      end.epoch > highest.epoch || (end.epoch === highest.epoch && end.number > highest.number)
        ? end
        : highest,
    { epoch: 0, number: 0 },
  );
}
