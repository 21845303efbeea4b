import { setTimeout as delay } from 'node:timers/promises';
import { type JournalRecord, type NodeId, type RowImage, StoreError } from '@dfs/shared';
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
  /** Everyone who keeps the next record says that it is damaged: asking again gives no more. */
  readonly isDamaged?: boolean;
}

const imagesMax = 1_000;
const attemptsMax = 4;
const retryAfterMs = 500;

/**
 * Gives the images of all records after a number to `apply`, in order, at most 1 000 at a time, reading each from a node that keeps it and from the next
 * one when that fails, a few times over. Ends where no node goes on.
 */
export async function replayRecords(options: {
  readonly runs: readonly UsableRun[];
  readonly after: number;
  readonly keeperOf: (nodeId: NodeId) => Pick<JournalKeeper, 'readRecords'>;
  readonly apply: (images: readonly RowImage[], last: number) => Promise<void>;
  readonly retryAfterMs?: number;
}): Promise<ReplayedJournal> {
  const { after, apply } = options;
  const batch = new ImageBatch(apply);
  let last = after;
  let lastAtMs: number | undefined;
  let records = 0;
  let failure: Failure | undefined;
  for (;;) {
    const page = await readPageAtLast(last, options);
    if ('problem' in page) failure = page;
    if (!('records' in page)) break;
    for (const record of page.records) {
      await batch.add(record);
      last = record.number;
      lastAtMs = record.at;
      records += 1;
    }
  }
  await batch.flush();
  return { last, lastAtMs, records, ...failure };
}

interface Failure {
  readonly problem: string;
  readonly isDamaged: boolean;
}

type Page = { readonly records: readonly JournalRecord[] } | Failure | Record<never, never>;
type PageOptions = Pick<Parameters<typeof replayRecords>[0], 'runs' | 'keeperOf' | 'retryAfterMs'>;

/** Records after a number; all who keep them are asked again when none of them answers. */
async function readPageAtLast(after: number, options: PageOptions): Promise<Page> {
  for (let attempt = 1; ; attempt += 1) {
    const page = await readPage(after, options);
    if (!('problem' in page) || page.isDamaged || attempt >= attemptsMax) return page;
    await delay((options.retryAfterMs ?? retryAfterMs) * attempt);
  }
}

/** Records after a number from the first node that gives some; those of its run alone. */
async function readPage(after: number, { runs, keeperOf }: PageOptions): Promise<Page> {
  const problems: string[] = [];
  let isDamaged = true;
  for (const run of runsAt(runs, after + 1)) {
    try {
      const page = await keeperOf(run.nodeId).readRecords(after);
      const records = following(page, after, run);
      if (records.length > 0) return { records };
      isDamaged = false;
      problems.push(
        `The node ${run.nodeId} does not give record ${after + 1}, which it announced.`,
      );
    } catch (error) {
      if (!isCorrupt(error)) isDamaged = false;
      problems.push(`Record ${after + 1}: ${(error as Error).message}`);
    }
  }
  return problems.length === 0 ? {} : { problem: [...new Set(problems)].join(' '), isDamaged };
}

/** Asks again a few times, but not for what is damaged. */
export async function withRetries<Value>(
  ask: () => Promise<Value>,
  waitMs = retryAfterMs,
): Promise<Value> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await ask();
    } catch (error) {
      if (attempt >= attemptsMax || isCorrupt(error)) throw error;
      await delay(waitMs * attempt);
    }
  }
}

export const isCorrupt = (error: unknown) =>
  error instanceof StoreError && error.kind === 'corrupt';

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
