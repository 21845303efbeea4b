import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies } from '../metadata/metadata-repository.ts';
import {
  chooseDonor,
  type Move,
  planMoves,
  planSpread,
  spreadMax,
  spreadOf,
  zoneDonors,
} from './rebalance-plan.ts';
import { makeBlob, makeNode } from './test-fixtures.ts';

/** A node with so much of its room used. */
const node = (usedBytes: number, roomBytes = 1_000, more: Partial<NodeSnapshot> = {}) =>
  makeNode({ usedBytes, freeBytes: roomBytes - usedBytes, capacityBytes: roomBytes, ...more });

const options = { moving: [], exhausted: new Set<never>(), movesMax: 100, bytesMax: 1e9 };

describe('chooseDonor', () => {
  it.each<[string, NodeSnapshot[], number | undefined]>([
    ['nobody is there', [], undefined],
    ['there is one node', [node(900)], undefined],
    ['all are alike', [node(500), node(520)], undefined],
    ['one is fuller', [node(500), node(700), node(600)], 1],
    ['a large one holds more and is emptier', [node(500), node(1_000, 4_000)], 0],
    ['a new one is empty beside many that are alike', [...Array(9).fill(node(500)), node(0)], 0],
    ['the fuller one is drained', [node(500), node(900, 1_000, { isDraining: true })], undefined],
    ['the fuller one is away', [node(500), node(900, 1_000, { state: 'down' })], undefined],
    ['the emptier one is away', [node(500, 1_000, { state: 'suspect' }), node(900)], undefined],
  ])('when %s', (_case, nodes, index) => {
    expect(chooseDonor(nodes, [], new Set())).toBe(
      index === undefined ? undefined : nodes[index]?.id,
    );
  });

  it('goes on with the next one when the fullest has given all it can', () => {
    const [full, fuller, empty] = [node(700), node(900), node(0)];
    const nodes = [full, fuller, empty];
    expect(chooseDonor(nodes, [], new Set([fuller.id]))).toBe(full.id);
    expect(chooseDonor(nodes, [], new Set([fuller.id, full.id]))).toBeUndefined();
  });

  it('counts what is on its way', () => {
    const [full, empty] = [node(600), node(400)];
    const moves = [{ blobId: makeBlob([]).blobId, from: full.id, to: empty.id, sizeBytes: 90 }];
    expect(chooseDonor([full, empty], moves, new Set())).toBeUndefined();
  });
});

describe('zones', () => {
  const inZones = (...zones: readonly (string | undefined)[]) =>
    zones.map((zone, at) => node(500 - 100 * at, 1_000, zone === undefined ? {} : { zone }));

  it.each<[string, (string | undefined)[], number[]]>([
    ['none', [undefined, undefined], []],
    ['one', ['a', 'a'], []],
    ['two', ['a', 'b', 'a'], [0, 1, 2]],
    ['one, and a node without', ['a', 'a', undefined], [0, 1]],
  ])('of which there are %s have donors where copies may share one', (_case, zones, donors) => {
    const nodes = inZones(...zones);
    expect(zoneDonors(nodes)).toEqual(donors.map((at) => nodes[at]?.id));
  });

  it.each<[string, (string | undefined)[], number[], number | undefined]>([
    // The zone of each of four nodes, ever emptier; on which the blob lies; where it goes from the first.
    ['that share one', ['a', 'a', 'b', 'b'], [0, 1], 3],
    ['of which two share one, not to the other', ['a', 'a', 'b', 'b'], [0, 1, 2], undefined],
    ['of which two share one, to a third', ['a', 'a', 'b', 'c'], [0, 1, 2], 3],
    ['that share one, to a node without', ['a', 'a', 'a', undefined], [0, 1], 3],
    ['of which others share one', ['c', 'a', 'a', 'b'], [0, 1, 2], undefined],
    ['that are apart', ['a', 'b', 'c', 'c'], [0, 1], undefined],
    ['on nodes without', [undefined, undefined, 'a', 'b'], [0, 1], undefined],
  ])('get copies %s', (_case, zones, holders, expected) => {
    const nodes = inZones(...zones);
    const rows = holders.map((at) => ({ nodeId: (nodes[at] as NodeSnapshot).id }));
    const [sized, empty] = [10, 0].map((sizeBytes) =>
      makeBlob(rows, { copiesWanted: rows.length, sizeBytes }),
    ) as [BlobCopies, BlobCopies];
    const limits = { ...options, donor: (nodes[0] as NodeSnapshot).id };
    const { moves } = planSpread([sized, empty], nodes, limits);
    const to = expected === undefined ? [] : [nodes[expected]?.id, nodes[expected]?.id];
    expect(moves.map((move) => move.to)).toEqual(to);
    const hopeless = new Set([sized.blobId]);
    expect(planSpread([sized], nodes, { ...limits, hopeless }).moves).toEqual([]);
  });
});

describe('planMoves', () => {
  const plan = (nodes: NodeSnapshot[], blobs: BlobCopies[], more: Partial<typeof options> = {}) =>
    planMoves(blobs, nodes, { ...options, ...more, donor: nodes[0]?.id as never });
  const blobOn = (holders: NodeSnapshot[], more: Partial<BlobCopies> = {}) =>
    makeBlob(
      holders.map(({ id }) => ({ nodeId: id })),
      { copiesWanted: holders.length, sizeBytes: 10, ...more },
    );

  it.each<[string, Partial<NodeSnapshot>[], number[], number | undefined]>([
    // Of four nodes: zone and room; on which the blob lies; where it goes.
    ['to the emptiest node', [{}, {}, {}, {}], [0], 3],
    ['to the emptiest that has no copy', [{}, {}, {}, {}], [0, 3], 2],
    ['nowhere when all have one', [{}, {}, {}, {}], [0, 1, 2, 3], undefined],
    ['not to a node without room', [{}, {}, {}, { usedBytes: 0, freeBytes: 9 }], [0], 2],
    ['not to a node that is away', [{}, {}, {}, { state: 'suspect' }], [0], 2],
    ['not to a node that is drained', [{}, {}, {}, { isDraining: true }], [0], 2],
    [
      'to a zone that has no copy',
      [{ zone: 'a' }, { zone: 'b' }, { zone: 'c' }, { zone: 'b' }],
      [0, 1],
      2,
    ],
    [
      'within its zone rather than to one that has a copy',
      [{ zone: 'a' }, { zone: 'b' }, { zone: 'a' }, { zone: 'b' }],
      [0, 1],
      2,
    ],
    [
      'nowhere when every node left is in a zone that has a copy',
      [{ zone: 'a' }, { zone: 'b' }, { zone: 'b' }, { zone: 'b' }],
      [0, 1],
      undefined,
    ],
    [
      'anywhere when its own zone has another copy',
      [{ zone: 'a' }, { zone: 'a' }, { zone: 'a' }, { zone: 'a' }],
      [0, 1],
      3,
    ],
  ])('moves a copy %s', (_case, changes, holders, expected) => {
    const used = [800, 600, 300, 100];
    const nodes = used.map((usedBytes, at) => node(usedBytes, 1_000, changes[at]));
    const blob = blobOn(holders.map((at) => nodes[at] as NodeSnapshot));
    const { moves } = plan(nodes, [blob]);
    const to = expected === undefined ? [] : [nodes[expected]?.id];
    expect(moves.map((move) => move.to)).toEqual(to);
  });

  it.each<[string, Partial<BlobCopies>, Parameters<typeof makeBlob>[0][number]]>([
    ['has a copy to be made', {}, { nodeId: makeNode().id, state: 'wanted' }],
    ['has a bad copy', {}, { nodeId: makeNode().id, state: 'corrupt' }],
    ['has a copy on its way out', {}, { nodeId: makeNode().id, state: 'dropping' }],
    ['lacks copies', { copiesWanted: 3 }, { nodeId: makeNode().id }],
    ['has copies too many', { copiesWanted: 1 }, { nodeId: makeNode().id }],
    ['is empty', { sizeBytes: 0 }, { nodeId: makeNode().id }],
  ])('leaves a blob to others that %s', (_case, more, row) => {
    const nodes = [node(800), node(100)];
    const rows = [{ nodeId: (nodes[0] as NodeSnapshot).id }, row];
    const blob = makeBlob(rows, { copiesWanted: 2, sizeBytes: 10, ...more });
    expect(plan(nodes, [blob]).moves).toEqual([]);
  });

  it('stops when nodes differ little, and makes nobody fuller than the donor', () => {
    const nodes = [node(300), node(100)];
    const blobs = Array.from({ length: 30 }, () => blobOn([nodes[0] as NodeSnapshot]));
    const { moves } = plan(nodes, blobs);
    expect(moves).toHaveLength(8);
    expect(spreadOf(nodes, moves)).toBeLessThanOrEqual(spreadMax);
    const large = blobOn([nodes[0] as NodeSnapshot], { sizeBytes: 150 });
    expect(plan(nodes, [large]).moves).toEqual([]);
  });

  it('keeps to its limits and says how far it looked', () => {
    const nodes = [node(900), node(0)];
    const blobs = Array.from({ length: 9 }, () => blobOn([nodes[0] as NodeSnapshot]));
    expect(plan(nodes, blobs, { movesMax: 2 })).toMatchObject({ looked: 2 });
    expect(plan(nodes, blobs, { bytesMax: 25 })).toMatchObject({ looked: 3 });
    expect(plan(nodes, blobs, { bytesMax: 1 }).moves).toHaveLength(1);
  });

  it('evens out any mixture of nodes, step by step, without ever making it worse', () => {
    const random = seededRandom(3);
    for (let round = 0; round < 50; round += 1) {
      const rooms = Array.from({ length: 3 + Math.floor(random() * 5) }, () =>
        Math.round(5_000 * (1 + 9 * random())),
      );
      const ids = rooms.map(() => makeNode().id);
      const used = rooms.map(() => 0);
      const blobs = Array.from({ length: 300 }, () => {
        const at = Math.floor(random() * random() * ids.length);
        const sizeBytes = 1 + Math.floor(random() * 20);
        used[at] = (used[at] ?? 0) + sizeBytes;
        return makeBlob([{ nodeId: ids[at] as never }], { copiesWanted: 1, sizeBytes });
      });
      const nodes = ids.map((id, at) => node(used[at] ?? 0, rooms[at], { id }));
      const moved: Move[] = [];
      const exhausted = new Set<never>();
      for (;;) {
        const donor = chooseDonor(nodes, moved, exhausted);
        if (donor === undefined) break;
        const own = blobs.filter((blob) => blob.replicas[0]?.nodeId === donor);
        const before = spreadOf(nodes, moved);
        const { moves } = planMoves(own, nodes, { ...options, donor, exhausted, moving: moved });
        if (moves.length === 0) exhausted.add(donor as never);
        moved.push(...moves);
        expect(spreadOf(nodes, moved)).toBeLessThanOrEqual(before + 1e-9);
      }
      // A copy is moved once at most.
      expect(new Set(moved.map((move) => move.blobId)).size).toBe(moved.length);
      expect(spreadOf(nodes, moved), `round ${round}`).toBeLessThanOrEqual(2 * spreadMax);
    }
  });
});
