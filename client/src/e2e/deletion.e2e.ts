import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contentOf, md5Of } from './harness/content.ts';
import { copiesOnDisk } from './harness/disk.ts';
import { RawConnection } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { type SeparatePrograms, startSeparatePrograms } from './harness/separate-programs.ts';
import { waitUntil } from './harness/wait-until.ts';

const graceMs = 2_000;

describe('a deleted file', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 2, environment: { DFS_SEGMENT_BYTES: '1MiB' } });
  });
  afterAll(() => cluster?.dispose());

  const blobsOf = async (path: string) =>
    new Set((await cluster.stat(path)).blobs.map((blob) => blob.id));
  const onDisk = async (blobs: ReadonlySet<string>) => {
    const copies = await Promise.all(cluster.nodeDirectories().map(copiesOnDisk));
    return copies.flat().filter(({ blob }) => blobs.has(blob)).length;
  };

  it('is gone for readers at once, and from the disks after the grace time', async () => {
    const path = '/gone/file.bin';
    const put = await cluster.store(path, contentOf(path, 2_500_000));
    await cluster.waitForCopies([path], 2);
    const blobs = await blobsOf(path);
    expect(await onDisk(blobs)).toBe(6);
    expect((await cluster.remove(path)).status).toBe(204);
    const reads = [`/fs${path}`, `/api/v1/files/${put.id}`, `/api/v1/stat${path}`];
    for (const read of reads) {
      expect([read, (await cluster.send({ path: read })).status]).toEqual([read, 404]);
    }
    expect(await cluster.names('/gone')).toEqual([]);
    // Right after the deletion no blob has left: readers may still be on their way.
    expect(await onDisk(blobs)).toBe(6);
    await waitUntil('its blobs to leave the nodes', async () => (await onDisk(blobs)) === 0);
    await cluster.waitUntilTidy();
    const dropped = (await cluster.log({ path })).filter(({ outcome }) => outcome === 'dropped');
    expect(dropped).toHaveLength(6);
  });

  it('leaves room for a new one of its name', async () => {
    const path = '/again.txt';
    const first = await cluster.store(path, 'first');
    await cluster.remove(path);
    const second = await cluster.store(path, 'second');
    expect(second.id).not.toBe(first.id);
    await cluster.waitUntilTidy();
    expect((await cluster.get(path)).text).toBe('second');
    await cluster.waitForCopies([path], 2);
  });

  it('also goes when a name is bound to another content', async () => {
    const path = '/replaced.bin';
    await cluster.store(path, contentOf('old', 1_500_000));
    await cluster.waitForCopies([path], 2);
    const old = await blobsOf(path);
    await cluster.store(path, contentOf('new', 1_500_000));
    await waitUntil('the old blobs to leave the nodes', async () => (await onDisk(old)) === 0);
    expect((await cluster.get(path)).body.equals(contentOf('new', 1_500_000))).toBe(true);
    await cluster.waitUntilTidy();
  });

  it('is read to its end by whoever had begun, however long that takes', async () => {
    const path = '/long-read.bin';
    const bytes = contentOf(path, 24 * 2 ** 20);
    await cluster.store(path, bytes);
    await cluster.waitForCopies([path], 2);
    const other = '/short-lived.bin';
    await cluster.store(other, contentOf(other, 100_000));
    const blobs = await blobsOf(other);
    const answer = await cluster.open({ path: `/fs${path}` });
    const chunks: Buffer[] = [];
    const reading = answer[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    chunks.push((await reading.next()).value as Buffer);
    await cluster.remove(path);
    await cluster.remove(other);
    // Collection ran when what was deleted together with it has gone; and it runs once more.
    await waitUntil('the other one to be collected', async () => (await onDisk(blobs)) === 0);
    await delay(graceMs);
    for (;;) {
      const { value, done } = await reading.next();
      if (done) break;
      chunks.push(value);
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    await cluster.waitUntilTidy();
  });

  it('does not drag an upload along that takes longer than the grace time', async () => {
    const path = '/slow-upload.bin';
    const bytes = contentOf(path, 3_500_000);
    const connection = await RawConnection.open(cluster.url);
    await connection.write(
      `PUT /fs${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    );
    // Two blobs are whole and bound to nothing while the rest does not come.
    await connection.write(bytes.subarray(0, 2_300_000));
    const before = await cluster.onDisk();
    await delay(4 * graceMs);
    expect((await cluster.onDisk()).copies).toBeGreaterThanOrEqual(before.copies);
    await connection.write(bytes.subarray(2_300_000));
    await connection.read(/^HTTP\/1\.1 201 /);
    connection.destroy();
    await delay(2 * graceMs);
    const got = await cluster.get(path);
    expect(md5Of(got.body)).toBe(md5Of(bytes));
    await cluster.waitForCopies([path], 2);
    await cluster.waitUntilTidy();
  });

  it('does not drag its directory, its neighbours or its namesake along', async () => {
    await cluster.store('/near/a.txt', 'same content');
    await cluster.store('/near/b.txt', 'same content');
    await cluster.store('/near/deep/a.txt', 'same content');
    await cluster.remove('/near/a.txt');
    await cluster.waitUntilTidy();
    expect(await cluster.names('/near')).toEqual(['b.txt', 'deep']);
    for (const path of ['/near/b.txt', '/near/deep/a.txt']) {
      expect((await cluster.get(path)).text).toBe('same content');
      await cluster.waitForCopies([path], 2);
    }
  });

  it('is dropped once also when it was deleted before its copies were made', async () => {
    const paths = Array.from({ length: 20 }, (_, index) => `/quick/${index}.bin`);
    for (const path of paths) {
      await cluster.store(path, contentOf(path, 60_000));
      expect((await cluster.remove(path)).status).toBe(204);
    }
    await cluster.waitUntilTidy();
    expect(await cluster.names('/quick')).toEqual([]);
  });
});

describe('a node that was down when a file was deleted', () => {
  let programs: SeparatePrograms;
  beforeAll(async () => {
    programs = await startSeparatePrograms({ nodes: 2, copies: 2 });
  });
  afterAll(() => programs?.dispose());

  it('does not bring it back, and gives its copies up when it returns', async () => {
    const doomed = ['/doomed/1.bin', '/doomed/2.bin', '/doomed/3.bin'];
    const kept = ['/kept/1.bin', '/kept/2.bin'];
    for (const path of [...doomed, ...kept]) await programs.store(path, contentOf(path, 200_000));
    await programs.waitForCopies([...doomed, ...kept], 2);
    const { program, dataDir, port } = programs.node('node-2');
    await program.stop();
    for (const path of doomed) expect((await programs.remove(path)).status).toBe(204);
    // The node that is there gives up its copies; the one that is away keeps all five.
    const other = programs.node('node-1');
    await waitUntil('the copies to leave the node that is up', async () => {
      return (await copiesOnDisk(other.dataDir)).length === kept.length;
    });
    expect(await copiesOnDisk(dataDir)).toHaveLength(5);
    await programs.startNode({ name: 'node-2', dataDir, port });
    await programs.waitUntilTidy();
    expect(await copiesOnDisk(dataDir)).toHaveLength(kept.length);
    expect(await programs.names('/doomed')).toEqual([]);
    for (const path of kept) {
      expect((await programs.get(path)).body.equals(contentOf(path, 200_000))).toBe(true);
    }
  });

  it('that was only suspended does not drop what was stored anew under the name meanwhile', async () => {
    const path = '/reborn.bin';
    await programs.store(path, contentOf('first life', 150_000));
    await programs.waitForCopies([path], 2);
    const pid = programs.pidOfNode('node-2');
    process.kill(pid, 'SIGSTOP');
    try {
      await programs.remove(path);
      await programs.store(path, contentOf('second life', 150_000));
      await delay(3 * graceMs);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await waitUntil('both nodes up', async () => (await programs.status()).nodes.up === 2);
    await programs.waitUntilTidy();
    await programs.waitForCopies([path], 2);
    for (const { node } of await programs.replicas(path)) {
      const got = await programs.get(path, {}, `?avoid=${node.id}`);
      expect(got.body.equals(contentOf('second life', 150_000))).toBe(true);
    }
  });

  it('is not needed for a file to be deleted whose copies all are on it', async () => {
    await programs.store('/all-away.bin', contentOf('all away', 10_000));
    await programs.waitForCopies(['/all-away.bin'], 2);
    const nodes = [programs.node('node-1'), programs.node('node-2')];
    for (const { program } of nodes) await program.stop();
    expect((await programs.remove('/all-away.bin')).status).toBe(204);
    for (const { name, dataDir, port } of nodes) {
      await programs.startNode({ name, dataDir, port });
    }
    await programs.waitUntilTidy();
  });
});
