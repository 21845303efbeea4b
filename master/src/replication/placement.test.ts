import type { NodeState } from '@dfs/shared';
import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { placeBlob } from './placement.ts';
import { makeNode } from './test-fixtures.ts';

const random = seededRandom(1);
const draws = 20_000;

/** How often each node was named first in many placements, as shares of 1. */
function sharesOfPrimaries(freeBytes: readonly number[]): number[] {
  const nodes = freeBytes.map((free) => makeNode({ freeBytes: free }));
  const counts = new Map(nodes.map((node) => [node.id, 0]));
  for (let round = 0; round < draws; round += 1) {
    const [primary] = placeBlob(nodes, { copies: 1, sizeBytes: 1, random });
    if (primary) counts.set(primary, (counts.get(primary) ?? 0) + 1);
  }
  return [...counts.values()].map((count) => count / draws);
}

describe('placeBlob', () => {
  it.each([
    { name: 'equal nodes', freeBytes: [100, 100, 100] },
    { name: 'one with twice the room', freeBytes: [200, 100, 100] },
    { name: 'very different nodes', freeBytes: [1_000, 10, 1] },
    { name: 'the sizes of real disks', freeBytes: [4e12, 1e12, 2.5e11, 1e15] },
  ])('picks primaries in proportion to free bytes: $name', ({ freeBytes }) => {
    const total = freeBytes.reduce((sum, free) => sum + free, 0);
    const shares = sharesOfPrimaries(freeBytes);
    shares.forEach((share, index) => {
      const expected = (freeBytes[index] ?? 0) / total;
      // Five standard deviations of a binomial share.
      const tolerance = 5 * Math.sqrt((expected * (1 - expected)) / draws) + 1e-9;
      expect(Math.abs(share - expected)).toBeLessThanOrEqual(tolerance);
    });
  });

  it('draws the second copy among the rest in proportion to free bytes', () => {
    const nodes = [
      makeNode({ freeBytes: 600 }),
      makeNode({ freeBytes: 300 }),
      makeNode({ freeBytes: 100 }),
    ];
    let afterFirst = 0;
    let smallest = 0;
    for (let round = 0; round < draws; round += 1) {
      const [primary, second] = placeBlob(nodes, { copies: 2, sizeBytes: 1, random });
      if (primary !== nodes[0]?.id) continue;
      afterFirst += 1;
      if (second === nodes[2]?.id) smallest += 1;
    }
    expect(smallest / afterFirst).toBeCloseTo(0.25, 1);
  });

  it('names every node once when as many copies as nodes are asked', () => {
    const nodes = Array.from({ length: 5 }, () => makeNode());
    const chosen = placeBlob(nodes, { copies: 5, sizeBytes: 1, random });
    expect(new Set(chosen)).toEqual(new Set(nodes.map((node) => node.id)));
    expect(chosen).toHaveLength(5);
  });

  it.each([
    { name: 'no nodes', nodes: [], copies: 3, expected: 0 },
    { name: 'fewer nodes than copies', nodes: [makeNode(), makeNode()], copies: 3, expected: 2 },
    { name: 'no copies asked', nodes: [makeNode()], copies: 0, expected: 0 },
    { name: 'a full node', nodes: [makeNode({ freeBytes: 0 })], copies: 1, expected: 0 },
    {
      name: 'a node below its reserve',
      nodes: [makeNode({ freeBytes: -5 })],
      copies: 1,
      expected: 0,
    },
    { name: 'one byte too little', nodes: [makeNode({ freeBytes: 9 })], copies: 1, expected: 0 },
    { name: 'exactly enough room', nodes: [makeNode({ freeBytes: 10 })], copies: 1, expected: 1 },
  ])('gives $expected nodes for $name', ({ nodes, copies, expected }) => {
    expect(placeBlob(nodes, { copies, sizeBytes: 10, random })).toHaveLength(expected);
  });

  it('does not place a blob of unknown size on a full node', () => {
    const full = makeNode({ freeBytes: 0 });
    expect(placeBlob([full], { copies: 1, sizeBytes: 0, random })).toEqual([]);
  });

  it.each<NodeState>(['suspect', 'down', 'draining', 'removed'])(
    'does not use a node that is %s',
    (state) => {
      const up = makeNode();
      const chosen = placeBlob([makeNode({ state }), up], { copies: 2, sizeBytes: 1, random });
      expect(chosen).toEqual([up.id]);
    },
  );

  it('never names an excluded node', () => {
    const nodes = [makeNode(), makeNode(), makeNode()];
    const exclude = new Set(nodes.slice(0, 2).map((node) => node.id));
    const chosen = placeBlob(nodes, { copies: 3, sizeBytes: 1, random, exclude });
    expect(chosen).toEqual([nodes[2]?.id]);
  });

  it('keeps zones apart while there is a zone without a copy, however small its node', () => {
    const nodes = [
      makeNode({ zone: 'a', freeBytes: 1e9 }),
      makeNode({ zone: 'a', freeBytes: 1e9 }),
      makeNode({ zone: 'b', freeBytes: 10 }),
      makeNode({ zone: 'c', freeBytes: 10 }),
    ];
    for (let round = 0; round < 200; round += 1) {
      const chosen = placeBlob(nodes, { copies: 3, sizeBytes: 1, random });
      const zones = chosen.map((id) => nodes.find((node) => node.id === id)?.zone);
      expect(zones.toSorted()).toEqual(['a', 'b', 'c']);
    }
  });

  it('uses a zone twice rather than making fewer copies', () => {
    const nodes = [makeNode({ zone: 'a' }), makeNode({ zone: 'a' })];
    expect(placeBlob(nodes, { copies: 2, sizeBytes: 1, random })).toHaveLength(2);
  });

  it('counts zones that have a copy already', () => {
    const fresh = makeNode({ zone: 'b', freeBytes: 10 });
    const nodes = [makeNode({ zone: 'a' }), fresh];
    const zonesTaken = new Set(['a']);
    for (let round = 0; round < 50; round += 1) {
      expect(placeBlob(nodes, { copies: 1, sizeBytes: 1, random, zonesTaken })).toEqual([fresh.id]);
    }
  });

  it.each([undefined, ''])('takes nodes of zone %j for zones of their own', (zone) => {
    const unzoned = Array.from({ length: 3 }, () => makeNode(zone === undefined ? {} : { zone }));
    const zoned = makeNode({ zone: 'a', freeBytes: 1e12 });
    const zonesTaken = new Set(['a', '']);
    const chosen = placeBlob([...unzoned, zoned], { copies: 3, sizeBytes: 1, random, zonesTaken });
    expect(chosen).not.toContain(zoned.id);
    expect(chosen).toHaveLength(3);
  });

  it.each([0, 1 - Number.EPSILON / 2])('holds at the edge of randomness (%d)', (edge) => {
    const nodes = [
      makeNode({ freeBytes: 0.1 + 0.2 + 1 }),
      makeNode({ freeBytes: 7 }),
      makeNode({ freeBytes: 1e15 }),
    ];
    const chosen = placeBlob(nodes, { copies: 3, sizeBytes: 1, random: () => edge });
    expect(new Set(chosen).size).toBe(3);
  });

  it('leaves its input as it was', () => {
    const nodes = Object.freeze([Object.freeze(makeNode()), Object.freeze(makeNode())]);
    const zonesTaken = new Set(['a']);
    placeBlob(nodes, { copies: 2, sizeBytes: 1, random, zonesTaken });
    expect([...zonesTaken]).toEqual(['a']);
  });
});
