import { execFile } from 'node:child_process';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { blobPathOf, encodeHeaderJson, newBlobId } from '@dfs/shared';
import { bytesOf, makeDescription, patternBytes, temporaryDirectory } from '@dfs/shared/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiskSpace } from './space.ts';
import { answerOf, codeOf } from './testing/raw-http.ts';
import { startTestNode, type TestNode } from './testing/test-node.ts';

const run = promisify(execFile);
const mib = 2 ** 20;
const diskBytes = 12 * mib;

/** Makes `path` a file system of 12 MiB where we may mount one; true when it is. */
async function mountSmallDisk(path: string): Promise<boolean> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${diskBytes}`, 'tmpfs', path]);
    return true;
  } catch {
    return false;
  }
}

/** Where nothing may be mounted, the files of the node are counted against 12 MiB instead. */
async function pretendSmallDisk(path: string): Promise<DiskSpace> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  let usedBytes = 0;
  for (const entry of entries.filter((each) => each.isFile())) {
    usedBytes += (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0;
  }
  return { capacityBytes: diskBytes, freeBytes: Math.max(0, diskBytes - usedBytes) };
}

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let isMounted: boolean;
let node: TestNode;

beforeAll(async () => {
  directory = await temporaryDirectory();
  isMounted = await mountSmallDisk(directory.path);
  node = await startTestNode({
    dataDir: join(directory.path, 'data'),
    environment: { DFS_RESERVE_BYTES: '0' },
    ...(isMounted ? {} : { measureDisk: pretendSmallDisk }),
  });
  await node.node.registered;
});
afterAll(async () => {
  await node.close();
  if (isMounted) await run('umount', [directory.path]);
  await directory.remove();
});

const put = (sizeBytes: number, { isAnnounced = true } = {}) => {
  const id = newBlobId();
  const content = patternBytes(sizeBytes);
  const pieces = Array.from({ length: Math.ceil(sizeBytes / 65_536) }, (_, i) =>
    content.subarray(i * 65_536, (i + 1) * 65_536),
  );
  const body = Readable.from(pieces, { objectMode: false });
  const description = makeDescription({ blobId: id });
  const size = isAnnounced ? { sizeBytes } : {};
  return { id, content, done: node.client.put(id, body, { description, ...size }) };
};

const staged = () => readdir(join(node.node.dataDir, 'staging'));
const soon = () => ({ expiresAtMs: Date.now() + 30_000 });

describe('a disk that is nearly full', () => {
  it('refuses before its body what cannot fit', async () => {
    const id = newBlobId();
    const sent = request(node.url + blobPathOf(id), {
      method: 'PUT',
      agent: false,
      headers: {
        'x-dfs-node': node.node.nodeId,
        'x-dfs-epoch': '1',
        'x-dfs-description': encodeHeaderJson(makeDescription({ blobId: id })),
        'content-length': String(2 * diskBytes),
        expect: '100-continue',
      },
    });
    let wasAsked = false;
    sent.once('continue', () => {
      wasAsked = true;
    });
    sent.flushHeaders();
    const answer = await answerOf(sent);
    sent.destroy();
    expect([answer.status, codeOf(answer), wasAsked]).toEqual([507, 'no-room', false]);
  });

  it('refuses a small held body, and a pull, that cannot fit', async () => {
    const filling = put(9 * mib);
    await filling.done;
    await expect(put(5 * mib).done).rejects.toMatchObject({ kind: 'no-room' });
    await node.client.delete(filling.id, soon());
  });

  it('ends a body of unknown length where the room ends, and leaves nothing of it', async () => {
    const { id, done } = put(2 * diskBytes, { isAnnounced: false });
    await expect(done).rejects.toMatchObject({ kind: 'no-room' });
    expect(await staged()).toEqual([]);
    expect(await node.client.describe(id)).toBeUndefined();
  });

  it('does not promise the same room to two', async () => {
    const outcomes = await Promise.allSettled([put(7 * mib).done, put(7 * mib).done]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { kind: 'no-room' },
    });
    for (const { blobId } of (await node.client.inventory(undefined, 10)).blobs) {
      await node.client.delete(blobId, soon());
    }
  });

  it('has its room back after deletes', async () => {
    for (let round = 0; round < 3; round += 1) {
      const { id, content, done } = put(9 * mib);
      await done;
      expect((await bytesOf((await node.client.open(id)).bytes)).equals(content)).toBe(true);
      await node.client.delete(id, soon());
    }
  });

  it('that somebody else fills in the middle of a write refuses it, and reads on', async () => {
    const kept = put(mib);
    await kept.done;
    const id = newBlobId();
    const content = patternBytes(6 * mib);
    const filler = join(directory.path, 'filler');
    const body = Readable.from(
      (async function* () {
        for (let at = 0; at < content.byteLength; at += mib) {
          yield content.subarray(at, at + mib);
          if (at !== mib) continue;
          if (!isMounted) throw new Error('Here the body breaks off instead.');
          // Fails when it has filled the disk.
          await writeFile(filler, patternBytes(diskBytes)).catch(() => undefined);
        }
      })(),
      { objectMode: false },
    );
    const description = makeDescription({ blobId: id });
    const put6 = node.client.put(id, body, { description, sizeBytes: content.byteLength });
    await expect(put6).rejects.toMatchObject({ kind: isMounted ? 'no-room' : 'incomplete-body' });
    await expect.poll(staged).toEqual([]);
    expect((await bytesOf((await node.client.open(kept.id)).bytes)).equals(kept.content)).toBe(
      true,
    );
    expect(await node.client.describe(id)).toBeUndefined();
    await rm(filler, { force: true });
    await put(mib).done;
  });
});
