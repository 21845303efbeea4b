import type { JournalRun, JournalStatus, KeptSnapshot } from '@dfs/shared/cluster';

/** The database's own journal, as a keeper's is compared with it. */
export interface OwnJournal {
  readonly epoch: number;
  /** The oldest and the newest change that the database holds; undefined: it never held one. */
  readonly extent: { readonly first: number; readonly last: number } | undefined;
}

export type KeeperStanding =
  /** Another master, or a newer copy of this database, wrote there. */
  | { readonly kind: 'ahead'; readonly why: string }
  /** Nothing that it has can be built upon with what the database still holds. */
  | { readonly kind: 'lacks-base' }
  | {
      readonly kind: 'goes-on';
      /** The number after which it goes on. */
      readonly last: number;
      /** The newest snapshot that it could be rebuilt from; absent: its records begin with number one, or are still on their way. */
      readonly base?: KeptSnapshot;
      /** A newer snapshot that takes its place once the records up to its end are there. */
      readonly awaited?: KeptSnapshot;
      /** Of its records after that snapshot, about. */
      readonly recordBytes: number;
    };

/**
 * What a keeper's journal is worth to this database. Only the first epoch of a database can be rebuilt from records alone: what a restore put into a later one stands in
 * no record. Pure.
 */
export function standingOf(status: JournalStatus, own: OwnJournal): KeeperStanding {
  if (status.epoch > own.epoch) {
    return { kind: 'ahead', why: `epoch ${status.epoch}, and the database is of ${own.epoch}` };
  }
  const ownLast = own.extent?.last ?? 0;
  const last = status.epoch === own.epoch ? status.last : 0;
  if (last > ownLast) {
    return { kind: 'ahead', why: `change ${last}, and the database ends with ${ownLast}` };
  }
  const canGoOn = last === ownLast || (own.extent?.first ?? 1) <= last + 1;
  const chains = status.snapshots.filter(
    ({ epoch, from }) =>
      epoch === own.epoch && covers(status.runs, { epoch, first: from + 1, last }),
  );
  const isFromOne =
    own.epoch === 1 && (status.epoch === 0 || covers(status.runs, { epoch: 1, first: 1, last }));
  if (!canGoOn || (chains.length === 0 && !isFromOne)) return { kind: 'lacks-base' };
  // Its rows may show changes up to its `to`.
  const base = chains.find(({ to }) => to <= last);
  const recordBytes = bytesSince(status, { after: base?.from ?? 0, last });
  const [newest] = chains;
  const awaited = newest && newest !== base ? { awaited: newest } : {};
  return { kind: 'goes-on', last, recordBytes, ...(base ? { base } : {}), ...awaited };
}

const covers = (runs: readonly JournalRun[], wanted: JournalRun) =>
  wanted.last < wanted.first ||
  runs.some(
    ({ epoch, first, last }) =>
      epoch === wanted.epoch && first <= wanted.first && last >= wanted.last,
  );

/** By the mean length of all records. */
function bytesSince(
  { runs, snapshots, sizeBytes }: JournalStatus,
  { after, last }: { readonly after: number; readonly last: number },
): number {
  const records = runs.reduce((sum, run) => sum + run.last - run.first + 1, 0);
  if (records === 0) return 0;
  const snapshotBytes = snapshots.reduce((sum, snapshot) => sum + snapshot.sizeBytes, 0);
  return Math.round(((sizeBytes - snapshotBytes) / records) * Math.max(0, last - after));
}
