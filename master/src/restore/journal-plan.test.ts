import type { NodeId } from '@dfs/shared';
import { expect, it } from 'vitest';
import { type JournalBase, type KeptJournal, planJournal, runsAt } from './journal-plan.ts';

const [a, b] = ['a', 'b'] as NodeId[] as [NodeId, NodeId];

type Run = readonly [epoch: number, first: number, last: number];
type Snapshot = readonly [epoch: number, from: number, to: number];

const kept = (nodeId: NodeId, runs: readonly Run[], snapshots: readonly Snapshot[] = []) =>
  ({
    nodeId,
    status: {
      runs: runs.map(([epoch, first, last]) => ({ epoch, first, last })),
      snapshots: snapshots.map(([epoch, from, to]) => ({
        epoch,
        from,
        to,
        sizeBytes: 1,
        md5: '',
        storedAtMs: 0,
      })),
    },
  }) satisfies KeptJournal;

const database = (epoch: number, number: number): JournalBase & { kind: 'database' } => ({
  kind: 'database',
  epoch,
  from: number,
  to: number,
});

/** `kind epoch-from`, the last record, and "torn". */
const inShort = (plan: ReturnType<typeof planJournal>) => {
  const { base, last, isTorn } = plan;
  return `${base ? `${base.kind} ${base.epoch}-${base.from}` : 'none'} to ${last}${isTorn ? ' torn' : ''}`;
};

it.each<[string, readonly KeptJournal[], string]>([
  ['no journal at all', [kept(a, [])], 'none to 0'],
  ['all records from the first', [kept(a, [[1, 1, 9]])], 'nothing 0-0 to 9'],
  ['records without their beginning', [kept(a, [[1, 5, 9]])], 'none to 0'],
  ['a snapshot alone', [kept(a, [], [[1, 5, 5]])], 'snapshot 1-5 to 5'],
  ['a snapshot and what follows', [kept(a, [[1, 3, 9]], [[1, 5, 7]])], 'snapshot 1-5 to 9'],
  [
    'the newest snapshot',
    [
      kept(
        a,
        [[1, 3, 9]],
        [
          [1, 7, 7],
          [1, 4, 4],
        ],
      ),
    ],
    'snapshot 1-7 to 9',
  ],
  [
    'an older snapshot where the records that make the newer one right are missing',
    [
      kept(
        a,
        [[1, 3, 9]],
        [
          [1, 8, 12],
          [1, 4, 4],
        ],
      ),
    ],
    'snapshot 1-4 to 9',
  ],
  [
    'a torn snapshot when there is nothing else',
    [kept(a, [[1, 8, 9]], [[1, 7, 12]])],
    'snapshot 1-7 to 9 torn',
  ],
  [
    'a gap ends the run',
    [
      kept(
        a,
        [
          [1, 6, 7],
          [1, 9, 12],
        ],
        [[1, 5, 5]],
      ),
    ],
    'snapshot 1-5 to 7',
  ],
  [
    'a gap on one node is filled by another',
    [
      kept(
        a,
        [
          [1, 6, 7],
          [1, 9, 12],
        ],
        [[1, 5, 5]],
      ),
      kept(b, [[1, 7, 10]]),
    ],
    'snapshot 1-5 to 12',
  ],
  [
    'records go on across epochs',
    [
      kept(a, [
        [1, 1, 8],
        [2, 9, 12],
      ]),
    ],
    'nothing 0-0 to 12',
  ],
  [
    'records of an older epoch past the first of a newer one are void',
    [kept(a, [[1, 1, 20]]), kept(b, [[2, 9, 12]])],
    'nothing 0-0 to 12',
  ],
  [
    'a base of an older epoch that may show void records is none',
    [kept(a, [[1, 1, 20]], [[1, 15, 15]]), kept(b, [[2, 9, 12]])],
    'nothing 0-0 to 12',
  ],
  [
    'a snapshot of a newer epoch makes records of the older one void',
    [kept(a, [[1, 1, 20]], [[1, 3, 3]]), kept(b, [], [[2, 9, 9]])],
    'snapshot 2-9 to 9',
  ],
])('%s', (_, journals, expected) => {
  expect(inShort(planJournal(journals))).toBe(expected);
});

it.each<[string, readonly KeptJournal[], readonly ReturnType<typeof database>[], string]>([
  ['its own number on', [kept(a, [[1, 3, 9]], [[1, 5, 5]])], [database(1, 4)], 'database 1-4 to 9'],
  [
    'a snapshot where the records in between are pruned',
    [kept(a, [[1, 6, 9]], [[1, 5, 5]])],
    [database(1, 2)],
    'snapshot 1-5 to 9',
  ],
  [
    'a snapshot where its own last changes are void',
    [kept(a, [[2, 4, 9]], [[2, 3, 3]])],
    [database(1, 6)],
    'snapshot 2-3 to 9',
  ],
  [
    'the database when nothing is newer',
    [kept(a, [[1, 1, 4]])],
    [database(1, 4)],
    'database 1-4 to 4',
  ],
])('a database that is behind goes on from %s', (_, journals, own, expected) => {
  expect(inShort(planJournal(journals, own))).toBe(expected);
});

it('reads a number from those that hold it, the longest run first, and never a void record', () => {
  const plan = planJournal([
    kept(a, [[1, 1, 20]]),
    kept(b, [
      [1, 1, 10],
      [2, 9, 12],
    ]),
  ]);
  expect(runsAt(plan.runs, 8).map((run) => [run.nodeId, run.epoch, run.last])).toEqual([
    [a, 1, 8],
    [b, 1, 8],
  ]);
  expect(runsAt(plan.runs, 9).map((run) => [run.nodeId, run.epoch])).toEqual([[b, 2]]);
  expect(plan.highest).toEqual({ epoch: 2, number: 12 });
});
