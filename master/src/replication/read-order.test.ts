import type { NodeId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { Replica } from '../metadata/metadata-repository.ts';
import { readOrder } from './read-order.ts';
import { makeBlob, makeNode } from './test-fixtures.ts';

const mapOf = (nodes: readonly NodeSnapshot[]) =>
  new Map<NodeId, NodeSnapshot>(nodes.map((node) => [node.id, node]));

/** The order as indices into `nodes`; node 0 has the primary. */
function orderOf(
  nodes: readonly Partial<NodeSnapshot>[],
  rows: readonly Partial<Replica>[] = [],
  avoid?: number,
  more: {
    readonly caches?: readonly number[];
    readonly isHot?: boolean;
    readonly lately?: readonly number[];
  } = {},
): number[] {
  const all = nodes.map((node) => makeNode(node));
  const blob = makeBlob(all.map((node, index) => ({ nodeId: node.id, ...rows[index] })));
  const avoided = avoid === undefined ? undefined : all[avoid]?.id;
  const caches = (more.caches ?? []).flatMap((index) => all[index]?.id ?? []);
  const readsLately = (id: NodeId) => more.lately?.[all.findIndex((node) => node.id === id)] ?? 0;
  const options = { ...more, avoid: avoided, caches, readsLately };
  const order = readOrder(blob.replicas, mapOf(all), options);
  return order.map((id) => all.findIndex((node) => node.id === id));
}

describe('readOrder', () => {
  it.each<{
    name: string;
    nodes: Partial<NodeSnapshot>[];
    rows?: Partial<Replica>[];
    avoid?: number;
    caches?: number[];
    isHot?: boolean;
    lately?: number[];
    expected: number[];
  }>([
    { name: 'the primary first, then as they come', nodes: [{}, {}, {}], expected: [0, 1, 2] },
    {
      name: 'the primary first even when it is busy',
      nodes: [{ inFlight: 99 }, {}],
      expected: [0, 1],
    },
    {
      name: 'the least busy replica first',
      nodes: [{}, { inFlight: 5 }, { inFlight: 1 }],
      expected: [0, 2, 1],
    },
    {
      name: 'a replica that is up before a suspect primary',
      nodes: [{ state: 'suspect' }, {}],
      expected: [1, 0],
    },
    {
      name: 'silent nodes as a last hope',
      nodes: [{ state: 'down' }, { state: 'suspect' }, {}],
      expected: [2, 1, 0],
    },
    {
      name: 'a draining node like one that is up',
      nodes: [{ state: 'draining' }, {}],
      expected: [0, 1],
    },
    {
      name: 'a removed node after all others',
      nodes: [{ state: 'removed' }, { state: 'down' }],
      expected: [1, 0],
    },
    {
      name: 'the avoided node last',
      nodes: [{}, {}, { state: 'down' }],
      avoid: 0,
      expected: [1, 2, 0],
    },
    { name: 'the avoided node when it alone holds a copy', nodes: [{}], avoid: 0, expected: [0] },
    {
      name: 'no copy that is still wanted',
      nodes: [{}, {}],
      rows: [{}, { state: 'wanted' }],
      expected: [0],
    },
    {
      name: 'a copy that was found bad after all others, as better than nothing',
      nodes: [{}, { state: 'down' }, {}],
      rows: [{ state: 'corrupt' }],
      avoid: 2,
      expected: [1, 2, 0],
    },
    {
      name: 'no copy that is being dropped',
      nodes: [{}, {}],
      rows: [{ state: 'dropping' }],
      expected: [1],
    },
    {
      name: 'a cache after all stored copies, and before such as may not answer',
      nodes: [{ state: 'down' }, { inFlight: 9 }, {}],
      rows: [{}, {}, { state: 'wanted' }],
      caches: [2],
      expected: [1, 2, 0],
    },
    {
      name: 'a cache on a suspect node like a stored copy there, after it',
      nodes: [{ state: 'suspect' }, { state: 'suspect' }],
      rows: [{}, { state: 'wanted' }],
      caches: [1],
      expected: [0, 1],
    },
    {
      name: 'a node once that has the blob in its store and in its cache',
      nodes: [{}, {}],
      caches: [1, 0],
      expected: [0, 1],
    },
    {
      name: 'a node whose stored copy is bad last, whatever it caches',
      nodes: [{ inFlight: 1 }, {}],
      rows: [{ state: 'corrupt' }],
      caches: [0],
      expected: [1, 0],
    },
    {
      name: 'of a hot file the least busy node, whatever it holds',
      nodes: [{ inFlight: 3 }, { inFlight: 2 }, { inFlight: 1 }],
      rows: [{}, {}, { state: 'wanted' }],
      caches: [2],
      isHot: true,
      expected: [2, 1, 0],
    },
    {
      name: 'of a hot file the primary first while all are equally busy',
      nodes: [{ inFlight: 2 }, { inFlight: 2 }, { inFlight: 2 }],
      rows: [{ role: 'replica' }, { role: 'primary' }, { state: 'wanted' }],
      caches: [2],
      isHot: true,
      expected: [1, 0, 2],
    },
    {
      name: 'of a hot file, while all are equally busy, the one that was given fewer reads lately',
      nodes: [{}, {}, {}],
      lately: [2, 1, 3],
      isHot: true,
      expected: [1, 0, 2],
    },
    {
      name: 'of a hot file, while none is much busier, the one that was given fewer reads lately',
      nodes: [{ inFlight: 12 }, { inFlight: 10 }, { inFlight: 15 }, { inFlight: 16 }],
      lately: [2, 3, 1, 0],
      isHot: true,
      expected: [2, 0, 1, 3],
    },
    {
      name: 'the primary of a file that is not hot, whatever it was given lately',
      nodes: [{}, {}],
      lately: [9, 0],
      expected: [0, 1],
    },
    {
      name: 'of a hot file an idle node in doubt after a busy one that is up',
      nodes: [{ inFlight: 50 }, { state: 'suspect' }],
      isHot: true,
      expected: [0, 1],
    },
    { name: 'nothing when there is no copy', nodes: [], expected: [] },
  ])('asks $name', ({ nodes, rows, avoid, expected, ...more }) => {
    expect(orderOf(nodes, rows, avoid, more)).toEqual(expected);
  });

  it('leaves out nodes that are not known', () => {
    const known = makeNode();
    const blob = makeBlob([{ nodeId: makeNode().id }, { nodeId: known.id }]);
    expect(readOrder(blob.replicas, mapOf([known]))).toEqual([known.id]);
  });
});
