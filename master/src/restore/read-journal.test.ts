import { type JournalRecord, type NodeId, type RowImage, StoreError } from '@dfs/shared';
import { expect, it } from 'vitest';
import type { UsableRun } from './journal-plan.ts';
import { replayRecords } from './read-journal.ts';

const [a, b] = ['a', 'b'] as NodeId[] as [NodeId, NodeId];

const record = (number: number, epoch = 1, images = 1): JournalRecord => ({
  number,
  epoch,
  at: 1_000 + number,
  images: Array.from({ length: images }, (_, index) => ({
    table: 'entries',
    op: 'delete',
    key: { id: `${epoch}.${number}.${index}` },
  })),
});

const run = (nodeId: NodeId, first: number, last: number, epoch = 1): UsableRun => ({
  nodeId,
  epoch,
  first,
  last,
});

/** Replays from nodes that give these records, two at a time, or fail. */
async function replay(
  runs: readonly UsableRun[],
  kept: Readonly<Record<string, readonly JournalRecord[] | 'fails'>>,
  after = 0,
) {
  const applied: RowImage[][] = [];
  const outcome = await replayRecords({
    runs,
    after,
    retryAfterMs: 1,
    keeperOf: (id) => ({
      readRecords: async (from) => {
        const records = kept[id];
        if (!records || records === 'fails') throw new StoreError('corrupt', `${id} is damaged.`);
        return records.filter(({ number }) => number > from).slice(0, 2);
      },
    }),
    apply: async (images) => {
      applied.push([...images]);
    },
  });
  return { ...outcome, applied, ids: applied.flat().map(({ key }) => key['id']) };
}

const records = [1, 2, 3, 4, 5].map((number) => record(number));

it('replays everything that follows, in order', async () => {
  const done = await replay([run(a, 1, 5)], { a: records }, 2);
  expect(done).toMatchObject({
    last: 5,
    lastAtMs: 1_005,
    records: 3,
    ids: ['1.3.0', '1.4.0', '1.5.0'],
  });
  expect(done).not.toHaveProperty('problem');
});

it('takes a record from another node when one cannot give it', async () => {
  expect(await replay([run(a, 1, 5), run(b, 1, 4)], { a: 'fails', b: records })).toMatchObject({
    last: 4,
    problem: expect.stringContaining('a is damaged'),
  });
  expect(
    await replay([run(a, 1, 3), run(b, 3, 5)], { a: records.slice(0, 3), b: records }),
  ).toMatchObject({
    last: 5,
    records: 5,
  });
});

it('never replays a void record that a node gives beside the others', async () => {
  const runs = [run(a, 1, 3), run(b, 4, 5, 2)];
  const done = await replay(runs, { a: records, b: [record(4, 2), record(5, 2)] });
  expect(done.ids).toEqual(['1.1.0', '1.2.0', '1.3.0', '2.4.0', '2.5.0']);
});

it('applies at most 1 000 images at a time, also of one record', async () => {
  const done = await replay([run(a, 1, 3)], { a: [record(1, 1, 2_500), record(2), record(3)] });
  expect(done.applied.map((images) => images.length)).toEqual([1_000, 1_000, 502]);
});

it('ends where no node goes on, and says why', async () => {
  expect(await replay([run(a, 1, 9)], { a: records })).toMatchObject({
    last: 5,
    problem: expect.stringContaining('record 6'),
  });
  expect(await replay([], {})).toMatchObject({ last: 0, records: 0, lastAtMs: undefined });
});

it('asks again for what did not come, but not for what is damaged', async () => {
  const failing = (kind: 'unavailable' | 'corrupt', failures: number) => {
    let asked = 0;
    const readRecords = async (from: number) => {
      asked += 1;
      if (asked <= failures) throw new StoreError(kind, 'It failed.');
      return records.slice(from);
    };
    const done = replayRecords({
      runs: [run(a, 1, 5)],
      after: 0,
      retryAfterMs: 1,
      keeperOf: () => ({ readRecords }),
      apply: async () => {},
    });
    return done.then((outcome) => ({ ...outcome, asked }));
  };
  expect(await failing('unavailable', 3)).toMatchObject({ last: 5, asked: 4 });
  expect(await failing('unavailable', 9)).toMatchObject({ last: 0, asked: 4, isDamaged: false });
  expect(await failing('corrupt', 9)).toMatchObject({ last: 0, asked: 1, isDamaged: true });
});
