import { type NodeId, newBlobId } from '@dfs/shared';
import { FakeClock, recordingLogger } from '@dfs/shared/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { BlobsInUse } from '../files/blobs-in-use.ts';
import { makeNode } from '../replication/test-fixtures.ts';
import { ClusterNodeAdmin, findNode } from './node-admin.ts';
import type { NodeSnapshot } from './node-directory.ts';

let clock: FakeClock;
let uploads: BlobsInUse;
let nodes: NodeSnapshot[];
let removed: NodeId[];
let lastCopies: { blobs: number; bytes: number };
let rowsLeft: number;
let forgotten: number;
/** What else happens while the admin waits. */
let meanwhile: () => void;
let admin: ClusterNodeAdmin;

beforeEach(() => {
  clock = new FakeClock();
  uploads = new BlobsInUse(clock);
  nodes = ['one', 'two', 'three'].map((name) => makeNode({ name }));
  removed = [];
  lastCopies = { blobs: 0, bytes: 0 };
  rowsLeft = 0;
  forgotten = 0;
  meanwhile = () => undefined;
  admin = new ClusterNodeAdmin({
    clock,
    uploads,
    logger: recordingLogger().logger,
    metadata: {
      lastCopiesOn: async () => lastCopies,
      forgetCopiesOn: async (_id, limit) => {
        const gone = Math.min(limit, rowsLeft);
        rowsLeft -= gone;
        return gone;
      },
    },
    nodes: {
      snapshots: () => nodes,
      find: (id) => nodes.find((node) => node.id === id),
      removed: () => removed,
      drain: async (id, isDraining) => {
        nodes = nodes.map((node) => {
          if (node.id !== id) return node;
          const { isDraining: _, ...rest } = node;
          const state = isDraining ? 'draining' : 'up';
          return { ...rest, state, ...(isDraining ? { isDraining } : {}) };
        });
      },
      remove: async (id) => {
        nodes = nodes.filter((node) => node.id !== id);
        removed.push(id);
      },
    },
    wait: async (ms) => {
      clock.advance(ms);
      meanwhile();
    },
    onForgotten: () => {
      forgotten += 1;
    },
  });
});

const stateOf = (name: string) => nodes.find((node) => node.name === name)?.state;

describe('a node that is named', () => {
  it('is found by its id or its name, and an ambiguous name is refused with the ids', () => {
    const [first, second] = [makeNode({ name: 'attic' }), makeNode({ name: 'attic' })];
    expect(findNode([first, second], second.id)).toBe(second);
    expect(findNode([first], 'attic')).toBe(first);
    expect(() => findNode([first, second], 'attic')).toThrow(
      expect.objectContaining({ kind: 'conflict', message: expect.stringContaining(second.id) }),
    );
    expect(() => findNode([first], 'cellar')).toThrow(
      expect.objectContaining({ kind: 'not-found' }),
    );
  });

  it('by another one’s id as its name is the one of that id', () => {
    const first = makeNode();
    const impostor = makeNode({ name: first.id });
    expect(findNode([impostor, first], first.id)).toBe(first);
  });
});

describe('draining', () => {
  it('begins and is called off', async () => {
    expect(await admin.drain('one', { cancel: false })).toMatchObject({ state: 'draining' });
    expect(await admin.drain('one', { cancel: true })).toMatchObject({ state: 'up' });
  });

  it('is refused for the last node that takes blobs', async () => {
    await admin.drain('one', { cancel: false });
    await admin.drain('two', { cancel: false });
    await expect(admin.drain('three', { cancel: false })).rejects.toMatchObject({
      kind: 'conflict',
    });
    expect(stateOf('three')).toBe('up');
    // Once more is no new question.
    await admin.drain('one', { cancel: false });
  });
});

describe('removal', () => {
  it('is refused while the node holds the last copy of something, and leaves the node as it was', async () => {
    lastCopies = { blobs: 3, bytes: 4_096 };
    await expect(admin.remove('two', { force: false })).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('3 blobs (4096 bytes)'),
    });
    expect(stateOf('two')).toBe('up');
    await admin.drain('two', { cancel: false });
    await expect(admin.remove('two', { force: false })).rejects.toThrow();
    expect(stateOf('two')).toBe('draining');
    expect(removed).toEqual([]);
    expect(await admin.remove('two', { force: true })).toMatchObject({ state: 'removed' });
    expect(removed).toHaveLength(1);
  });

  it('waits for uploads that may have been placed on the node, and not for later ones', async () => {
    const release = uploads.uploading([newBlobId()]);
    let waits = 0;
    meanwhile = () => {
      waits += 1;
      uploads.uploading([newBlobId()]);
      if (waits === 3) release();
    };
    await admin.remove('one', { force: false });
    expect(waits).toBe(3);
    expect(removed).toHaveLength(1);
  });

  it('gives up on an upload that does not end, and leaves the node as it was', async () => {
    uploads.uploading([newBlobId()]);
    await expect(admin.remove('one', { force: false })).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('Uploads are running'),
    });
    expect(stateOf('one')).toBe('up');
  });

  it('waits for no upload that began after the node was drained', async () => {
    await admin.drain('one', { cancel: false });
    clock.advance(1);
    uploads.uploading([newBlobId()]);
    await admin.remove('one', { force: false });
    expect(removed).toHaveLength(1);
  });

  it('takes the rows away in parts, and has what is short of copies looked at', async () => {
    rowsLeft = 2_500;
    await admin.remove('one', { force: false });
    let steps = 0;
    while (await admin.forgetRemoved()) steps += 1;
    expect({ steps, rowsLeft, forgotten }).toEqual({ steps: 4, rowsLeft: 0, forgotten: 3 });
    // A late upload may have named it since.
    rowsLeft = 1;
    clock.advance(3_600_000);
    while (await admin.forgetRemoved());
    expect(rowsLeft).toBe(0);
  });
});
