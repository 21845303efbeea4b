import type { NodeId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { chooseKeepers, type KeeperChoice } from './choose-keepers.ts';

type Node = KeeperChoice['nodes'][number];

/** `a1` is node 1 of zone a; `~` behind it: down, `!`: draining. */
function nodesOf(text: string): Node[] {
  return text.split(' ').map((word) => ({
    id: word.slice(0, 2) as NodeId,
    zone: word.slice(0, 1),
    state: word.endsWith('~') ? 'down' : word.endsWith('!') ? 'draining' : 'up',
    freeBytes: 1_000,
  }));
}

const ids = (text: string) => text.split(' ').filter((word) => word !== '') as NodeId[];

function chosen(nodes: string, keepers = '', facts: Partial<KeeperChoice> = {}): string {
  return chooseKeepers({
    nodes: nodesOf(nodes),
    keepers: ids(keepers),
    failing: new Set(),
    current: new Set(),
    known: new Map(nodesOf(nodes).map(({ id }) => [id, 0])),
    ...facts,
  }).join(' ');
}

describe('the keepers of the journal', () => {
  it.each([
    ['none where there is no node', '', '', ''],
    ['the only one', 'a1', '', 'a1'],
    ['both of two', 'a1 a2', '', 'a1 a2'],
    ['three of many', 'a1 a2 a3 a4', '', 'a1 a2 a3'],
    ['of zones apart', 'a1 a2 a3 b1 c1', '', 'a1 b1 c1'],
    ['of two zones where there are two', 'a1 a2 a3 b1', '', 'a1 b1 a2'],
    ['those that are, whatever comes', 'a1 a2 a3 a4 a5', 'a3 a4 a5', 'a3 a4 a5'],
    ['those that are, although one is silent', 'a1 a2 a3~ a4', 'a1 a2 a3', 'a1 a2 a3'],
    ['no node that is down', 'a1 a2~ a3~', '', 'a1'],
    ['no node that leaves', 'a1 a2! a3 a4', '', 'a1 a3 a4'],
    ['another one for one that leaves', 'a1 a2 a3! a4', 'a1 a2 a3', 'a1 a2 a4'],
    ['one that leaves as long as there is no other', 'a1 a2!', 'a1 a2', 'a1 a2'],
    ['not one that is no node any more', 'a1 a2', 'a1 a9', 'a1 a2'],
  ])('are %s', (_, nodes, keepers, expected) => {
    expect(nodes === '' ? chooseKeepers(noNodes).join(' ') : chosen(nodes, keepers)).toBe(expected);
  });

  it('are another one than one that keeps failing, where there is another one', () => {
    const failing = new Set(ids('a2'));
    expect(chosen('a1 a2 a3 a4', 'a1 a2 a3', { failing })).toBe('a1 a3 a4');
    expect(chosen('a1 a2 a3', 'a1 a2 a3', { failing })).toBe('a1 a3 a2');
  });

  it('are first those that have most of the journal', () => {
    const known = new Map([
      ['a1', 0],
      ['a2', 90],
      ['a3', 100],
      ['a4', 20],
    ]) as Map<NodeId, number>;
    expect(chosen('a1 a2 a3 a4', '', { known })).toBe('a3 a2 a4');
  });

  it('are only nodes that were asked what they have', () => {
    const known = new Map(ids('a2').map((id) => [id, 0]));
    expect(chosen('a1 a2 a3', '', { known })).toBe('a2');
  });

  it('are exchanged for the sake of the zones, one at a time, when all are well', () => {
    const current = new Set(ids('a1 a2 a3'));
    expect(chosen('a1 a2 a3 b1 c1', 'a1 a2 a3', { current })).toBe('a1 a2 b1');
    expect(chosen('a1 a2 a3 b1 c1', 'a1 a2 a3', { current: new Set(ids('a1 a2')) })).toBe(
      'a1 a2 a3',
    );
    expect(chosen('a1 a2 b1 b2', 'a1 a2 b1', { current: new Set(ids('a1 a2 b1')) })).toBe(
      'a1 a2 b1',
    );
  });

  it('settle: what was chosen is chosen again', () => {
    const random = 'a1 a2 b1 b2 c1 c2 c3';
    let keepers = '';
    for (let round = 0; round < 5; round += 1) {
      keepers = chosen(random, keepers, { current: new Set(ids(keepers)) });
    }
    expect(chosen(random, keepers, { current: new Set(ids(keepers)) })).toBe(keepers);
    expect(new Set(ids(keepers).map((id) => id[0])).size).toBe(3);
  });
});

const noNodes: KeeperChoice = {
  nodes: [],
  keepers: [],
  failing: new Set(),
  current: new Set(),
  known: new Map(),
};
