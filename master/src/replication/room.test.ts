import type { NodeState } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { bytesShortOfRoom, isShortOfRoom, roomIsShort } from './room.ts';
import { makeNode } from './test-fixtures.ts';

const gib = 2 ** 30;
const node = (freeBytes: number, state: NodeState = 'up', capacityBytes = 1_000) =>
  makeNode({ freeBytes, state, capacityBytes });

describe('roomIsShort', () => {
  it.each([
    ['nobody is there', [], 3, false],
    ['all have room', [node(500), node(500), node(500)], 3, false],
    ['one of three is full and two copies are wanted', [node(0), node(500), node(500)], 2, false],
    ['one of three is full and three copies are wanted', [node(0), node(500), node(500)], 3, true],
    ['fewer nodes than copies, all with room', [node(500), node(500)], 3, false],
    ['fewer nodes than copies, one full', [node(500), node(99)], 3, true],
    ['all are full', [node(0), node(0)], 1, true],
    ['the only one with room is down', [node(0), node(500, 'down')], 1, true],
    ['the only one with room is on its way out', [node(0), node(500, 'draining')], 1, true],
    [
      'most are away and a full one is left',
      [node(90), node(500, 'suspect'), node(500, 'down')],
      2,
      false,
    ],
    ['a full one is down', [node(500), node(500), node(0, 'down')], 2, false],
    ['all are down', [node(0, 'down'), node(0, 'suspect')], 2, false],
  ])('when %s', (_case, nodes, copies, expected) => {
    expect(roomIsShort(nodes, copies)).toBe(expected);
  });
});

describe('isShortOfRoom', () => {
  it.each([
    ['a tenth of a small disk', 100, 1_000, false],
    ['less than a tenth of a small disk', 99, 1_000, true],
    ['a hundredth of a very large disk', 100 * gib, 10_000 * gib, false],
    ['a few GiB of a very large disk', 9 * gib, 10_000 * gib, true],
  ])('with %s free', (_case, free, capacity, expected) => {
    expect(isShortOfRoom(node(free, 'up', capacity))).toBe(expected);
  });
});

describe('bytesShortOfRoom', () => {
  it.each([
    ['nobody is there', [], 0],
    ['all have room', [node(500), node(100)], 0],
    ['two of three run short', [node(500), node(60), node(0)], 140],
    ['one that runs short is down', [node(60), node(0, 'down')], 40],
  ])('when %s', (_case, nodes, expected) => {
    expect(bytesShortOfRoom(nodes)).toBe(expected);
  });
});
