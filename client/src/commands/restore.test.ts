import type { NodeId, RestoreReport } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { timeText } from '../output.ts';
import { restoreLines } from './restore.ts';

const none = { count: 0, paths: [] };
const whole: RestoreReport = {
  clusterId: 'c1',
  epoch: 4,
  base: 'snapshot',
  journal: { last: 99, at: '2030-01-02T03:04:05.000Z', records: 12 },
  nodes: [{ id: 'n' as NodeId, name: 'node-1', url: 'http://n:1', blobs: 7 }],
  files: 7,
  directories: 2,
  bytes: 2_048,
  withoutCopy: none,
  found: none,
  doubtful: { count: 0, files: [] },
  contested: none,
  unknownBlobs: 0,
  seconds: 3.5,
  warnings: [],
};
const lines = (changes: Partial<RestoreReport>) => restoreLines({ ...whole, ...changes });
const below = (heading: string, changes: Partial<RestoreReport>) => {
  const all = lines(changes);
  const at = all.indexOf(heading);
  expect(all[at - 1], all.join('\n')).toBe('');
  const end = all.indexOf('', at);
  return all.slice(at + 1, end < 0 ? undefined : end);
};
const numbered = (count: number) => Array.from({ length: count }, (_, index) => `/f${index}`);
const paths = (count: number, told = count) => ({ count, paths: numbered(told) });

describe('the report of a restore', () => {
  it('of a store of which nothing is missing is short', () => {
    expect(lines({})).toEqual([
      'The database is rebuilt: cluster c1, epoch 4.',
      'files       7 in 2 directories, 2.0 KiB',
      'took        3.5 s',
      `from        a snapshot that the nodes keep, and 12 later changes, up to ${timeText(whole.journal.at ?? '')}`,
      'node        node-1 at http://n:1: 7 blobs',
    ]);
  });

  it('tells where it was written, on what it was built, and which node could not be read', () => {
    const all = lines({
      into: '/tmp/new.sqlite',
      base: 'blobs',
      journal: { last: 0, records: 0 },
      nodes: [
        { id: 'n' as NodeId, name: 'node-1', url: 'http://n:1', blobs: 0, problem: 'It is away.' },
      ],
    });
    expect(all[0]).toBe('Written into /tmp/new.sqlite; the database was left as it is.');
    expect(all.slice(3)).toEqual([
      'from        what the blobs say of themselves',
      'node        node-1 at http://n:1: It is away.',
    ]);
  });

  it.each<[string, (few: RestoreReport['found']) => Partial<RestoreReport>]>([
    ['No copy found yet of', (withoutCopy) => ({ withoutCopy })],
    [
      'Newer than the journal, known from their blobs alone: each may have been moved or deleted since',
      (found) => ({ found }),
    ],
    ['Had several contents, the others are in the trash', (contested) => ({ contested })],
    [
      'Only in the database',
      (few) => ({ differences: { onlyInDatabase: few, onlyOnNodes: none, different: none } }),
    ],
    [
      'Only on the nodes',
      (few) => ({ differences: { onlyInDatabase: none, onlyOnNodes: few, different: none } }),
    ],
    [
      'Different',
      (few) => ({ differences: { onlyInDatabase: none, onlyOnNodes: none, different: few } }),
    ],
    [
      'Put below /.restored/',
      ({ count, paths: told }) => ({
        doubtful: { count, files: told.map((path) => ({ path, why: 'because' })) },
      }),
    ],
  ])('%s: lists twenty, then how many more there are', (what, changesOf) => {
    const shownOf = (count: number, told = count) =>
      below(`${what} (${count}):`, changesOf(paths(count, told))).map((line) =>
        line.replace(/ {2}because$/, ''),
      );
    const twenty = numbered(20).map((path) => `  ${path}`);
    expect(shownOf(1)).toEqual(['  /f0']);
    expect(shownOf(20)).toEqual(twenty);
    expect(shownOf(21)).toEqual([...twenty, '  … and 1 more (--json shows more)']);
    // The answer names a thousand at most.
    expect(shownOf(5_000, 1_000)).toEqual([...twenty, '  … and 4980 more (--json shows more)']);
    expect(lines(changesOf(none)).join('\n')).not.toContain(what);
  });

  it('does not list every file as new where there was no journal at all', () => {
    expect(lines({ base: 'blobs', found: paths(3) }).join('\n')).not.toContain('/f0');
  });

  it('tells what was left alone and what to know, and no name can command the terminal', () => {
    const all = lines({
      unknownBlobs: 3,
      contested: { count: 1, paths: ['/a\u001b[2Jb\n/c'] },
      doubtful: { count: 1, files: [{ path: '/d', why: 'no\nsize' }] },
      warnings: ['node-2 was away.'],
    });
    expect(all.slice(-4)).toEqual([
      '3 blobs of deleted files and unfinished uploads were left as they are on the nodes.',
      '',
      'To know:',
      '  node-2 was away.',
    ]);
    expect(all).toContain('  /a\\u001b[2Jb\\n/c');
    expect(all).toContain('  /d  no\\nsize');
  });
});
