import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { journalRecordsOf } from '@dfs/shared/cluster';
import {
  eventually,
  linesOfRecords,
  makeJournalRecords,
  makeSnapshot,
  temporaryDirectory,
} from '@dfs/shared/testing';
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

const run = promisify(execFile);

/** A file system of 2 MiB; undefined where none may be mounted. */
async function mountSmallDisk() {
  const folder = await temporaryDirectory();
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder.path]);
  } catch {
    await folder.remove();
    return undefined;
  }
  return {
    path: folder.path,
    remove: async () => {
      await run('umount', [folder.path]);
      await folder.remove();
    },
  };
}

it('survives a disk that fills up under its hands', async () => {
  const small = await mountSmallDisk();
  const huge = { capacityBytes: 100 * mib, freeBytes: 100 * mib };
  opened = await openTestJournal({
    ...(small ? { path: small.path } : {}),
    // Nobody foresees it.
    measureDisk: async () => huge,
    segmentMaxBytes: 300_000,
  });
  if (!small) return;
  try {
    const { journal } = opened;
    const filler = join(small.path, 'filler');
    let last = 0;
    const append = async () => {
      await journal.appendRecords(long(last + 1, last + 3));
      last += 3;
    };
    // In the middle of a segment, and where a new one begins.
    for (let round = 0; round < 4; round += 1) {
      await append();
      await writeFile(filler, Buffer.alloc(4 * mib)).catch(() => undefined);
      await expect(append()).rejects.toMatchObject({ kind: 'no-room' });
      const put = journal.putSnapshot(
        { epoch: 1, from: last },
        Readable.from([snapshot(last, 5_000)]),
      );
      await expect(put).rejects.toMatchObject({ kind: 'no-room' });
      expect((await journal.journalStatus()).last).toBe(last);
      expect(await opened.staged()).toEqual([]);
      await rm(filler);
    }
    await append();
    const found: number[] = [];
    for await (const { number } of journalRecordsOf(journal, { after: 0 })) found.push(number);
    expect(found).toEqual(Array.from({ length: last }, (_, at) => at + 1));
  } finally {
    await opened.close();
    await small.remove();
  }
});
