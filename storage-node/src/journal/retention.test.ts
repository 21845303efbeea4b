import type { KeptSnapshot } from '@dfs/shared/cluster';
import { describe, expect, it } from 'vitest';
import { coveredBy, effectiveRuns, positionOf } from './retention.ts';

type Numbers = readonly [epoch: number, first: number, last: number];

const segment = ([epoch, first, last]: Numbers, damaged: readonly number[] = []) => ({
  epoch,
  first,
  last,
  runs: [first - 1, ...damaged, last + 1].slice(1).map((end, at) => ({
    epoch,
    first: ([first - 1, ...damaged][at] ?? 0) + 1,
    last: end - 1,
  })),
});
const snapshot = ([epoch, from, to]: Numbers): KeptSnapshot => ({
  epoch,
  from,
  to,
  sizeBytes: 1,
  md5: '',
  storedAtMs: 0,
});

const runsOf = (segments: readonly ReturnType<typeof segment>[]) =>
  effectiveRuns(segments).map(({ epoch, first, last }) => `${epoch}:${first}-${last}`);

const goesOf = (segments: readonly Numbers[], snapshots: readonly Numbers[]) => {
  const covered = coveredBy(
    segments.map((each) => segment(each)),
    snapshots.map(snapshot),
  );
  return [
    ...covered.segments.map(({ epoch, first }) => `records ${epoch}:${first}`),
    ...covered.snapshots.map(({ epoch, from }) => `snapshot ${epoch}:${from}`),
  ];
};

describe('the records that count', () => {
  it.each<[string, readonly Numbers[], string[]]>([
    ['are none of none', [], []],
    [
      'go over segments',
      [
        [1, 1, 9],
        [1, 10, 12],
      ],
      ['1:1-12'],
    ],
    [
      'stop at a gap',
      [
        [1, 1, 9],
        [1, 12, 15],
      ],
      ['1:1-9', '1:12-15'],
    ],
    [
      'end before a newer epoch',
      [
        [1, 1, 9],
        [2, 6, 7],
      ],
      ['1:1-5', '2:6-7'],
    ],
    [
      'end before the newest of two',
      [
        [1, 1, 9],
        [2, 6, 7],
        [3, 4, 4],
      ],
      ['1:1-3', '3:4-4'],
    ],
    [
      'are all of the newest when it begins first',
      [
        [1, 5, 9],
        [2, 5, 6],
      ],
      ['2:5-6'],
    ],
    [
      'of one epoch and the next stay apart',
      [
        [1, 1, 9],
        [2, 10, 11],
      ],
      ['1:1-9', '2:10-11'],
    ],
  ])('%s', (_, segments, expected) => {
    expect(runsOf(segments.map((each) => segment(each)))).toEqual(expected);
  });

  it('are not the damaged ones', () => {
    expect(runsOf([segment([1, 1, 9], [3, 7]), segment([2, 9, 9])])).toEqual([
      '1:1-2',
      '1:4-6',
      '1:8-8',
      '2:9-9',
    ]);
  });
});

describe('the place where the journal goes on', () => {
  it.each<[string, readonly Numbers[], readonly Numbers[], { epoch: number; last: number }]>([
    ['is the beginning', [], [], { epoch: 0, last: 0 }],
    ['is after the newest record', [[1, 1, 9]], [[1, 5, 5]], { epoch: 1, last: 9 }],
    ['is after a snapshot that is newer', [[1, 1, 9]], [[1, 20, 22]], { epoch: 1, last: 20 }],
    ['is in the newest epoch', [[1, 1, 9]], [[2, 5, 5]], { epoch: 2, last: 5 }],
    [
      'is after the records of it',
      [
        [1, 1, 9],
        [2, 6, 7],
      ],
      [[2, 5, 5]],
      { epoch: 2, last: 7 },
    ],
  ])('%s', (_, segments, snapshots, expected) => {
    expect(
      positionOf(
        segments.map((each) => segment(each)),
        snapshots.map(snapshot),
      ),
    ).toEqual(expected);
  });
});

describe('what may go', () => {
  it.each<[string, readonly Numbers[], readonly Numbers[], string[]]>([
    [
      'is nothing without a snapshot',
      [
        [1, 1, 9],
        [1, 10, 19],
      ],
      [],
      [],
    ],
    [
      'is what a snapshot covers',
      [
        [1, 1, 9],
        [1, 10, 19],
      ],
      [[1, 9, 9]],
      ['records 1:1'],
    ],
    [
      'is no segment of which a record is needed',
      [
        [1, 1, 9],
        [1, 10, 19],
      ],
      [[1, 8, 9]],
      [],
    ],
    [
      'is nothing while its records are on their way',
      [[1, 1, 9]],
      [
        [1, 9, 11],
        [1, 2, 2],
      ],
      [],
    ],
    [
      'is the older snapshot then',
      [[1, 1, 11]],
      [
        [1, 9, 11],
        [1, 2, 2],
      ],
      ['snapshot 1:2'],
    ],
    [
      'is everything of an older epoch',
      [[1, 1, 50]],
      [
        [2, 9, 9],
        [1, 2, 2],
      ],
      ['records 1:1', 'snapshot 1:2'],
    ],
    [
      'is nothing of it while the newer one cannot be used',
      [[1, 1, 50]],
      [
        [2, 9, 11],
        [1, 2, 2],
      ],
      [],
    ],
    [
      'is a snapshot between two',
      [[1, 3, 9]],
      [
        [1, 9, 12],
        [1, 8, 11],
        [1, 2, 2],
      ],
      ['snapshot 1:8'],
    ],
    ['is never the newest snapshot', [], [[1, 9, 12]], []],
    [
      'is not decided by records of another epoch',
      [
        [1, 1, 9],
        [2, 10, 12],
      ],
      [
        [1, 9, 11],
        [1, 2, 2],
      ],
      [],
    ],
  ])('%s', (_, segments, snapshots, expected) => {
    expect(goesOf(segments, snapshots)).toEqual(expected);
  });
});
