import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeId } from '@dfs/shared';
import { HttpBlobStore } from '@dfs/shared/cluster';
import { makeDescription, temporaryDirectory } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeMaster } from '../testing/fake-master.ts';
import { NodeProcess } from '../testing/node-process.ts';
import { makeBlob, openTestCache, TestSource } from '../testing/test-cache.ts';
import { startTestNode, type TestNode } from '../testing/test-node.ts';

const rounds = 3;
const MiB = 2 ** 20;

let master: FakeMaster;
let holder: TestNode;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  master = await FakeMaster.start();
  holder = await startTestNode({ master });
  await holder.node.registered;
  directory = await temporaryDirectory();
});
afterAll(async () => {
  await holder.close();
  await master.close();
  await directory.remove();
});

describe('a node that is killed in the middle of fetches', () => {
  it('serves no wrong byte of what it had cached, and goes on from there', async () => {
    const blobs = Array.from({ length: 40 }, (_, index) =>
      makeBlob(index % 4 === 0 ? 6 * MiB + index : 100_000 + index, index),
    );
    for (const { blobId, bytes } of blobs) {
      await holder.client.put(blobId, bytes, { description: makeDescription({ blobId }) });
    }
    const sources = [{ nodeId: holder.node.nodeId, url: holder.url, query: '' }];
    for (let round = 0; round < rounds; round += 1) {
      const node = new NodeProcess({ DFS_DATA: directory.path, DFS_MASTER_URL: master.url });
      const { url, nodeId } = await node.ready;
      const client = new HttpBlobStore({
        nodeId: nodeId as NodeId,
        url: () => url,
        epoch: () => 1,
      });
      const wanted = blobs.slice(round * 8, round * 8 + 8);
      await client.cache.fetch({
        blobs: wanted.map(({ facts }) => ({ ...facts, sources })),
        priority: 0,
      });
      // Some of them are there; the next ones are on their way.
      for (let complete = 0; complete < 2 + round; ) {
        const page = await client.cache.list();
        complete = page.blobs.filter(
          ({ blobId, isComplete }) => isComplete && wanted.some((blob) => blob.blobId === blobId),
        ).length;
      }
      await node.kill();
      await client.close();
    }
    const source = new TestSource('holder').has(...blobs);
    const after = await openTestCache({ path: directory.path, sources: [source] });
    await after.cache.blobs.loaded;
    const completeCount = after.cache.blobs
      .list(undefined, 100)
      .blobs.filter((b) => b.isComplete).length;
    expect(completeCount).toBeGreaterThanOrEqual(rounds * 2);
    // They were killed before they had all that they were told to fetch.
    expect(completeCount).toBeLessThan(rounds * 8);
    for (const blob of blobs) expect((await after.read(blob)).equals(blob.bytes)).toBe(true);
    expect(after.cache.counters.hitBlocks).toBeGreaterThan(0);
    expect(after.cache.counters.damaged).toBe(0);
    for (const name of await readdir(join(directory.path, 'cache'))) {
      expect(blobs.map(({ blobId }) => blobId as string)).toContain(name);
    }
    await after.close();
  }, 120_000);
});
