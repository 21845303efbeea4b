import { StoreError, type StoreErrorKind } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import { makeNode } from '../replication/test-fixtures.ts';
import { checkRoom, uploadRefusal } from './upload-refusal.ts';

const up = (freeBytes: number) => makeNode({ freeBytes, capacityBytes: 10_000 });
const notHeard = (state: NodeSnapshot['state'], usedBytes: number) =>
  makeNode({ state, usedBytes, capacityBytes: 10_000, freeBytes: 0 });

describe('room for a body', () => {
  it.each<readonly [string, NodeSnapshot[], number, StoreErrorKind | undefined]>([
    ['fits', [up(100), up(500)], 500, undefined],
    ['fits in parts', [up(500), up(500)], 900, undefined],
    ['is too large for all together', [up(500), up(500)], 1_001, 'no-room'],
    ['has parts too large for each', [up(300), up(300)], 500, 'no-room'],
    ['is of unknown size', [up(1)], 0, undefined],
    ['is of unknown size, and all is full', [up(0), up(0)], 0, 'no-room'],
    ['might fit on a node not heard since the start', [notHeard('suspect', 0)], 500, undefined],
    ['would fit on the one that is down', [up(100), notHeard('down', 0)], 500, 'unavailable'],
    ['would fit only on nodes that are down', [notHeard('down', 0)], 500, 'unavailable'],
    ['would not even fit on the one that is down', [up(1), notHeard('down', 9_999)], 5, 'no-room'],
    ['would fit only on a node that leaves', [notHeard('draining', 0)], 5, 'unavailable'],
    ['meets no node at all', [], 0, 'unavailable'],
  ])('a body that %s', (_, nodes, sizeBytes, kind) => {
    const check = () => checkRoom(nodes, { sizeBytes, segmentBytes: 500, minCopies: 1 });
    if (kind === undefined) check();
    else expect(check).toThrow(expect.objectContaining({ kind }));
  });

  it.each([
    [1, undefined],
    [2, undefined],
    [3, 'unavailable'],
  ])('for %i copies before the answer', (minCopies, kind) => {
    const nodes = [up(100), notHeard('suspect', 0), notHeard('down', 0), up(10)];
    const check = () => checkRoom(nodes, { sizeBytes: 50, segmentBytes: 500, minCopies });
    if (kind === undefined) check();
    else expect(check).toThrow(expect.objectContaining({ kind }));
  });
});

describe('the refusal of an upload', () => {
  it('for lack of room says which node lacks how much', () => {
    const [one, two, three] = [up(10), up(499), up(900)];
    const failures = new Map([[three.id, new StoreError('no-room', 'Full.')]]);
    const refusal = uploadRefusal([one, two, three], { sizeBytes: 500, failures });
    expect(refusal.kind).toBe('no-room');
    expect(refusal.message).toContain(
      `for 500 bytes: ${one.name} lacks 490, ${two.name} lacks 1, ${three.name} says that it is full.`,
    );
  });

  it('that more than one node was to take is for lack of room when enough are there, but full', () => {
    const [one, full] = [up(100), up(40)];
    const check = () => checkRoom([one, full], { sizeBytes: 50, segmentBytes: 500, minCopies: 2 });
    expect(check).toThrow(expect.objectContaining({ kind: 'no-room' }));
    expect(check).toThrow(`${full.name} lacks 10`);
  });

  it('is for lack of room only when no node could have taken it', () => {
    const [one, two] = [up(1_000), up(1_000)];
    const full = new StoreError('no-room', 'Full.');
    const broken = new StoreError('internal', 'Broken.');
    const failures = new Map([
      [one.id, full],
      [two.id, broken],
    ]);
    const refusal = uploadRefusal([one, two], { sizeBytes: 5, failures });
    expect(refusal).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 2 });
    expect(refusal.message).toContain(`2 storage nodes`);
    expect(refusal.message).toContain(`${two.name} (Broken.)`);
    failures.set(two.id, full);
    expect(uploadRefusal([one, two], { sizeBytes: 5, failures }).kind).toBe('no-room');
  });
});
