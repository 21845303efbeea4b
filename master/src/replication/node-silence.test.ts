import { describe, expect, it } from 'vitest';
import { isMajoritySilent } from './node-silence.ts';
import { makeNode } from './test-fixtures.ts';

const nodeTimeoutMs = 15_000;

/** A number: down and silent for so many seconds; `up`: heard. */
const clusterOf = (nodes: readonly ('up' | number)[]) =>
  nodes.map((node) =>
    node === 'up' ? makeNode() : makeNode({ state: 'down', silentForMs: node * 1_000 }),
  );

describe('isMajoritySilent', () => {
  it.each<{ name: string; nodes: ('up' | number)[]; expected: boolean }>([
    { name: 'no nodes', nodes: [], expected: false },
    { name: 'all are up', nodes: ['up', 'up', 'up'], expected: false },
    { name: 'one of three', nodes: [20, 'up', 'up'], expected: false },
    { name: 'two of three at once', nodes: [20, 21, 'up'], expected: true },
    { name: 'half of four', nodes: [20, 20, 'up', 'up'], expected: false },
    { name: 'three of four at the edge of one timeout', nodes: [20, 25, 35, 'up'], expected: true },
    { name: 'three of four, one of them long before', nodes: [20, 25, 36, 'up'], expected: true },
    { name: 'two of three, one after the other', nodes: [20, 90, 'up'], expected: false },
    { name: 'three of five, each on its own', nodes: [20, 60, 100, 'up', 'up'], expected: false },
    {
      name: 'two of the three that were left of five',
      nodes: [20, 21, 1_000, 2_000, 'up'],
      expected: true,
    },
    { name: 'one of two', nodes: [20, 'up'], expected: false },
    { name: 'the only one', nodes: [20], expected: true },
    {
      name: 'a majority long ago that never returned',
      nodes: [9_000, 9_001, 9_002, 'up', 'up'],
      expected: true,
    },
    {
      name: 'a majority of which enough returned',
      nodes: [9_000, 9_001, 'up', 'up', 'up'],
      expected: false,
    },
  ])('is $expected for $name', ({ nodes, expected }) => {
    expect(isMajoritySilent(clusterOf(nodes), nodeTimeoutMs)).toBe(expected);
  });

  it('does not count suspect nodes as silent', () => {
    const nodes = [makeNode({ state: 'suspect' }), makeNode({ state: 'suspect' }), makeNode()];
    expect(isMajoritySilent(nodes, nodeTimeoutMs)).toBe(false);
  });
});
