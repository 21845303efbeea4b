import type { JournalRecord, NodeId, RowImage } from '@dfs/shared';
import type { JournalKeeper } from '@dfs/shared/cluster';
import { runsAt, type UsableRun } from './journal-plan.ts';

export interface ReplayedJournal {
  /** The last record that was replayed, or the number begun with. */
  readonly last: number;
  /** When it was made; undefined when there was none. */
  readonly lastAtMs: number | undefined;
  readonly records: number;
  /** Why it ended before the last record that nodes announced. */
  readonly problem?: string;
}

const imagesMax = 1_000;

/**
 * Gives the images of all records after a number to `apply`, in order, at most 1 000 at a time, reading each from a node that keeps it and from the next
 * one when that fails. Ends where no node goes on.
 */
export async function replayRecords(options: {
  readonly runs: readonly UsableRun[];
  readonly after: number;
  readonly keeperOf: (nodeId: NodeId) => Pick<JournalKeeper, 'readRecords'>;
  readonly apply: (images: readonly RowImage[], last: number) => Promise<void>;
}): Promise<ReplayedJournal> {
  const { runs, after, keeperOf, apply } = options;
  const batch = new ImageBatch(apply);
  let last = after;
  let lastAtMs: number | undefined;
  let records = 0;
  let problem: string | undefined;
  for (;;) {
    const page = await readPage(runs, last, keeperOf);
    if ('problem' in page) problem = page.problem;
    if (!('records' in page) || page.records.length === 0) break;
    for (const record of page.records) {
      await batch.add(record);
      last = record.number;
      lastAtMs = record.at;
      records += 1;
    }
  }
  await batch.flush();
  return { last, lastAtMs, records, ...(problem === undefined ? {} : { problem }) };
}

type Page =
  | { readonly records: readonly JournalRecord[] }
  | { readonly problem: string }
  | Record<never, never>;

/** Records after a number from the first node that gives some; those of its run alone. */
async function readPage(
  runs: readonly UsableRun[],
  after: number,
  keeperOf: (nodeId: NodeId) => Pick<JournalKeeper, 'readRecords'>,
): Promise<Page> {
  let problem: string | undefined;
  for (const run of runsAt(runs, after + 1)) {
    try {
      const page = await keeperOf(run.nodeId).readRecords(after);
      const records = following(page, after, run);
      if (records.length > 0) return { records };
      problem ??= `The node ${run.nodeId} does not give record ${after + 1}, which it announced.`;
    } catch (error) {
      problem = `Record ${after + 1}: ${(error as Error).message}`;
    }
  }
  return problem === undefined ? {} : { problem };
}

function following(
  page: readonly JournalRecord[],
  after: number,
  run: UsableRun,
): readonly JournalRecord[] {
  const end = page.findIndex(
    (record, index) =>
      record.number !== after + 1 + index || record.epoch !== run.epoch || record.number > run.last,
  );
  return end < 0 ? page : page.slice(0, end);
}

/** Gathers images, so that small records do not take a transaction each; a large one is applied in parts, since replaying it again does no harm. */
class ImageBatch {
  readonly #apply: (images: readonly RowImage[], last: number) => Promise<void>;
  #images: RowImage[] = [];
  #last = 0;

  constructor(apply: (images: readonly RowImage[], last: number) => Promise<void>) {
    this.#apply = apply;
  }

  async add({ number, images }: JournalRecord): Promise<void> {
    for (const image of images) {
      if (this.#images.push(image) >= imagesMax) await this.flush();
    }
    this.#last = number;
  }

  async flush(): Promise<void> {
    const images = this.#images;
    this.#images = [];
    if (images.length > 0) await this.#apply(images, this.#last);
  }
}
