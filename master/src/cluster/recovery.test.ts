import { type ClusterId, newClusterId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { judgeCluster } from './recovery.ts';

const ours = newClusterId();
const theirs = newClusterId();
const own = { clusterId: ours, epoch: 2, journal: 50, isEmpty: false, isUnfinished: false };
const node = { clusterId: ours as ClusterId, epoch: 2, journal: 50, blobCount: 7, name: 'attic' };
const newNode = { epoch: 0, journal: 0, blobCount: 0, name: 'attic' };

describe('judgeCluster', () => {
  it.each([
    ['takes a new disk', newNode, own, 'fine'],
    ['takes a new disk on a new database', newNode, { ...own, isEmpty: true }, 'fine'],
    [
      'takes no new disk in recovery: it would join a cluster that may not be the right one',
      newNode,
      { ...own, isEmpty: true, recovery: 'Node attic: run dfs restore.' },
      'recovery',
    ],
    ['takes its own node', node, own, 'fine'],
    ['takes a node that is behind', { ...node, epoch: 1, journal: 999 }, own, 'fine'],
    ['refuses another cluster', { ...node, clusterId: theirs }, own, 'wrong-cluster'],
    [
      'refuses an empty node of another cluster, though it is empty itself',
      { ...node, clusterId: theirs, blobCount: 0 },
      { ...own, isEmpty: true },
      'wrong-cluster',
    ],
    [
      'sees that its database is missing',
      { ...node, clusterId: theirs },
      { ...own, isEmpty: true },
      'recovery',
    ],
    ['sees that its database is old by changes', { ...node, journal: 51 }, own, 'recovery'],
    ['sees that its database is old by epoch', { ...node, epoch: 3, journal: 0 }, own, 'recovery'],
    [
      'takes nobody while its database is half restored',
      node,
      { ...own, epoch: 3, isUnfinished: true },
      'recovery',
    ],
  ])('%s', (_name, heartbeat, cluster, kind) => {
    const verdict = judgeCluster(heartbeat, cluster);
    expect(verdict.kind).toBe(kind);
    if (verdict.kind === 'recovery') expect(verdict.hint).toContain('dfs restore');
    if (verdict.kind !== 'fine') expect(verdict.message).toMatch(/attic|dfs restore/);
  });
});
