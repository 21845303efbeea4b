import { seededRandom } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import type { NodeSnapshot } from '../cluster/node-directory.ts';
import type { BlobCopies, CopyChange, Replica } from '../metadata/metadata-repository.ts';
import { planRepair, type RepairFacts } from './repair-plan.ts';
import { makeBlob, makeNode } from './test-fixtures.ts';

const replaceAfterMs = 60_000;
const lost = { state: 'down', silentForMs: replaceAfterMs } as const;
const silent = { state: 'down', silentForMs: replaceAfterMs - 1 } as const;

type Row = Partial<Replica> | 'none';

/** Nodes by position; a row `'none'` means that the node has no row. Changes come back as `want 3` with the node's position. */
function plan(
  nodes: readonly Partial<NodeSnapshot>[],
  rows: readonly Row[],
  options: { blob?: Partial<BlobCopies>; facts?: Partial<RepairFacts>; unverified?: number } = {},
): string[] {
  const all = nodes.map((node) => makeNode(node));
  const verified = new Set(
    all.flatMap((node, index) => (index === options.unverified ? [] : node.id)),
  );
  const blob = makeBlob(
    rows.flatMap((row, index) =>
      row === 'none' ? [] : { nodeId: all[index]?.id ?? makeNode().id, ...row },
    ),
    options.blob,
  );
  const changes = planRepair(
    [blob],
    all.filter((node) => node.state !== 'removed'),
    {
      replaceAfterMs,
      verified,
      isOnHold: false,
      random: seededRandom(7),
      ...options.facts,
    },
  );
  return changes.map((change) => describeChange(change, all));
}

function describeChange(change: CopyChange, nodes: readonly NodeSnapshot[]): string {
  const position = (id: string) => nodes.findIndex((node) => node.id === id);
  const others =
    change.kind === 'drop-surplus'
      ? ` keeping ${change.confirmedNodes.map(position).sort().join()}`
      : '';
  return change.kind === 'rank'
    ? change.kind
    : `${change.kind} ${position(change.nodeId)}${others}`;
}

const stored: Row = {};
const wanted: Row = { state: 'wanted' };
const corrupt: Row = { state: 'corrupt' };
const dropping: Row = { state: 'dropping' };

describe('planRepair', () => {
  it.each<{
    name: string;
    nodes: Partial<NodeSnapshot>[];
    rows: Row[];
    blob?: Partial<BlobCopies>;
    unverified?: number;
    expected: string[];
  }>([
    {
      name: 'leaves a blob with all its copies alone',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, stored],
      expected: [],
    },
    {
      name: 'leaves copies that are on their way alone',
      nodes: [{}, {}, {}, {}],
      rows: [stored, wanted, corrupt],
      expected: [],
    },
    {
      name: 'wants what too few nodes left short',
      nodes: [{}, {}, {}],
      rows: [stored, stored],
      expected: ['want 2'],
    },
    {
      name: 'wants as many as there are nodes for',
      nodes: [{}, {}],
      rows: [stored],
      expected: ['want 1'],
    },
    { name: 'does nothing when there is no other node', nodes: [{}], rows: [stored], expected: [] },
    {
      name: 'does not place on a full node',
      nodes: [{}, {}, { freeBytes: 999 }],
      rows: [stored, stored],
      expected: [],
    },
    {
      name: 'does not place where a copy is being dropped',
      nodes: [{}, {}, {}],
      rows: [stored, stored, dropping],
      expected: [],
    },
    {
      name: 'replaces a copy that is being dropped',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, dropping],
      expected: ['want 3'],
    },
    {
      name: 'waits for a node that is silent for less than the limit',
      nodes: [{}, {}, silent, {}],
      rows: [stored, stored, stored],
      expected: [],
    },
    {
      name: 'makes the copies of a lost node anew',
      nodes: [{}, {}, lost, {}],
      rows: [stored, stored, stored],
      expected: ['want 3'],
    },
    {
      name: 'keeps the rows of a lost node when nobody can take its place',
      nodes: [{}, {}, lost],
      rows: [stored, stored, wanted],
      expected: [],
    },
    {
      name: 'moves a wanted row off a lost node',
      nodes: [{}, {}, lost, {}],
      rows: [stored, stored, wanted],
      expected: ['want 3', 'unwant 2'],
    },
    {
      name: 'makes up for a bad copy on a lost node, and remembers that it is bad',
      nodes: [{}, {}, lost, {}],
      rows: [stored, stored, corrupt],
      expected: ['want 3'],
    },
    {
      name: 'never forgets a stored row of a lost node',
      nodes: [{}, lost, lost, {}],
      rows: [stored, stored, wanted],
      expected: ['want 3', 'unwant 2'],
    },
    {
      name: 'forgets a wanted row of a removed node at once',
      nodes: [{}, {}, { state: 'removed' }],
      rows: [stored, stored, wanted],
      expected: ['unwant 2'],
    },
    {
      name: 'moves a copy that its node had no room for',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, { state: 'wanted', lastError: 'no-room' }],
      expected: ['want 3', 'unwant 2'],
    },
    {
      name: 'keeps asking a full node when there is no other',
      nodes: [{}, {}, {}],
      rows: [stored, stored, { state: 'wanted', lastError: 'no-room' }],
      expected: [],
    },
    {
      name: 'ranks copies to be made anew when a node was lost since',
      nodes: [{}, lost, {}],
      rows: [stored, stored, { ...wanted, livingCopies: 2 }],
      blob: { copiesWanted: 2 },
      expected: ['rank'],
    },
    {
      name: 'leaves copies to be made alone whose rank is right',
      nodes: [{}, lost, {}],
      rows: [stored, stored, { ...wanted, livingCopies: 1 }],
      blob: { copiesWanted: 2 },
      expected: [],
    },
    {
      name: 'makes copies elsewhere while a draining node is silent',
      nodes: [{}, { state: 'suspect', isDraining: true }, {}],
      rows: [stored, stored],
      blob: { copiesWanted: 2 },
      expected: ['want 2'],
    },
    {
      name: 'moves the primary off a lost node',
      nodes: [lost, {}, {}, {}],
      rows: [stored, stored, wanted],
      expected: ['promote 1', 'want 3'],
    },
    {
      name: 'leaves the primary on a node that is only silent',
      nodes: [silent, {}, {}],
      rows: [stored, stored, stored],
      expected: [],
    },
    {
      name: 'gives a blob without a good primary a new one',
      nodes: [{}, {}, {}],
      rows: [corrupt, stored, wanted],
      expected: ['promote 1'],
    },
    {
      name: 'cannot move the primary to a copy that is not stored',
      nodes: [lost, { state: 'suspect' }, {}],
      rows: [stored, stored, wanted],
      expected: [],
    },
    {
      name: 'wants nothing while no holder can be reached',
      nodes: [lost, lost, {}, {}],
      rows: [stored, stored, wanted],
      expected: [],
    },
    {
      name: 'wants nothing while the only holder is silent',
      nodes: [silent, lost, {}, {}],
      rows: [stored, wanted, wanted],
      expected: [],
    },
    {
      name: 'copies from a suspect holder',
      nodes: [{ state: 'suspect' }, lost, {}, {}],
      rows: [stored, wanted, wanted],
      expected: ['want 3', 'unwant 1'],
    },
    {
      name: 'counts a suspect node as there',
      nodes: [{}, { state: 'suspect' }, {}, {}],
      rows: [stored, stored, stored],
      expected: [],
    },
    {
      name: 'moves copies off a draining node',
      nodes: [{}, {}, { state: 'draining' }, {}],
      rows: [stored, stored, stored],
      expected: ['want 3'],
    },
    {
      name: 'drops the draining copy when the others are stored',
      nodes: [{}, {}, { state: 'draining' }, {}],
      rows: [stored, stored, stored, stored],
      expected: ['drop-surplus 2 keeping 0,1,3'],
    },
    {
      name: 'drops a surplus copy but not the primary',
      nodes: [{ freeBytes: 2_000 }, {}, {}, { freeBytes: 5_000 }],
      rows: [stored, stored, stored, stored],
      expected: ['drop-surplus 3 keeping 0,1,2'],
    },
    {
      name: "drops the primary's copy when it is on a draining node, after moving the role",
      nodes: [{ state: 'draining' }, {}, {}, {}],
      rows: [stored, stored, stored, stored],
      expected: ['promote 1', 'drop-surplus 0 keeping 1,2,3'],
    },
    {
      name: 'forgets a copy on its way that is not needed any more',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, stored, wanted],
      expected: ['unwant 3'],
    },
    {
      name: 'gives up copies on their way that are too many, those tried in vain first',
      nodes: [{}, {}, {}, {}, {}],
      rows: [stored, stored, wanted, { state: 'wanted', attempts: 3 }, wanted],
      expected: ['unwant 3', 'unwant 2'],
    },
    {
      name: 'gives up a copy on its way to a silent node before one to a node that is up',
      nodes: [{}, {}, {}, silent],
      rows: [stored, stored, wanted, wanted],
      expected: ['unwant 3'],
    },
    {
      name: 'deletes a bad copy that nobody needs',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, stored, corrupt],
      expected: ['drop-surplus 3 keeping 0,1,2'],
    },
    {
      name: 'makes a bad copy anew while it is needed',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, corrupt],
      expected: [],
    },
    {
      name: 'keeps a surplus copy while a holder was not compared since it returned',
      nodes: [{}, {}, {}, {}],
      rows: [stored, stored, stored, stored],
      unverified: 2,
      expected: [],
    },
    {
      name: 'keeps a surplus copy while a holder is suspect',
      nodes: [{}, {}, { state: 'suspect' }, {}],
      rows: [stored, stored, stored, stored],
      expected: [],
    },
    {
      name: 'keeps a surplus copy while a holder was not heard for a minute',
      nodes: [{}, {}, { silentForMs: 60_000 }, {}],
      rows: [stored, stored, stored, stored],
      expected: [],
    },
    {
      name: 'drops two of five and names what stays',
      nodes: [{}, {}, {}, { freeBytes: 10 }, { freeBytes: 20 }],
      rows: [stored, stored, stored, stored, stored],
      expected: ['drop-surplus 3 keeping 0,1,2', 'drop-surplus 4 keeping 0,1,2'],
    },
    {
      name: 'keeps zones spread when it drops',
      nodes: [
        { zone: 'a' },
        { zone: 'a', freeBytes: 1e12 },
        { zone: 'b', freeBytes: 5_000 },
        { zone: 'c', freeBytes: 5_000 },
      ],
      rows: [stored, stored, stored, stored],
      expected: ['drop-surplus 1 keeping 0,2,3'],
    },
    {
      name: 'places the replacement in the zone that lost its copy',
      nodes: [{ zone: 'a' }, { zone: 'b', ...lost }, { zone: 'a', freeBytes: 1e12 }, { zone: 'b' }],
      rows: [stored, stored],
      blob: { copiesWanted: 2 },
      expected: ['want 3'],
    },
    {
      name: 'does not trim before the copies wanted are stored',
      nodes: [{}, {}, lost, {}],
      rows: [stored, stored, stored, wanted],
      expected: [],
    },
    {
      name: 'does not take a copy on a lost node for a surplus',
      nodes: [{}, {}, {}, lost],
      rows: [stored, stored, stored, stored],
      expected: [],
    },
    {
      name: 'keeps the only copy of a blob of one copy',
      nodes: [{}],
      rows: [stored],
      blob: { copiesWanted: 1 },
      expected: [],
    },
  ])('$name', ({ nodes, rows, blob, unverified, expected }) => {
    const options = {
      ...(blob ? { blob } : {}),
      ...(unverified === undefined ? {} : { unverified }),
    };
    expect(plan(nodes, rows, options)).toEqual(expected);
  });

  it.each<{ name: string; nodes: Partial<NodeSnapshot>[]; rows: Row[] }>([
    { name: 'short blobs', nodes: [{}, {}, {}], rows: [stored] },
    { name: 'lost copies', nodes: [{}, {}, lost, {}], rows: [stored, stored, stored] },
    { name: 'a lost primary', nodes: [lost, {}, {}], rows: [stored, stored, stored] },
    { name: 'surplus copies', nodes: [{}, {}, {}, {}], rows: [stored, stored, stored, stored] },
    {
      name: 'rows on removed nodes',
      nodes: [{}, {}, { state: 'removed' }],
      rows: [stored, stored, wanted],
    },
  ])('plans nothing for $name while on hold', ({ nodes, rows }) => {
    expect(plan(nodes, rows)).not.toEqual([]);
    expect(plan(nodes, rows, { facts: { isOnHold: true } })).toEqual([]);
  });

  it('does not fill a node beyond its room in one round', () => {
    const holder = makeNode();
    const small = makeNode({ freeBytes: 2_500 });
    const blobs = Array.from({ length: 10 }, () =>
      makeBlob([{ nodeId: holder.id }], { copiesWanted: 2 }),
    );
    const facts = {
      replaceAfterMs,
      verified: new Set<never>(),
      isOnHold: false,
      random: seededRandom(1),
    };
    expect(planRepair(blobs, [holder, small], facts)).toHaveLength(2);
  });

  it('ends: after two plans were carried out there is nothing more to plan', () => {
    const random = seededRandom(3);
    for (let round = 0; round < 500; round += 1) {
      const { blobs, nodes, facts } = randomCluster(random);
      const once = applied(blobs, planRepair(blobs, nodes, facts));
      const twice = applied(once, planRepair(once, nodes, facts));
      expect(planRepair(twice, nodes, facts), `round ${round}`).toEqual([]);
    }
  });

  it('never drops below the wanted number of confirmed copies, whatever the cluster looks like', () => {
    const random = seededRandom(4);
    let drops = 0;
    for (let round = 0; round < 1_000; round += 1) {
      const { blobs, nodes, facts } = randomCluster(random);
      const byId = new Map(nodes.map((node) => [node.id, node]));
      for (const change of planRepair(blobs, nodes, facts)) {
        if (change.kind !== 'drop-surplus') continue;
        drops += 1;
        const blob = blobs.find((each) => each.blobId === change.blobId);
        expect(change.confirmedNodes).not.toContain(change.nodeId);
        expect(new Set(change.confirmedNodes).size).toBeGreaterThanOrEqual(
          blob?.copiesWanted ?? 99,
        );
        for (const id of change.confirmedNodes) {
          expect(byId.get(id)?.state).toBe('up');
          expect(facts.verified.has(id)).toBe(true);
          expect(blob?.replicas.find((row) => row.nodeId === id)?.state).toBe('stored');
        }
      }
    }
    expect(drops).toBeGreaterThan(30);
  });
});

const states = ['up', 'up', 'up', 'suspect', 'down', 'draining'] as const;
const replicaStates = ['stored', 'stored', 'stored', 'wanted', 'corrupt', 'dropping'] as const;

function randomCluster(random: () => number) {
  const pick = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)] as T;
  const nodes = Array.from({ length: 2 + Math.floor(random() * 6) }, () => {
    return makeNode({
      state: pick(states),
      silentForMs: pick([0, 1_000, 59_999, 60_000, 1e6]),
      freeBytes: pick([0, 1_500, 1e6, 1e9]),
      ...(random() < 0.5 ? { zone: pick(['a', 'b']) } : {}),
    });
  });
  const blobs = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
    const holders = nodes.filter(() => random() < 0.7);
    const rows = holders.map((node) => ({ nodeId: node.id, state: pick(replicaStates) }));
    return makeBlob(rows, { copiesWanted: 1 + Math.floor(random() * 4) });
  });
  const facts: RepairFacts = {
    replaceAfterMs,
    verified: new Set(nodes.filter(() => random() < 0.8).map((node) => node.id)),
    isOnHold: false,
    random,
  };
  return { blobs, nodes, facts };
}

/** The rows after the changes, as the repository would make them. */
function applied(blobs: readonly BlobCopies[], changes: readonly CopyChange[]): BlobCopies[] {
  return blobs.map((blob) => {
    let rows: Replica[] = [...blob.replicas];
    for (const change of changes.filter((each) => each.blobId === blob.blobId)) {
      if (change.kind === 'rank') continue;
      const { nodeId, blobId } = change;
      const others = rows.filter((row) => row.nodeId !== nodeId);
      const own = rows.find((row) => row.nodeId === nodeId);
      if (change.kind === 'want') {
        rows = [...rows, { blobId, nodeId, role: 'replica', state: 'wanted', attempts: 0 }];
      } else if (change.kind === 'unwant') rows = others;
      else if (change.kind === 'drop-surplus' && own)
        rows = [...others, { ...own, state: 'dropping' }];
      else if (change.kind === 'promote') {
        rows = rows.map((row) => ({ ...row, role: row.nodeId === nodeId ? 'primary' : 'replica' }));
      }
    }
    return { ...blob, replicas: rows };
  });
}
