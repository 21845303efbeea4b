import type { Readable } from 'node:stream';
import type { JournalRecord } from './journal-format.ts';

/** What a node keeps of the journal (`GET /journal`). */
export interface JournalStatus {
  /** Of the newest record or snapshot; 0 where there is neither. */
  readonly epoch: number;
  /** The next record of this epoch has the number after this one. */
  readonly last: number;
  /**
   * The records that can be read, in order, without those that a newer epoch made void. More than one run of an epoch: what lies between two of them is
   * damaged, or only a snapshot holds it.
   */
  readonly runs: readonly JournalRun[];
  /** Complete ones, the newest first. */
  readonly snapshots: readonly KeptSnapshot[];
  /** Of all files. */
  readonly sizeBytes: number;
}

/** Records that follow one another. */
export interface JournalRun {
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
}

export interface SnapshotName {
  readonly epoch: number;
  /** Records after this one are to be replayed on it. */
  readonly from: number;
}

/** A complete snapshot. It gives a right state once the records up to `to` are replayed on it. */
export interface KeptSnapshot extends SnapshotName {
  readonly to: number;
  readonly sizeBytes: number;
  /** Of the file, lower-case hex. */
  readonly md5: string;
  /** By the keeper's clock. */
  readonly storedAtMs: number;
}

export interface SnapshotBody {
  readonly bytes: Readable;
  readonly sizeBytes: number;
}

/**
 * Who keeps a copy of the journal: a node's disk, a node across the network, a test's memory. `describeJournalKeeper` proves these promises.
 *
 * What a keeper took survives a crash. Every change of it names the database's epoch: one lower than the keeper ever saw is `stale-epoch`.
 */
export interface JournalKeeper {
  journalStatus(signal?: AbortSignal): Promise<JournalStatus>;
  /**
   * Takes records as lines (`journalLineOf`), all or none, and resolves with the number of the newest one once they are durable. They follow one another. The first has
   * the number after `last`, or is of a higher epoch and has a lower number, but none that the newest snapshot covers: older records from its number on are void then.
   * Rejects with `conflict`, which names `last`, when they do not go on; `stale-epoch`; `invalid-request`; `too-large` (one record); `no-room`.
   */
  appendRecords(lines: readonly string[], signal?: AbortSignal): Promise<{ readonly last: number }>;
  /**
   * Records after this number that follow one another, about a megabyte of them; empty when none does. Never a damaged one: rejects with `corrupt`
   * when the next one is damaged or missing although later ones are there.
   */
  readRecords(after: number, signal?: AbortSignal): Promise<readonly JournalRecord[]>;
  /**
   * Takes a snapshot (`journal-format.ts`), whole or not at all, and resolves once it is durable. Older snapshots, and records that it covers, go as soon as it
   * can be used: when the records up to its `to` are there. Rejects: `incomplete-body`, `digest-mismatch`, `invalid-request` (no such snapshot inside),
   * `stale-epoch`, `conflict` (a newer one is kept), `no-room`, `cancelled` (another one was sent meanwhile: one is received at a time).
   */
  putSnapshot(name: SnapshotName, bytes: Readable, signal?: AbortSignal): Promise<KeptSnapshot>;
  /** Rejects with `not-found`. The bytes end in an error, before their last piece, when they are not those that were stored. */
  openSnapshot(name: SnapshotName, signal?: AbortSignal): Promise<SnapshotBody>;
}

export const journalLimits = {
  /** Of one record as a line; a longer one is kept in snapshots alone. */
  recordMaxBytes: 32 * 2 ** 20,
} as const;

/** A record as a keeper takes it: a line without its end. `imagesText`: JSON, as the database has it. */
export const journalLineOf = ({
  number,
  epoch,
  at,
  imagesText,
}: Omit<JournalRecord, 'images'> & { readonly imagesText: string }) =>
  `{"number":${number},"epoch":${epoch},"at":${at},"images":${imagesText}}`;

const linePattern = /^\{"number":(\d{1,16}),"epoch":(\d{1,16}),"at":\d{1,16},"images":\[/;

/** Number and epoch of a line that `journalLineOf` made; undefined for any other text. */
export function parseJournalLine(
  line: string,
): { readonly number: number; readonly epoch: number } | undefined {
  const match = linePattern.exec(line.length > 128 ? line.slice(0, 128) : line);
  if (!match || !line.endsWith(']}')) return undefined;
  const [number, epoch] = [Number(match[1]), Number(match[2])];
  return Number.isSafeInteger(number) && Number.isSafeInteger(epoch) && number > 0
    ? { number, epoch }
    : undefined;
}

/** All records after a number, a page at a time. Ends at the last one that follows; rejects as `readRecords`. */
export async function* journalRecordsOf(
  keeper: Pick<JournalKeeper, 'readRecords'>,
  { after, signal }: { readonly after: number; readonly signal?: AbortSignal },
): AsyncGenerator<JournalRecord> {
  let last = after;
  for (;;) {
    const page = await keeper.readRecords(last, signal);
    if (page.length === 0) return;
    yield* page;
    last = page.at(-1)?.number ?? last;
  }
}
