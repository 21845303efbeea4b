import type { JournalRun } from '@dfs/shared/cluster';
import { closeFile, openFile, syncFile, truncateFile, unlinkFile } from '../raw-file.ts';
import { segmentLines } from './segment-lines.ts';

/** A place in the file is remembered this often, so that a read begins near its record. */
const markEveryBytes = 256 * 1024;
const pageBytes = 2 ** 20;

export interface SegmentName {
  readonly epoch: number;
  /** Number of its first record. */
  readonly first: number;
}

const pattern = /^records-(\d{1,16})-(\d{16})\.log$/;

export const segmentFileName = ({ epoch, first }: SegmentName) =>
  `records-${epoch}-${String(first).padStart(16, '0')}.log`;

export function parseSegmentFileName(fileName: string): SegmentName | undefined {
  const match = pattern.exec(fileName);
  return match ? { epoch: Number(match[1]), first: Number(match[2]) } : undefined;
}

/** The order in which segments were begun. */
export const bySegmentOrder = (a: SegmentName, b: SegmentName) =>
  a.epoch - b.epoch || a.first - b.first;

/** What is known of a segment's records. */
class SegmentIndex {
  readonly runs: { first: number; last: number }[] = [];
  readonly marks: { readonly number: number; readonly offset: number }[] = [];
  last: number;

  constructor(last: number) {
    this.last = last;
  }

  note(number: number, offset: number): void {
    const run = this.runs.at(-1);
    if (run && run.last + 1 === number) run.last = number;
    else this.runs.push({ first: number, last: number });
    const mark = this.marks.at(-1);
    if (!mark || offset - mark.offset >= markEveryBytes) this.marks.push({ number, offset });
    this.last = number;
  }
}

/** One file of records of one epoch, which follow one another. Only what is durable is known of it. */
export class JournalSegment {
  readonly epoch: number;
  readonly first: number;
  readonly path: string;
  #sizeBytes = 0;
  #index: SegmentIndex;

  constructor(path: string, { epoch, first }: SegmentName) {
    this.path = path;
    this.epoch = epoch;
    this.first = first;
    this.#index = new SegmentIndex(first - 1);
  }

  /** Where the next record goes; what lies beyond was never acknowledged. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of the newest record; one less than the first where there is none. */
  get last(): number {
    return this.#index.last;
  }

  /** Its whole records, in order: between two runs something is damaged. */
  get runs(): readonly JournalRun[] {
    return this.#index.runs.map((run) => ({ epoch: this.epoch, ...run }));
  }

  /** Reads the file anew. `isNewest`: what follows its last whole record was being written when the node died, and is cut off. */
  async scan({ isNewest }: { readonly isNewest: boolean }): Promise<void> {
    const fd = await openFile(this.path, isNewest ? 'r+' : 'r');
    try {
      const index = new SegmentIndex(this.first - 1);
      let wholeBytes = 0;
      let endBytes = 0;
      for await (const line of segmentLines(fd, { start: 0, end: Number.MAX_SAFE_INTEGER })) {
        endBytes = line.endOffset;
        const { record } = line;
        if (record?.epoch !== this.epoch || record.number <= index.last) continue;
        wholeBytes = line.endOffset;
        index.note(record.number, line.offset);
      }
      if (isNewest) {
        if (endBytes > wholeBytes) await truncateFile(fd, wholeBytes);
        // What is counted from here on must not be lost with the power.
        await syncFile(fd);
      }
      this.#index = index;
      this.#sizeBytes = isNewest ? wholeBytes : endBytes;
    } finally {
      await closeFile(fd);
    }
  }

  /** Records that became durable behind the others: number and length of each. */
  appended(records: readonly { readonly number: number; readonly sizeBytes: number }[]): void {
    for (const { number, sizeBytes } of records) {
      this.#index.note(number, this.#sizeBytes);
      this.#sizeBytes += sizeBytes;
    }
  }

  /** Records from `first` to `through` that follow one another, as the bytes of their lines, about a megabyte. Fewer than there should be: one is damaged. */
  async read({ first, through }: { first: number; through: number }): Promise<Buffer[]> {
    const page: Buffer[] = [];
    let readBytes = 0;
    let expected = first;
    const start = this.#index.marks.findLast((mark) => mark.number <= first)?.offset ?? 0;
    const fd = await openFile(this.path, 'r');
    try {
      for await (const { record } of segmentLines(fd, { start, end: this.#sizeBytes })) {
        if (!record || record.number < expected || record.epoch !== this.epoch) continue;
        if (record.number > expected) break;
        page.push(record.bytes);
        readBytes += record.bytes.byteLength;
        expected += 1;
        if (expected > through || readBytes >= pageBytes) break;
      }
    } finally {
      await closeFile(fd);
    }
    return page;
  }

  async remove(): Promise<void> {
    await unlinkFile(this.path);
  }
}
