import { rmSync, truncateSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicaAnswer } from './harness/answers.ts';
import { contentOf } from './harness/content.ts';
import { flipByte, sizeOnDisk } from './harness/disk.ts';
import type { ErrorAnswer } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { waitUntil } from './harness/wait-until.ts';

const sizeBytes = 3_500_000;
/** Behind the data lie four bytes of CRC for each MiB, then the description, then a footer of 32 bytes. */
const tableBytes = 16;
const footerBytes = 32;

const damages: Record<string, (path: string) => void | Promise<void>> = {
  'its first byte flipped': (path) => flipByte(path, 0),
  'a byte in the middle flipped': (path) => flipByte(path, 1_700_000),
  'the last byte of the data flipped': (path) => flipByte(path, sizeBytes - 1),
  'a byte of the CRC table flipped': (path) => flipByte(path, sizeBytes + 5),
  'a byte of the description flipped': (path) => flipByte(path, sizeBytes + tableBytes + 20),
  'the first byte of the footer flipped': (path) => flipByte(path, -footerBytes),
  'the last byte flipped': (path) => flipByte(path, -1),
  'the last byte cut off': async (path) => truncateSync(path, (await sizeOnDisk(path)) - 1),
  'half of it cut off': (path) => truncateSync(path, sizeBytes / 2),
  'everything but the data cut off': (path) => truncateSync(path, sizeBytes),
  'no byte left': (path) => truncateSync(path, 0),
  'its file deleted': (path) => rmSync(path),
};

describe('a copy that rots', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2, restart: true });
  });
  afterAll(() => cluster?.dispose());

  const storeFile = async (path: string) => {
    const bytes = contentOf(path, sizeBytes);
    await cluster.store(path, bytes);
    await cluster.waitForCopies([path], 2);
    const copies = await cluster.replicas(path);
    const copyOf = (role: ReplicaAnswer['role']) =>
      copies.find((copy) => copy.role === role) as ReplicaAnswer;
    return { bytes, primary: copyOf('primary'), replica: copyOf('replica') };
  };

  const expectRight = async (path: string, bytes: Buffer) => {
    const got = await cluster.get(path);
    expect([got.status, got.body.equals(bytes)]).toEqual([200, true]);
  };

  /** Reads until the log says that this copy is bad, and waits until it was replaced. */
  const expectReplaced = async (path: string, bytes: Buffer, damaged: ReplicaAnswer) => {
    await waitUntil(
      'the log to say that the copy is bad',
      async () => {
        await expectRight(path, bytes);
        const rows = await cluster.log({ path });
        return rows.some(
          ({ outcome, target }) =>
            (outcome === 'corrupt' || outcome === 'missing') && target.id === damaged.node.id,
        );
      },
      { everyMs: 100 },
    );
    await cluster.waitForCopies([path], 2);
    const rows = await cluster.log({ path });
    const found = rows.findIndex(({ outcome }) => outcome === 'corrupt' || outcome === 'missing');
    expect(rows.slice(found + 1).some(({ outcome }) => outcome === 'stored')).toBe(true);
    for (const copy of await cluster.replicas(path)) {
      const whole = await readFile(copy.path);
      expect(whole.subarray(0, sizeBytes).equals(bytes)).toBe(true);
      expect(whole.length).toBeGreaterThan(sizeBytes + tableBytes + footerBytes);
      const got = await cluster.get(path, {}, `?avoid=${copy.node.id}`);
      expect(got.body.equals(bytes)).toBe(true);
    }
  };

  describe.each(Object.entries(damages))('with %s', (name, damage) => {
    it('is never read, is replaced, and the log says so', async () => {
      const path = `/rot/${name}.bin`;
      const { bytes, primary } = await storeFile(path);
      // Read before as well, so that nothing that a node remembers of the file hides the damage.
      await expectRight(path, bytes);
      await damage(primary.path);
      await expectRight(path, bytes);
      const part = await cluster.get(path, { Range: 'bytes=1699990-1700010' });
      expect(part.body.equals(bytes.subarray(1_699_990, 1_700_011))).toBe(true);
      await expectReplaced(path, bytes, primary);
    });
  });

  it('in a block that a reader reaches late is noticed before any byte of it is sent', async () => {
    const path = '/late.bin';
    const { bytes, primary } = await storeFile(path);
    const answer = await cluster.open({ path: '/fs/late.bin' });
    await flipByte(primary.path, 3_300_000);
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
    await expectReplaced(path, bytes, primary);
  });

  it('on the replica is noticed when the primary is gone, and the reader is told so rather than given it', async () => {
    const path = '/both.bin';
    const { bytes, primary, replica } = await storeFile(path);
    await flipByte(replica.path, 2_000_000);
    const pid = cluster.pidOf(primary.node.id);
    await cluster.kill(primary.node.id, 'SIGSTOP');
    try {
      const got = await cluster.get(path).catch((error: Error) => error);
      // The first blocks may have been sent before the bad one was met: then only a broken connection can tell.
      if (got instanceof Error) expect(got.message).toMatch(/aborted|hang up|ECONNRESET/);
      else expect([503, got.body.length < sizeBytes]).toEqual([got.status, true]);
      const beyond = await cluster.get(path, { Range: 'bytes=2000000-2000000' });
      expect(beyond.status).toBe(503);
    } finally {
      await cluster.kill(primary.node.id, 'SIGCONT');
    }
    expect(cluster.pidOf(primary.node.id)).toBe(pid);
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    await expectReplaced(path, bytes, replica);
  });

  it('while its node was away is noticed when the node returns', async () => {
    const path = '/away.bin';
    const { bytes, primary } = await storeFile(path);
    const pid = cluster.pidOf(primary.node.id);
    await cluster.kill(primary.node.id);
    rmSync(primary.path);
    await cluster.waitForRestart(primary.node.id, pid);
    await waitUntil('all nodes up', async () => (await cluster.status()).nodes.up === 3);
    await expectReplaced(path, bytes, primary);
    await cluster.waitUntilTidy();
  });
});

describe('the only copy of a file', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
  });
  afterAll(() => cluster?.dispose());

  it('that cannot be read is told as such, and read again once it can', async () => {
    const path = '/only.bin';
    const bytes = contentOf(path, sizeBytes);
    await cluster.store(path, bytes);
    const [copy] = await cluster.replicas(path);
    await flipByte(copy?.path ?? '', 10);
    const got = await cluster.get(path);
    expect([got.status, got.json<ErrorAnswer>().error.code]).toEqual([503, 'corrupt']);
    expect(got.json<ErrorAnswer>().error.message).toContain('node-1');
    await waitUntil('the store to know', async () => (await cluster.status()).health !== 'whole');
    // A cable or a memory chip may have been at fault, not the disk: the bytes are right after all.
    await flipByte(copy?.path ?? '', 10);
    await waitUntil('the file to be read again', async () => {
      const again = await cluster.get(path);
      return again.status === 200 && again.body.equals(bytes);
    });
    await cluster.waitForAllCopies();
  });
});
