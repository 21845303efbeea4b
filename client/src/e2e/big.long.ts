import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PutAnswer } from './harness/answers.ts';
import { contentRange, contentStream, digestOfStream, seededRandom } from './harness/content.ts';
import { RawConnection } from './harness/http.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { expectModestMemory, modestMemoryBytes } from './harness/memory.ts';
import { peakMemoryBytes } from './harness/program.ts';
import { waitUntil } from './harness/wait-until.ts';

const gibibyte = 2 ** 30;

describe('many long files at once', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 1 });
  });
  afterAll(() => cluster?.dispose());

  it('16 files of 256 MiB go in and out in modest memory', async () => {
    const sizeBytes = gibibyte / 4;
    const paths = Array.from({ length: 16 }, (_, index) => `/many/${index}.bin`);
    const puts = paths.map((path) =>
      cluster.store(path, contentStream(path, sizeBytes), {
        headers: { 'Content-Length': String(sizeBytes) },
      }),
    );
    const answers = await Promise.all(puts);
    expectModestMemory(cluster);
    const gets = paths.map(async (path, index) => {
      const answer = await cluster.open({ path: `/fs${path}` });
      const got = await digestOfStream(answer as AsyncIterable<Buffer>);
      expect(got).toEqual({ md5: answers[index]?.md5, sizeBytes });
    });
    await Promise.all(gets);
    expectModestMemory(cluster);
  });
});

describe('a file of 10 GiB', () => {
  let cluster: LocalCluster;
  const sizeBytes = 10 * gibibyte;
  let md5 = '';
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 1 });
  });
  afterAll(() => cluster?.dispose());

  it('comes in through standard input in constant memory and becomes several blobs', async () => {
    const putting = cluster.startDfs(['put', '-', 'huge.bin', '--json'], {
      stdin: contentStream('huge', sizeBytes),
    });
    let clientPeakBytes = 0;
    await waitUntil(
      'the upload to end',
      () => {
        clientPeakBytes = Math.max(clientPeakBytes, peakMemoryBytes(putting.pid) ?? 0);
        return putting.hasEnded;
      },
      { withinMs: 3_000_000, everyMs: 500 },
    );
    const finished = await putting.finished;
    expect(finished.code, finished.stderr).toBe(0);
    const answer = finished.json<PutAnswer>();
    expect(answer.size).toBe(sizeBytes);
    md5 = answer.md5;
    expect((await cluster.stat('/huge.bin')).blobs).toHaveLength(10);
    expect(clientPeakBytes).toBeLessThan(modestMemoryBytes);
    expectModestMemory(cluster);
  });

  it('gives every range across its borders right', async () => {
    const random = seededRandom(9);
    for (let border = 1; border < 10; border += 1) {
      const start = border * gibibyte - Math.floor(random() * 3_000_000) - 1;
      const end = border * gibibyte + Math.floor(random() * 3_000_000) + 1;
      const got = await cluster.get('/huge.bin', { Range: `bytes=${start}-${end - 1}` });
      expect(got.status).toBe(206);
      expect(got.body.equals(contentRange('huge', start, end))).toBe(true);
    }
    const last = await cluster.get('/huge.bin', { Range: 'bytes=-5' });
    expect(last.body.equals(contentRange('huge', sizeBytes - 5, sizeBytes))).toBe(true);
  });

  it('comes out as it went in', async () => {
    const answer = await cluster.open({ path: '/fs/huge.bin' });
    const got = await digestOfStream(answer as AsyncIterable<Buffer>);
    expect(got).toEqual({ md5, sizeBytes });
    const made = await digestOfStream(contentStream('huge', sizeBytes));
    expect(made.md5).toBe(md5);
    expectModestMemory(cluster);
  });

  it('leaves the disks after its deletion', async () => {
    expect((await cluster.remove('/huge.bin')).status).toBe(204);
    await cluster.waitUntilTidy();
    expect(await cluster.onDisk()).toEqual({ copies: 0, staged: 0 });
  });
});

describe('an upload of more than five minutes', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 1 });
  });
  afterAll(() => cluster?.dispose());

  it('is not cut', async () => {
    const bytes = contentRange('slow', 0, 320);
    const connection = await RawConnection.open(cluster.url);
    await connection.write(
      `PUT /fs/slow.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${cluster.key}\r\nContent-Length: ${bytes.length}\r\n\r\n`,
    );
    for (let at = 0; at < bytes.length; at += 5) {
      await connection.write(bytes.subarray(at, at + 5));
      await delay(5_000);
    }
    await connection.read(/^HTTP\/1\.1 201 /);
    connection.destroy();
    const got = await cluster.get('/slow.bin');
    expect(got.body.equals(bytes)).toBe(true);
  });
});
