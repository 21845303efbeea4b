import type { JournalStatus } from '@dfs/shared/cluster';
import { describe, expect, it } from 'vitest';
import { standingOf } from './keeper-standing.ts';

type Run = readonly [epoch: number, first: number, last: number];

function statusOf(
  runs: readonly Run[],
  snapshots: readonly (readonly [epoch: number, from: number, to: number])[] = [],
): JournalStatus {
  const ends = [
    ...runs.map(([epoch, , last]) => ({ epoch, last })),
    ...snapshots.map(([epoch, from]) => ({ epoch, last: from })),
  ].sort((a, b) => b.epoch - a.epoch || b.last - a.last);
  return {
    epoch: ends[0]?.epoch ?? 0,
    last: ends[0]?.last ?? 0,
    runs: runs.map(([epoch, first, last]) => ({ epoch, first, last })),
    snapshots: snapshots.map(([epoch, from, to]) => ({
      epoch,
      from,
      to,
      sizeBytes: 1_000,
      md5: '',
      storedAtMs: 0,
    })),
    sizeBytes:
      snapshots.length * 1_000 + runs.reduce((sum, [, first, last]) => sum + last - first + 1, 0),
  };
}

/** In short: `ahead`, `lacks-base`, or the number to go on from, the base, and the one that is to take its place. */
function standing(
  status: JournalStatus,
  { epoch = 1, first = 1, last = 100 }: { epoch?: number; first?: number; last?: number } = {},
): string {
  const found = standingOf(status, { epoch, extent: { first, last } });
  if (found.kind !== 'goes-on') return found.kind;
  const { base, awaited } = found;
  return `${found.last}${base ? ` on ${base.from}` : ''}${awaited ? ` soon on ${awaited.from}` : ''}`;
}

describe('a keeper', () => {
  it.each<[string, string, JournalStatus, Parameters<typeof standing>[1]]>([
    ['begins when it has nothing', '0', statusOf([]), {}],
    ['goes on where it is', '40', statusOf([[1, 1, 40]]), {}],
    ['goes on on its snapshot', '40 on 30', statusOf([[1, 31, 40]], [[1, 30, 30]]), {}],
    ['may have all', '100', statusOf([[1, 1, 100]]), {}],
    ['may have only a snapshot', '30 on 30', statusOf([], [[1, 30, 30]]), {}],
    [
      'goes on on a snapshot whose records are on their way',
      '31 soon on 30',
      statusOf([[1, 31, 31]], [[1, 30, 35]]),
      {},
    ],
    [
      'keeps its older base until then',
      '31 on 10 soon on 30',
      statusOf(
        [[1, 11, 31]],
        [
          [1, 30, 35],
          [1, 10, 12],
        ],
      ),
      {},
    ],
    [
      'lacks a base where a record is damaged',
      'lacks-base',
      statusOf([
        [1, 1, 4],
        [1, 6, 40],
      ]),
      {},
    ],
    [
      'needs none of the records that its snapshot covers',
      '40 on 8',
      statusOf(
        [
          [1, 1, 4],
          [1, 6, 40],
        ],
        [[1, 8, 9]],
      ),
      {},
    ],
    ['lacks what was forgotten', 'lacks-base', statusOf([[1, 1, 40]]), { first: 50 }],
    ['goes on with the first that is still there', '40', statusOf([[1, 1, 40]]), { first: 41 }],
    ['has all, whatever was forgotten', '100', statusOf([[1, 1, 100]]), { first: 100 }],
    ['that is new lacks what was forgotten', 'lacks-base', statusOf([]), { first: 2 }],
    ['lacks a base in every epoch but the first', 'lacks-base', statusOf([]), { epoch: 2 }],
    ['of an older epoch lacks a base', 'lacks-base', statusOf([[1, 1, 100]]), { epoch: 2 }],
    ['of an older epoch may have more', 'lacks-base', statusOf([[1, 1, 400]]), { epoch: 2 }],
    ['goes on in its epoch', '90 on 80', statusOf([[2, 81, 90]], [[2, 80, 80]]), { epoch: 2 }],
    ['is ahead by its epoch', 'ahead', statusOf([[3, 1, 2]]), { epoch: 2 }],
    ['is ahead by a change', 'ahead', statusOf([[1, 1, 101]]), {}],
    ['is ahead by a snapshot', 'ahead', statusOf([], [[1, 101, 101]]), {}],
  ])('%s', (_, expected, status, own) => {
    expect(standing(status, own)).toBe(expected);
  });

  it('of a new database has nothing to lack', () => {
    expect(standingOf(statusOf([]), { epoch: 1, extent: undefined })).toMatchObject({ last: 0 });
    expect(standingOf(statusOf([[1, 1, 1]]), { epoch: 1, extent: undefined }).kind).toBe('ahead');
  });

  it('tells about how many bytes of records follow its base', () => {
    const found = standingOf(statusOf([[1, 1, 100]], [[1, 60, 60]]), {
      epoch: 1,
      extent: { first: 1, last: 100 },
    });
    expect(found).toMatchObject({ recordBytes: 40 });
  });
});
