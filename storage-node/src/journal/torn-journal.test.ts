import { appendFile, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  bytesOf,
  linesOfRecords,
  makeJournalRecords,
  makeSnapshot,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flipByte } from '../testing/test-disk.ts';
import { damageRecord, openTestJournal } from '../testing/test-journal.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeEach(async () => {
  directory = await temporaryDirectory();
});
afterEach(() => directory.remove());

type Opened = Awaited<ReturnType<typeof openTestJournal>>;

/** Does something to the journal of one disk as a process of its own would. */
async function during<Result>(
  work: (opened: Opened) => Promise<Result>,
  options: { segmentMaxBytes?: number } = {},
): Promise<Result> {
  const opened = await openTestJournal({ path: directory.path, ...options });
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

const records = makeJournalRecords(1, 20);
const lines = linesOfRecords(records);
const folder = () => join(directory.path, 'journal');
const segmentPath = async () => {
  const names = (await readdir(folder())).filter((name) => name.startsWith('records-')).sort();
  return join(folder(), names.at(-1) ?? '');
};

describe('a journal whose last write was torn', () => {
  beforeEach(() => during(({ journal }) => journal.appendRecords(lines.slice(0, 10))));

  it('ends with the last whole record, wherever the tear is, and goes on from there', async () => {
    const path = await segmentPath();
    const whole = await readFile(path);
    await during(({ journal }) => journal.appendRecords(lines.slice(10, 12)));
    const longer = await readFile(path);
    const eleventhEnds = longer.indexOf('\n', whole.byteLength) + 1;
    const places = [1, 5, 9, 40, eleventhEnds - whole.byteLength - 1].map(
      (at) => whole.byteLength + at,
    );
    for (const sizeBytes of [...places, eleventhEnds, eleventhEnds + 3]) {
      await writeFile(path, longer.subarray(0, sizeBytes));
      const last = sizeBytes < eleventhEnds ? 10 : 11;
      await during(async ({ journal }) => {
        expect((await journal.journalStatus()).last).toBe(last);
        expect(await journal.readRecords(0)).toEqual(records.slice(0, last));
        await journal.appendRecords(lines.slice(last, 20));
        expect(await journal.readRecords(0)).toEqual(records);
      });
    }
  });

  it.each([
    ['zeros, as a file system may leave them', Buffer.alloc(5_000)],
    ['an old block', Buffer.from('deadbeef {"number":11,"epoch":1,"at":1,"images":[]}\nrubbish\n')],
    ['a line without an end', Buffer.alloc(300_000, 'x')],
  ])('is cut off behind it when there are %s', async (_, rubbish) => {
    const path = await segmentPath();
    const whole = await readFile(path);
    await appendFile(path, rubbish);
    await during(async ({ journal }) => {
      expect(await journal.readRecords(0)).toEqual(records.slice(0, 10));
      await journal.appendRecords(lines.slice(10));
    });
    expect((await readFile(path)).subarray(0, whole.byteLength).equals(whole)).toBe(true);
    await during(async ({ journal }) => expect(await journal.readRecords(0)).toEqual(records));
  });

  it('forgets a segment in which nothing became durable', async () => {
    await writeFile(join(folder(), 'records-1-0000000000000011.log'), '');
    await writeFile(join(folder(), 'records-2-0000000000000005.log'), 'half a li');
    await during(async ({ journal, files }) => {
      expect(await journal.journalStatus()).toMatchObject({ epoch: 1, last: 10 });
      expect(await journal.readRecords(0)).toEqual(records.slice(0, 10));
      expect(await files()).toEqual(['records-1-0000000000000001.log']);
      await journal.appendRecords(lines.slice(10));
      expect(await journal.readRecords(0)).toEqual(records);
    });
  });

  it('loses nothing when all is well', async () => {
    await during(async ({ journal }) => {
      await journal.appendRecords(lines.slice(10));
      await journal.putSnapshot(
        { epoch: 1, from: 15 },
        Readable.from([makeSnapshot({ from: 15 })]),
      );
    });
    await during(async ({ journal, lines: logged }) => {
      expect(await journal.journalStatus()).toMatchObject({
        last: 20,
        snapshots: [{ epoch: 1, from: 15, to: 15 }],
      });
      expect((await journal.readRecords(15)).map(({ number }) => number)).toEqual([
        16, 17, 18, 19, 20,
      ]);
      expect(logged).toEqual([]);
    });
  });
});

describe('a journal on a bad disk', () => {
  it('never gives a record of which any bit has flipped', async () => {
    await during(({ journal }) => journal.appendRecords(lines.slice(0, 3)));
    const path = await segmentPath();
    const whole = await readFile(path);
    const begin = whole.indexOf('\n') + 1;
    const end = whole.indexOf('\n', begin) + 1;
    for (let at = begin; at < end; at += 7) {
      await writeFile(path, whole);
      await flipByte(path, at);
      await during(async ({ journal }) => {
        const { runs } = await journal.journalStatus();
        const read = [...(await journal.readRecords(0)), ...(await journal.readRecords(2))];
        expect(read, `byte ${at}`).toEqual([records[0], records[2]]);
        expect(runs).toEqual([
          { epoch: 1, first: 1, last: 1 },
          { epoch: 1, first: 3, last: 3 },
        ]);
        await expect(journal.readRecords(1)).rejects.toMatchObject({ kind: 'corrupt' });
      });
    }
  });

  it('tells of damage once at its start, by the file', async () => {
    await during(({ journal }) => journal.appendRecords(lines), { segmentMaxBytes: 500 });
    await damageRecord(folder(), 7);
    await during(async ({ journal, lines: logged }) => {
      await journal.journalStatus();
      await journal.journalStatus();
      expect(logged).toMatchObject([
        { level: 'error', message: 'records of the journal are damaged' },
      ]);
    });
  });

  it('gives nothing of a snapshot that was damaged, and promises it no more', async () => {
    const bytes = makeSnapshot({ from: 5, rows: 40_000 });
    await during(async ({ journal }) => {
      await journal.appendRecords(lines.slice(0, 5));
      await journal.putSnapshot({ epoch: 1, from: 5 }, Readable.from([bytes]));
    });
    const [name = ''] = (await readdir(folder())).filter((each) => each.startsWith('snapshot-'));
    await flipByte(join(folder(), name), 1_000);
    await during(async ({ journal, files }) => {
      const opened = await journal.openSnapshot({ epoch: 1, from: 5 });
      await expect(bytesOf(opened.bytes)).rejects.toMatchObject({ kind: 'corrupt' });
      expect((await journal.journalStatus()).snapshots).toEqual([]);
      await journal.putSnapshot({ epoch: 1, from: 5 }, Readable.from([bytes]));
      expect((await journal.journalStatus()).snapshots).toHaveLength(1);
      expect((await files()).filter((each) => each.endsWith('.damaged'))).toEqual([]);
    });
    await truncate(join(folder(), name), 100);
    await during(async ({ journal }) => {
      const opened = await journal.openSnapshot({ epoch: 1, from: 5 });
      await expect(bytesOf(opened.bytes)).rejects.toMatchObject({ kind: 'corrupt' });
    });
  });

  it('learns of damage when it is read again', async () => {
    await during(
      async ({ journal, lines: logged }) => {
        for (let at = 0; at < 20; at += 4) await journal.appendRecords(lines.slice(at, at + 4));
        const bytes = makeSnapshot({ from: 2, rows: 40_000 });
        await journal.putSnapshot({ epoch: 1, from: 2 }, Readable.from([bytes]));
        const pauses: number[] = [];
        const verify = () =>
          journal.verify({
            signal: new AbortController().signal,
            pause: async () => void pauses.push(pauses.length),
          });
        await verify();
        expect(logged).toEqual([]);
        expect(pauses.length).toBeGreaterThan(4);
        await damageRecord(folder(), 6);
        const [name = ''] = (await readdir(folder())).filter((each) => each.startsWith('snapshot'));
        await flipByte(join(folder(), name), -9);
        await verify();
        await verify();
        expect(logged).toHaveLength(2);
        const { runs, snapshots } = await journal.journalStatus();
        expect(runs.map(({ first, last }) => [first, last])).toEqual([
          [1, 5],
          [7, 20],
        ]);
        expect(snapshots).toEqual([]);
      },
      { segmentMaxBytes: 500 },
    );
  });

  it('does not stand in the way of a node whose journal folder holds other things', async () => {
    await during(({ journal }) => journal.appendRecords(lines.slice(0, 5)));
    await writeFile(join(folder(), 'notes.txt'), 'mine');
    await mkdir(join(folder(), 'lost+found'));
    await during(async ({ journal, files }) => {
      await journal.appendRecords(lines.slice(5));
      await journal.putSnapshot(
        { epoch: 1, from: 20 },
        Readable.from([makeSnapshot({ from: 20 })]),
      );
      expect(await files()).toEqual(expect.arrayContaining(['notes.txt', 'lost+found']));
    });
  });

  it('refuses a disk that holds a journal but has lost its identity', async () => {
    await during(({ journal }) => journal.appendRecords(lines));
    await rm(join(directory.path, 'blobs'), { recursive: true });
    const { formatDataDirectory } = await import('../data-directory.ts');
    await expect(formatDataDirectory(directory.path, { isFormatted: false })).rejects.toThrow(
      /journal but no node.json/,
    );
  });
});

describe('segments', () => {
  it('of an older epoch end where a newer one begins, also after a start', async () => {
    const newer = makeJournalRecords(8, 9, { epoch: 2 });
    await during(
      async ({ journal }) => {
        await journal.appendRecords(lines.slice(0, 5));
        await journal.appendRecords(lines.slice(5));
        await journal.appendRecords(linesOfRecords(newer));
      },
      { segmentMaxBytes: 600 },
    );
    await during(async ({ journal }) => {
      expect(await journal.journalStatus()).toMatchObject({
        epoch: 2,
        last: 9,
        runs: [
          { epoch: 1, first: 1, last: 7 },
          { epoch: 2, first: 8, last: 9 },
        ],
      });
      expect(await journal.readRecords(5)).toEqual(records.slice(5, 7));
      expect(await journal.readRecords(7)).toEqual(newer);
    });
  });

  it('that a snapshot covers leave the disk', async () => {
    await during(
      async ({ journal, files }) => {
        for (const line of lines) await journal.appendRecords([line]);
        const before = (await files()).length;
        expect(before).toBeGreaterThan(5);
        await journal.putSnapshot(
          { epoch: 1, from: 18 },
          Readable.from([makeSnapshot({ from: 18 })]),
        );
        expect((await files()).length).toBeLessThan(5);
        expect((await journal.readRecords(18)).map(({ number }) => number)).toEqual([19, 20]);
      },
      { segmentMaxBytes: 400 },
    );
  });
});
