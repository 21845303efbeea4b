import { Readable } from 'node:stream';
import { eventually, linesOfRecords, makeJournalRecords, makeSnapshot } from '@dfs/shared/testing';
import { afterEach, expect, it } from 'vitest';
import { openTestJournal } from '../testing/test-journal.ts';

const mib = 2 ** 20;
const disk = { freeBytes: 0 };
let opened: Awaited<ReturnType<typeof openTestJournal>>;
afterEach(() => opened.close());

async function open(freeBytes: number, reserveBytes: number) {
  disk.freeBytes = freeBytes;
  opened = await openTestJournal({
    reserveBytes,
    measureDisk: async () => ({ capacityBytes: 100 * mib, freeBytes: disk.freeBytes }),
  });
  return opened.journal;
}

/** Somebody else filled or emptied the disk, and the node has noticed. */
async function leave(freeBytes: number): Promise<void> {
  disk.freeBytes = freeBytes;
  await eventually(() => opened.space.freeBytes).toBe(freeBytes);
}

const long = (first: number, last: number) =>
  linesOfRecords(makeJournalRecords(first, last, { sizeBytes: 100_000 }));
const snapshot = (from: number, rows: number) => makeSnapshot({ from, rows });

it('takes records into what is kept back, and none where nothing is left', async () => {
  const journal = await open(mib, mib);
  await journal.appendRecords(long(1, 5));
  await leave(100_000);
  await expect(journal.appendRecords(long(6, 12))).rejects.toMatchObject({ kind: 'no-room' });
  // Nothing of the batch stays, though the first of it fitted.
  expect((await journal.journalStatus()).last).toBe(5);
  expect(await journal.readRecords(5)).toEqual([]);
  await leave(5 * mib);
  await journal.appendRecords(long(6, 12));
  expect((await journal.readRecords(0)).length).toBeGreaterThan(5);
});

it('refuses a snapshot where only what is kept back is left, and leaves nothing of it', async () => {
  const journal = await open(50 * mib, mib);
  await journal.appendRecords(long(1, 2));
  await leave(mib);
  const put = () => journal.putSnapshot({ epoch: 1, from: 2 }, Readable.from([snapshot(2, 5_000)]));
  await expect(put()).rejects.toMatchObject({ kind: 'no-room' });
  expect(await opened.staged()).toEqual([]);
  expect((await journal.journalStatus()).snapshots).toEqual([]);
  await journal.appendRecords(long(3, 3));
  await leave(50 * mib);
  await put();
});
