import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type BlobId, type NodeId, newBlobId } from '@dfs/shared';
import { HttpBlobStore } from '@dfs/shared/cluster';
import {
  bytesOf,
  makeDescription,
  md5Of,
  patternBytes,
  temporaryDirectory,
} from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeMaster } from './testing/fake-master.ts';
import { NodeProcess } from './testing/node-process.ts';

const rounds = 6;
const writers = 8;
const source = patternBytes(3 * 2 ** 20);

let master: FakeMaster;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  master = await FakeMaster.start();
  directory = await temporaryDirectory();
});
afterAll(async () => {
  await master.close();
  await directory.remove();
});

/** What was tried, and whether it was acknowledged. */
interface Attempt {
  readonly md5: string;
  isAcknowledged: boolean;
}

async function start() {
  const node = new NodeProcess({ DFS_DATA: directory.path, DFS_MASTER_URL: master.url });
  const { url, nodeId } = await node.ready;
  const client = new HttpBlobStore({ nodeId: nodeId as NodeId, url: () => url, epoch: () => 1 });
  return { node, client };
}

/** Puts blobs of all sizes one after the other until the node is gone. */
async function putUntilDead(
  client: HttpBlobStore,
  attempts: Map<BlobId, Attempt>,
  onAcknowledged: () => void,
): Promise<void> {
  for (;;) {
    const id = newBlobId();
    const sizeBytes = Math.floor(Math.random() ** 4 * source.byteLength);
    const content = source.subarray(source.byteLength - sizeBytes);
    const attempt = { md5: md5Of(content), isAcknowledged: false };
    attempts.set(id, attempt);
    const body = sizeBytes % 2 === 0 ? content : Readable.from([content]);
    try {
      await client.put(id, body, { description: makeDescription({ blobId: id }), sizeBytes });
      attempt.isAcknowledged = true;
      onAcknowledged();
    } catch {
      return;
    }
  }
}

async function allBlobs(client: HttpBlobStore): Promise<BlobId[]> {
  const found: BlobId[] = [];
  for (
    let after: string | undefined, isFirst = true;
    isFirst || after !== undefined;
    isFirst = false
  ) {
    const page = await client.inventory(after, 1_000);
    expect(page.damaged).toEqual([]);
    found.push(...page.blobs.map(({ blobId }) => blobId));
    after = page.next;
  }
  return found;
}

describe('a node that is killed in the middle of puts', () => {
  it('has every blob that it acknowledged, whole, and nothing that is half', async () => {
    const attempts = new Map<BlobId, Attempt>();
    for (let round = 0; round < rounds; round += 1) {
      const { node, client } = await start();
      let acknowledged = 0;
      const killAfter = 20 + Math.floor(Math.random() * 60);
      const onAcknowledged = () => {
        acknowledged += 1;
        if (acknowledged === killAfter) node.child.kill('SIGKILL');
      };
      await Promise.all(
        Array.from({ length: writers }, () => putUntilDead(client, attempts, onAcknowledged)),
      );
      expect(await node.ended).toBe('SIGKILL');
      await client.close();
    }
    const { node, client } = await start();
    expect(await readdir(join(directory.path, 'staging'))).toEqual([]);
    const stored = new Set(await allBlobs(client));
    let acknowledged = 0;
    for (const [id, { md5, isAcknowledged }] of attempts) {
      if (isAcknowledged) acknowledged += 1;
      if (!stored.has(id)) {
        expect({ id, isAcknowledged }).toEqual({ id, isAcknowledged: false });
        continue;
      }
      expect(md5Of(await bytesOf((await client.open(id)).bytes))).toBe(md5);
    }
    expect(acknowledged).toBeGreaterThanOrEqual(20 * rounds);
    await client.close();
    await node.kill();
  }, 120_000);
});
