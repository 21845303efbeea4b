import type { NodeId, StatusAnswer } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { durationText } from '../output.ts';
import { statusLines } from './status.ts';

const whole: StatusAnswer = {
  version: '1.0.0',
  clusterId: 'c1',
  epoch: 1,
  uptimeSeconds: 5,
  health: 'whole',
  files: 12,
  directories: 3,
  bytes: 2_048,
  nodes: { up: 3, all: 3 },
  replicas: { stored: 36, wanted: 0, corrupt: 0, dropping: 0 },
  blobsShort: 0,
  blobsWithoutCopy: 0,
  blobsUnreachable: 0,
  blobsInDoubt: 0,
  healing: { copies: 0, bytes: 0, bytesPerSecond: 0, copiesPerSecond: 0, etaSeconds: 0 },
  away: [],
  draining: [],
  shortOfRoom: [],
  roomIsShort: false,
  rebalance: { running: false, movedCopies: 0, movedBytes: 0, spread: 0.01 },
};
const node = (name: string) => ({ id: `id-of-${name}` as NodeId, name });
const text = (changes: Partial<StatusAnswer>) =>
  statusLines({ ...whole, ...changes }, 'http://store').join('\n');

describe('the status', () => {
  it('of a store that is whole is short', () => {
    expect(statusLines(whole, 'http://store')).toEqual([
      'Every file has all its copies.',
      'files     12 in 3 directories, 2.0 KiB',
      'nodes     3 of 3 up',
      'copies    36 stored, 0 to be made, 0 bad, 0 on their way out',
      'store     http://store, dfs 1.0.0, cluster c1',
    ]);
  });

  it('says what is missing and how long that takes', () => {
    const healing = { copies: 9, bytes: 3 * 2 ** 20, bytesPerSecond: 2 ** 20, copiesPerSecond: 3 };
    expect(text({ health: 'healing', healing: { ...healing, etaSeconds: 95 } })).toContain(
      'healing   9 copies (3.0 MiB) to go at 1.0 MiB/s: about 1 min 35 s',
    );
    expect(text({ health: 'healing', healing })).toContain('to go, none was made lately');
  });

  it('says while nothing expires because of a clock', () => {
    expect(text({ clock: { aheadOfNodes: 172_800 } })).toContain(
      "clock     the master's clock is ahead of its nodes by 2 days: until they agree nothing expires",
    );
    expect(text({ clock: { trustedIn: 600 } })).toContain('for 10 min nothing expires');
  });

  it('says that something cannot be read, and of how many blobs', () => {
    expect(text({ health: 'healing', blobsInDoubt: 3 })).toContain(
      '3 blobs have copies only on nodes that do not answer as they should',
    );
    expect(text({ health: 'lost', blobsWithoutCopy: 2, blobsUnreachable: 3 })).toContain(
      '5 blobs have no copy that can be reached now',
    );
  });

  it.each<[string, Partial<StatusAnswer['away'][number]>, string]>([
    ['is waited for', { replacedIn: 55 }, 'its copies are made elsewhere in 55 s'],
    ['is being made up for', { replacedIn: 0 }, 'its copies are being made elsewhere'],
    ['is made up for', { isReplaced: true }, 'its copies are made up for'],
    [
      'fell silent with most others',
      {},
      'too many fell silent at once, nothing is decided until one returns',
    ],
  ])('says of a node that it %s', (_case, away, expected) => {
    const one = { node: node('attic'), silentFor: 130, isReplaced: false, ...away };
    expect(text({ health: 'healing', away: [one] })).toContain(
      `attic is down, silent for 2 min 10 s: ${expected}`,
    );
  });

  it('shows draining, rebalancing and nodes that are short of room', () => {
    const shown = text({
      draining: [
        { node: node('one'), copiesLeft: 7 },
        { node: node('two'), copiesLeft: 0 },
      ],
      shortOfRoom: [{ node: node('three'), free: 1_024 }],
      roomIsShort: true,
      rebalance: { running: true, movedCopies: 4, movedBytes: 4_096, spread: 0.314 },
    });
    expect(shown).toContain('one is drained: 7 copies to leave\n');
    expect(shown).toContain('two is drained: empty: "dfs nodes rm two" takes it out');
    expect(shown).toContain('three is short of room: 1.0 KiB free');
    expect(shown).toContain('too few nodes have room left');
    expect(shown).toContain(
      'evening out: 4 copies (4.0 KiB) moved, the fullest and the emptiest node differ by 31 %',
    );
  });

  it('warns when too few nodes keep the latest changes', () => {
    const keeper = (name: string, lagRecords: number) => ({
      ...{ ...node(name), last: 90 - lagRecords, lagRecords },
      ...{ lagSeconds: lagRecords * 2, current: lagRecords === 0 },
    });
    const journal = (...keepers: ReturnType<typeof keeper>[]) => ({ number: 90, keepers });
    expect(text({ journal: journal(keeper('a', 0), keeper('b', 0), keeper('c', 9)) })).toBe(
      text({}),
    );
    const late = text({ journal: journal(keeper('a', 0), keeper('b', 60)) });
    expect(late).toContain('journal   only 1 node has the latest changes');
    expect(late).toContain('b lacks 60 changes, for 2 min');
    expect(text({ journal: journal() })).toContain('no node has the latest changes');
    expect(text({ nodes: { up: 1, all: 1 }, journal: journal(keeper('a', 0)) })).not.toContain(
      'journal',
    );
    expect(text({ journal: { number: 0, keepers: [] } })).not.toContain('journal');
    const problem = 'Another master rules.';
    expect(text({ journal: { number: 9, keepers: [], problem } })).toContain(problem);
  });

  it('lets no name of a node command the terminal', () => {
    const away = [{ node: node('a\u001b[2J'), silentFor: 1, isReplaced: true }];
    expect(text({ away })).not.toContain('\u001b');
  });

  it.each([
    [0, '0 s'],
    [59.6, '1 min'],
    [61, '1 min 1 s'],
    [3_600, '1 h'],
    [3_661, '1 h 1 min'],
    [172_800, '2 days'],
  ])('tells %d seconds as %s', (seconds, expected) => {
    expect(durationText(seconds)).toBe(expected);
  });
});
