import { mkdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BlobId, inventoryKeyOf, newBlobId } from '@dfs/shared';
import { makeDescription, patternBytes } from '@dfs/shared/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flipByte, openTestDisk, type TestDisk } from './testing/test-disk.ts';

let disk: TestDisk;
beforeEach(async () => {
  disk = await openTestDisk();
});
afterEach(() => disk.close());

async function stored(sizeBytes: number): Promise<BlobId> {
  const id = newBlobId();
  await disk.store.put(id, patternBytes(sizeBytes), {
    description: makeDescription({ blobId: id }),
  });
  return id;
}
const sizeOf = async (id: BlobId) => (await stat(disk.pathOf(id))).size;
const count = () => disk.tally.count(new AbortController().signal);
const soon = () => ({ expiresAtMs: Date.now() + 30_000 });

describe('the count of blobs', () => {
  it('finds what is there and follows writes, deletes and replacements', async () => {
    const before = await stored(1_000);
    await count();
    expect([disk.tally.blobCount, disk.tally.usedBytes]).toEqual([1, await sizeOf(before)]);
    const after = await stored(2_000);
    const both = (await sizeOf(before)) + (await sizeOf(after));
    expect([disk.tally.blobCount, disk.tally.usedBytes]).toEqual([2, both]);
    await truncate(disk.pathOf(after), 100);
    await disk.store.put(after, patternBytes(2_000), {
      description: makeDescription({ blobId: after }),
    });
    expect(disk.tally.blobCount).toBe(2);
    await disk.store.delete(before, soon());
    await disk.store.delete(before, soon());
    expect(disk.tally.blobCount).toBe(1);
  });

  it('is right when blobs come and go while it counts', async () => {
    const ids = await Promise.all(Array.from({ length: 30 }, () => stored(100)));
    const counting = count();
    await Promise.all([
      ...ids.slice(0, 10).map((id) => disk.store.delete(id, soon())),
      ...Array.from({ length: 25 }, () => stored(100)),
    ]);
    await counting;
    expect(disk.tally.blobCount).toBe(45);
    const { blobs } = await disk.store.inventory(undefined, 1_000);
    const sizes = await Promise.all(blobs.map(({ blobId }) => sizeOf(blobId)));
    expect(disk.tally.usedBytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
  });

  it('is never 0 while there is something, counted or not', async () => {
    await disk.tally.look();
    expect(disk.tally.blobCount).toBe(0);
    await stored(10);
    await disk.tally.look();
    expect(disk.tally.blobCount).toBe(1);
  });
});

describe('the inventory', () => {
  it('lists damaged blobs apart, in their place among the pages', async () => {
    const ids = await Promise.all(Array.from({ length: 40 }, () => stored(50)));
    const bad = ids.filter((_, index) => index % 4 === 0);
    for (const [index, id] of bad.entries()) {
      if (index % 2 === 0) await flipByte(disk.pathOf(id), -1);
      else await truncate(disk.pathOf(id), 0);
    }
    const found: { good: BlobId[]; bad: BlobId[] } = { good: [], bad: [] };
    let after: string | undefined;
    do {
      const page = await disk.store.inventory(after, 7);
      expect(page.blobs.length + page.damaged.length).toBeLessThanOrEqual(7);
      found.good.push(...page.blobs.map(({ blobId }) => blobId));
      found.bad.push(...page.damaged);
      after = page.next;
    } while (after !== undefined);
    const inOrder = (some: BlobId[]) =>
      some.toSorted((a, b) => (inventoryKeyOf(a) < inventoryKeyOf(b) ? -1 : 1));
    expect(found.good).toEqual(inOrder(ids.filter((id) => !bad.includes(id))));
    expect(found.bad).toEqual(inOrder(bad));
  });

  it('passes over what is no blob of its folder', async () => {
    const id = await stored(10);
    const strange = newBlobId();
    const elsewhere = strange.endsWith('00') ? '01' : '00';
    await writeFile(join(disk.path, 'blobs', elsewhere, strange), 'x');
    await writeFile(join(disk.path, 'blobs', 'ab', 'README'), 'x');
    await writeFile(join(disk.path, 'blobs', id.slice(-2), id.toUpperCase()), 'x');
    await mkdir(join(disk.path, 'blobs', 'ab', 'folder'));
    const page = await disk.store.inventory(undefined, 100);
    expect([page.blobs.map(({ blobId }) => blobId), page.damaged]).toEqual([[id], []]);
  });
});
