import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type NodeId, newBlobId } from '@dfs/shared';
import { HttpBlobStore } from '@dfs/shared/cluster';
import { makeDescription, patternBytes } from '@dfs/shared/testing';
import { FakeMaster } from './fake-master.ts';
import { NodeProcess } from './node-process.ts';

const piece = patternBytes(256 * 1024);

/** A stream of that many bytes that holds none of them. */
function bodyOf(sizeBytes: number): Readable {
  let leftBytes = sizeBytes;
  return new Readable({
    read() {
      const bytes = piece.subarray(0, Math.min(leftBytes, piece.byteLength));
      leftBytes -= bytes.byteLength;
      this.push(bytes.byteLength > 0 ? bytes : null);
    },
  });
}

async function sizeOf(stream: Readable): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of stream) sizeBytes += (chunk as Buffer).byteLength;
  return sizeBytes;
}

/**
 * Sends `count` blobs of that size to a node at once, reads them all at once, and gives the most
 * memory the node ever had, in bytes.
 */
export async function peakMemoryOf({ count, sizeBytes }: { count: number; sizeBytes: number }) {
  const path = await mkdtemp(join(tmpdir(), 'dfs-test-'));
  const master = await FakeMaster.start();
  const node = new NodeProcess({
    DFS_DATA: path,
    DFS_MASTER_URL: master.url,
    UV_THREADPOOL_SIZE: '16',
  });
  try {
    const { url, nodeId } = await node.ready;
    const client = new HttpBlobStore({ nodeId: nodeId as NodeId, url: () => url, epoch: () => 1 });
    const ids = Array.from({ length: count }, () => newBlobId());
    const puts = ids.map((id) => {
      const description = makeDescription({ blobId: id });
      return client.put(id, bodyOf(sizeBytes), { description, sizeBytes });
    });
    await Promise.all(puts);
    const gets = ids.map(async (id) => sizeOf((await client.open(id)).bytes));
    const sizes = await Promise.all(gets);
    await client.close();
    return { peakBytes: await peakOf(node.child.pid ?? 0), sizes };
  } finally {
    await node.kill();
    await master.close();
    await rm(path, { recursive: true, force: true });
  }
}

async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
