import { describe, expect, it } from 'vitest';
import { StoreError } from '../errors.ts';
import { type BlobId, newBlobId, newNodeId } from '../ids.ts';
import { bytesOf, makeDescription, patternBytes } from './blobs.ts';
import { describeBlobStore } from './describe-blob-store.ts';
import { FakeClock } from './fake-clock.ts';
import { MemoryBlobStore } from './memory-blob-store.ts';

describeBlobStore('MemoryBlobStore', async () => {
  const other = new MemoryBlobStore();
  const source = { nodeId: newNodeId(), url: 'http://127.0.0.1:1' };
  const store = new MemoryBlobStore({
    peerOf: (nodeId) => (nodeId === source.nodeId ? other : undefined),
  });
  return {
    store,
    corrupt: (id, offset) => store.corrupt(id, offset),
    peer: { store: other, source, corrupt: (id, offset) => other.corrupt(id, offset) },
  };
});

const bytes = patternBytes(3 * 2 ** 20);
const putAt = (store: MemoryBlobStore, id: BlobId, body: Uint8Array = bytes) =>
  store.put(id, body, { description: makeDescription({ blobId: id }) });
const refusal = new StoreError('unavailable', 'Out of order.');

describe('a memory blob store that fails on purpose', () => {
  it.each(['put', 'open', 'describe', 'delete', 'pull', 'inventory'] as const)(
    'rejects %s',
    async (operation) => {
      const store = new MemoryBlobStore();
      const id = newBlobId();
      store.fault = (called) => {
        if (called === operation) throw refusal;
      };
      const operations = {
        put: () => putAt(store, id),
        open: () => store.open(id),
        describe: () => store.describe(id),
        delete: () => store.delete(id, { expiresAtMs: Date.now() + 1_000 }),
        pull: () =>
          store.pull({
            blobId: id,
            source: { nodeId: newNodeId(), url: '' },
            sizeBytes: 1,
            md5: '',
          }),
        inventory: () => store.inventory(undefined, 1),
      };
      await expect(operations[operation]()).rejects.toBe(refusal);
      expect(store.ids).toEqual([]);
    },
  );

  it('keeps what it took when only the answer is lost', async () => {
    const store = new MemoryBlobStore();
    const id = newBlobId();
    store.faultAfterPut = () => {
      throw refusal;
    };
    await expect(putAt(store, id)).rejects.toBe(refusal);
    expect(store.ids).toEqual([id]);
  });

  it('breaks a read where it is told to', async () => {
    const store = new MemoryBlobStore();
    const id = newBlobId();
    await putAt(store, id);
    store.faultWhileReading = (_, offset) => {
      if (offset >= 2 ** 20) throw refusal;
    };
    const { bytes: broken } = await store.open(id);
    await expect(bytesOf(broken)).rejects.toBe(refusal);
  });

  it('has no room beyond its capacity', async () => {
    const store = new MemoryBlobStore({ capacityBytes: 10 });
    await putAt(store, newBlobId(), bytes.subarray(0, 10));
    await expect(putAt(store, newBlobId(), bytes.subarray(0, 1))).rejects.toMatchObject({
      kind: 'no-room',
    });
    expect(store.usedBytes).toBe(10);
  });

  it('judges the expiry of deletes by its clock', async () => {
    const clock = new FakeClock();
    const store = new MemoryBlobStore({ clock });
    const id = newBlobId();
    await putAt(store, id);
    expect((await store.describe(id))?.storedAtMs).toBe(clock.now());
    const expiresAtMs = clock.now() + 30_000;
    clock.advance(30_001);
    await expect(store.delete(id, { expiresAtMs })).rejects.toMatchObject({ kind: 'expired' });
  });
});

describe('a fake clock', () => {
  it('moves when told to, and its monotonic time never jumps', () => {
    const clock = new FakeClock(1_000);
    const before = clock.monotonic();
    clock.advance(5);
    expect([clock.now(), clock.monotonic() - before]).toEqual([1_005, 5]);
    clock.set(7);
    expect([clock.now(), clock.monotonic() - before]).toEqual([7, 5]);
  });
});
