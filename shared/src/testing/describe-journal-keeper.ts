import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterId } from '../ids.ts';
import { newClusterId } from '../ids.ts';
import type { JournalRecord } from '../journal-format.ts';
import { type JournalKeeper, journalRecordsOf } from '../journal-keeper.ts';
import { brokenStreamOf, expectKind, streamOf } from './blob-store-suite/suite-blobs.ts';
import { bytesOf, md5Of, testClusterId } from './blobs.ts';
import {
  linesOfRecords,
  type MadeSnapshot,
  makeJournalRecords,
  makeSnapshot,
} from './journal-lines.ts';

export interface JournalKeeperHarness {
  /** Empty. Its requests are let in as ones of epoch 9. */
  readonly keeper: JournalKeeper;
  readonly clusterId?: ClusterId;
  /** Spoils this record where it lies. */
  readonly damage: (number: number) => void | Promise<void>;
  readonly close?: () => Promise<void>;
}

/** Proves that a keeper keeps the promises of `JournalKeeper`. */
export function describeJournalKeeper(
  name: string,
  create: () => Promise<JournalKeeperHarness>,
): void {
  describe(name, () => {
    let harness: JournalKeeperHarness;
    let keeper: JournalKeeper;
    beforeEach(async () => {
      harness = await create();
      keeper = harness.keeper;
    });
    afterEach(() => harness.close?.());

    const append = (records: readonly JournalRecord[]) =>
      keeper.appendRecords(linesOfRecords(records));
    const grow = async (first: number, last: number, epoch = 1) => {
      const records = makeJournalRecords(first, last, { epoch });
      await append(records);
      return records;
    };
    const read = async (after = 0) => {
      const records: JournalRecord[] = [];
      for await (const record of journalRecordsOf(keeper, { after })) records.push(record);
      return records;
    };
    const putSnapshot = (made: MadeSnapshot, bytes = snapshot(made)) =>
      keeper.putSnapshot({ epoch: made.epoch ?? 1, from: made.from }, streamOf(bytes));
    const snapshot = (made: MadeSnapshot) =>
      makeSnapshot({ clusterId: harness.clusterId ?? testClusterId, ...made });
    const namesOf = async () =>
      (await keeper.journalStatus()).snapshots.map(({ epoch, from }) => `${epoch}-${from}`);

    describe('records', () => {
      it('are none at first', async () => {
        expect(await keeper.journalStatus()).toEqual({
          epoch: 0,
          last: 0,
          runs: [],
          snapshots: [],
          sizeBytes: 0,
        });
        expect(await keeper.readRecords(0)).toEqual([]);
        expect(await keeper.readRecords(7)).toEqual([]);
      });

      it('come back as they were, in order, from any number on', async () => {
        const records = [...(await grow(1, 3)), ...(await grow(4, 4)), ...(await grow(5, 9))];
        expect(await read()).toEqual(records);
        expect(await read(4)).toEqual(records.slice(4));
        expect(await read(9)).toEqual([]);
        expect(await keeper.journalStatus()).toMatchObject({
          epoch: 1,
          last: 9,
          runs: [{ epoch: 1, first: 1, last: 9 }],
        });
      });

      it('come back in pages, long ones among them', async () => {
        const records = [
          ...makeJournalRecords(1, 1_200, { sizeBytes: 1_500 }),
          ...makeJournalRecords(1_201, 1_202, { sizeBytes: 3_000_000 }),
          ...makeJournalRecords(1_203, 1_300),
        ];
        for (let at = 0; at < records.length; at += 400) await append(records.slice(at, at + 400));
        const page = await keeper.readRecords(0);
        expect(page.length).toBeGreaterThan(1);
        expect(page.length).toBeLessThan(1_300);
        const found = await read();
        expect(found.map(({ number }) => number)).toEqual(records.map(({ number }) => number));
        expect(md5Of(Buffer.from(JSON.stringify(found)))).toBe(
          md5Of(Buffer.from(JSON.stringify(records))),
        );
      });

      it.each([
        ['a gap', [7, 8]],
        ['one that is there', [5, 5]],
        ['all over again', [1, 5]],
      ])('are refused with what is known when they bring %s', async (_, [first = 0, last = 0]) => {
        const records = await grow(1, 5);
        await expectKind(grow(first, last), 'conflict');
        await expect(grow(first, last)).rejects.toThrow(/\b5\b/);
        expect(await read()).toEqual(records);
        await grow(6, 6);
      });

      it('begin with number one', async () => {
        await expectKind(grow(2, 3), 'conflict');
        await grow(1, 3);
      });

      it('are taken all or none', async () => {
        const records = await grow(1, 2);
        const [third, fourth, fifth] = makeJournalRecords(3, 5) as [
          JournalRecord,
          JournalRecord,
          JournalRecord,
        ];
        await expectKind(append([third, fifth]), 'conflict');
        await expectKind(append([third, { ...fourth, epoch: 2 }]), 'conflict');
        await expectKind(
          keeper.appendRecords([...linesOfRecords([third]), '{"number":4}']),
          'invalid-request',
        );
        await expectKind(keeper.appendRecords([]), 'invalid-request');
        expect(await read()).toEqual(records);
        await append([third, fourth, fifth]);
      });

      it('are taken once when two bring the same', async () => {
        const outcomes = await Promise.allSettled([grow(1, 20), grow(1, 20), grow(1, 20)]);
        expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
        expect((await read()).map(({ number }) => number)).toEqual(
          Array.from({ length: 20 }, (_, at) => at + 1),
        );
      });
    });

    describe('a newer epoch', () => {
      it('makes the older records void from its first number on', async () => {
        const older = await grow(1, 10);
        const newer = await grow(7, 8, 2);
        expect(await read()).toEqual([...older.slice(0, 6), ...newer]);
        expect(await keeper.journalStatus()).toMatchObject({
          epoch: 2,
          last: 8,
          runs: [
            { epoch: 1, first: 1, last: 6 },
            { epoch: 2, first: 7, last: 8 },
          ],
        });
        const newest = await grow(3, 3, 5);
        expect(await read()).toEqual([...older.slice(0, 2), ...newest]);
      });

      it('goes on where the older one ended', async () => {
        const records = [...(await grow(1, 4)), ...(await grow(5, 6, 3))];
        expect(await read()).toEqual(records);
      });

      it('may leave no gap', async () => {
        await grow(1, 4);
        await expectKind(grow(6, 6, 2), 'conflict');
      });

      it('closes the door to the older one', async () => {
        await grow(1, 4, 2);
        await expectKind(grow(5, 5, 1), 'stale-epoch');
        await expectKind(putSnapshot({ epoch: 1, from: 9 }), 'stale-epoch');
        await putSnapshot({ epoch: 3, from: 4 });
        await expectKind(grow(5, 5, 2), 'stale-epoch');
      });

      it('may not begin below a snapshot that would be void', async () => {
        await grow(1, 4);
        await putSnapshot({ from: 4 });
        await expectKind(grow(4, 4, 2), 'conflict');
        await grow(5, 5, 2);
      });
    });

    describe('a snapshot', () => {
      it('comes back byte for byte', async () => {
        await grow(1, 3);
        const bytes = snapshot({ from: 3, rows: 20_000 });
        const kept = await putSnapshot({ from: 3 }, bytes);
        expect(kept).toEqual({
          epoch: 1,
          from: 3,
          to: 3,
          sizeBytes: bytes.byteLength,
          md5: md5Of(bytes),
          storedAtMs: expect.any(Number),
        });
        expect((await keeper.journalStatus()).snapshots).toEqual([kept]);
        const opened = await keeper.openSnapshot({ epoch: 1, from: 3 });
        expect(opened.sizeBytes).toBe(bytes.byteLength);
        expect((await bytesOf(opened.bytes)).equals(bytes)).toBe(true);
      });

      it('lets older snapshots and what it covers go, and the records after it stay', async () => {
        await grow(1, 3);
        await putSnapshot({ from: 3 });
        const kept = await grow(4, 9);
        await putSnapshot({ from: 6 });
        const more = await grow(10, 12);
        await putSnapshot({ from: 9 });
        expect(await namesOf()).toEqual(['1-9']);
        expect(await read(9)).toEqual([...kept.slice(6), ...more]);
        const { runs } = await keeper.journalStatus();
        expect(runs[0]?.first).toBeGreaterThan(3);
      });

      it('is no base before the records are there that it may show already', async () => {
        await grow(1, 3);
        await putSnapshot({ from: 3 });
        const older = await grow(4, 5);
        await putSnapshot({ from: 5, to: 8 });
        await grow(6, 7);
        expect(await namesOf()).toEqual(['1-5', '1-3']);
        expect((await read(3)).slice(0, 2)).toEqual(older);
        await grow(8, 8);
        expect(await namesOf()).toEqual(['1-5']);
      });

      it('bridges what was missed', async () => {
        await grow(1, 3);
        await putSnapshot({ from: 50, to: 51 });
        expect(await keeper.journalStatus()).toMatchObject({ epoch: 1, last: 50 });
        await expectKind(grow(4, 5), 'conflict');
        await expectKind(keeper.readRecords(3).then(mustBeEmpty), 'corrupt');
        const records = await grow(51, 52);
        expect(await read(50)).toEqual(records);
      });

      it('of a newer epoch takes the place of everything older', async () => {
        await grow(1, 10);
        await putSnapshot({ from: 9 });
        await putSnapshot({ epoch: 2, from: 6 });
        expect(await namesOf()).toEqual(['2-6']);
        expect(await keeper.journalStatus()).toMatchObject({ epoch: 2, last: 6, runs: [] });
        const records = await grow(7, 8, 2);
        expect(await read(6)).toEqual(records);
      });

      it('may be sent again', async () => {
        await putSnapshot({ from: 3 });
        await putSnapshot({ from: 3, rows: 9 });
        expect(await namesOf()).toEqual(['1-3']);
      });

      it.each<[string, MadeSnapshot, string]>([
        ['has no last line', { from: 2, hasEnd: false }, 'incomplete-body'],
        ['has lost rows', { from: 2, end: { images: 4 } }, 'invalid-request'],
        ['ends as another one', { from: 2, end: { from: 1 } }, 'invalid-request'],
        ['ends before it begins', { from: 2, to: 1 }, 'invalid-request'],
        ['is of another cluster', { from: 2, clusterId: newClusterId() }, 'wrong-cluster'],
      ])('that %s is refused', async (_, made, kind) => {
        await expectKind(putSnapshot(made), kind as 'conflict');
        expect(await namesOf()).toEqual([]);
        await putSnapshot({ from: 2 });
      });

      it('that is none is refused', async () => {
        const whole = snapshot({ from: 2, rows: 2_000 });
        const put = (bytes: Buffer) => putSnapshot({ from: 2 }, bytes);
        await expectKind(putSnapshot({ from: 2 }, snapshot({ from: 3 })), 'invalid-request');
        await expectKind(put(whole.subarray(0, whole.byteLength - 9)), 'incomplete-body');
        await expectKind(put(Buffer.alloc(0)), 'incomplete-body');
        await expectKind(put(Buffer.from('hello')), 'invalid-request');
        const flipped = Buffer.from(whole);
        flipped[5_000] = (flipped[5_000] ?? 0) ^ 1;
        await expectKind(put(flipped), 'invalid-request', 'incomplete-body');
        expect(await namesOf()).toEqual([]);
      });

      it('whose source breaks leaves nothing', async () => {
        const bytes = snapshot({ from: 2, rows: 20_000 });
        const put = (body: Readable) => keeper.putSnapshot({ epoch: 1, from: 2 }, body);
        await expectKind(
          put(brokenStreamOf(bytes.subarray(0, 200_000))),
          'incomplete-body',
          'cancelled',
        );
        expect(await namesOf()).toEqual([]);
        await put(Readable.from([bytes]));
      });

      it('that is older than the kept one is refused', async () => {
        await putSnapshot({ from: 5 });
        await expectKind(putSnapshot({ from: 4 }), 'conflict');
        await expectKind(keeper.openSnapshot({ epoch: 1, from: 4 }), 'not-found');
      });
    });

    it('never gives a damaged record, but those before and after it', async () => {
      const records = await grow(1, 9);
      await harness.damage(4);
      expect(await keeper.readRecords(0)).toEqual(records.slice(0, 3));
      await expectKind(keeper.readRecords(3), 'corrupt');
      expect(await read(4)).toEqual(records.slice(4));
      expect(await keeper.journalStatus()).toMatchObject({
        last: 9,
        runs: [
          { epoch: 1, first: 1, last: 3 },
          { epoch: 1, first: 5, last: 9 },
        ],
      });
      await grow(10, 11);
      await putSnapshot({ from: 9 });
      expect((await read(9)).map(({ number }) => number)).toEqual([10, 11]);
    });
  });
}

/** An empty answer would say that nothing is missing. */
function mustBeEmpty(records: readonly JournalRecord[]): void {
  expect(records).not.toEqual([]);
}
