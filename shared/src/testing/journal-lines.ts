import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { ClusterId } from '../ids.ts';
import type { JournalRecord } from '../journal-format.ts';
import { journalLineOf } from '../journal-keeper.ts';
import { testClusterId } from './blobs.ts';

/** A record of some row; `sizeBytes`: about how long its line is. */
export function makeJournalRecord(
  number: number,
  { epoch = 1, sizeBytes = 100 }: { readonly epoch?: number; readonly sizeBytes?: number } = {},
): JournalRecord {
  // What differs in each epoch, so that a record of the wrong one is seen.
  const name = `${epoch}-${number}-ü${randomBytes(sizeBytes / 4).toString('hex')}`;
  return {
    number,
    epoch,
    at: 1_700_000_000_000 + number,
    images: [{ table: 'entries', op: 'upsert', key: { id: number }, row: { id: number, name } }],
  };
}

export const makeJournalRecords = (
  first: number,
  last: number,
  options?: Parameters<typeof makeJournalRecord>[1],
) => Array.from({ length: last - first + 1 }, (_, at) => makeJournalRecord(first + at, options));

export const linesOfRecords = (records: readonly JournalRecord[]) =>
  records.map(({ images, ...rest }) =>
    journalLineOf({ ...rest, imagesText: JSON.stringify(images) }),
  );

export interface MadeSnapshot {
  readonly epoch?: number;
  readonly from: number;
  readonly to?: number;
  readonly rows?: number;
  readonly clusterId?: ClusterId;
  /** What the last line says instead. */
  readonly end?: object;
  readonly hasEnd?: boolean;
}

/** A snapshot of some rows, as it is sent. */
export function makeSnapshot(made: MadeSnapshot): Buffer {
  const { epoch = 1, from, to = from, rows = 3, clusterId = testClusterId, hasEnd = true } = made;
  const at = 1_700_000_000_000;
  const lines: object[] = [{ snapshot: { format: 1, clusterId, epoch, from, at } }];
  for (let id = 1; id <= rows; id += 1) {
    lines.push({
      table: 'entries',
      key: { id },
      row: { id, name: randomBytes(8).toString('hex') },
    });
  }
  if (hasEnd) lines.push({ end: { from, to, images: rows, at, ...made.end } });
  return gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
}
