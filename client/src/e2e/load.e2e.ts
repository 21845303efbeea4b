import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PutAnswer } from './harness/answers.ts';
import {
  contentRange,
  contentStream,
  digestOfStream,
  md5OfContent,
  seededRandom,
} from './harness/content.ts';
import { type LocalCluster, startCluster } from './harness/local-cluster.ts';
import { expectModestMemory } from './harness/memory.ts';

const mebibyte = 2 ** 20;

describe('a cluster under load', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({ nodes: 3, copies: 2 });
  });
  afterAll(() => cluster?.dispose());

  /** 64 files from nothing to 64 MiB, about 560 MiB in all. */
  const sizes = [
    ...[0, 0, 1, 4_095, 4_096, 65_537, mebibyte - 1, mebibyte, mebibyte + 1],
    ...Array.from({ length: 30 }, (_, index) => 1_000 + index * 7_919),
    ...Array.from({ length: 14 }, (_, index) => (index + 2) * mebibyte - index * 13),
    ...Array.from({ length: 8 }, (_, index) => (20 + index) * mebibyte + index),
    ...[32 * mebibyte, 48 * mebibyte, 64 * mebibyte],
  ];

  it('takes 64 files at once and gives 64 back at once, all of them right', async () => {
    expect(sizes).toHaveLength(64);
    const files = sizes.map((sizeBytes, index) => ({ path: `/load/${index}.bin`, sizeBytes }));
    const puts = files.map(async ({ path, sizeBytes }) => {
      const isChunked = sizeBytes % 2 === 1;
      const answer = await cluster.store(path, contentStream(path, sizeBytes), {
        headers: isChunked ? {} : { 'Content-Length': String(sizeBytes) },
      });
      expect([path, answer.size]).toEqual([path, sizeBytes]);
      return answer.md5;
    });
    const md5s = await Promise.all(puts);
    const gets = files.map(async ({ path, sizeBytes }, index) => {
      const answer = await cluster.open({ path: `/fs${path}` });
      const got = await digestOfStream(answer as AsyncIterable<Buffer>);
      expect([path, got]).toEqual([path, { md5: md5s[index], sizeBytes }]);
    });
    await Promise.all(gets);
    for (const [index, { path, sizeBytes }] of files.entries()) {
      expect([path, md5s[index]]).toEqual([path, await md5OfContent(path, sizeBytes)]);
    }
    await cluster.waitForAllCopies({ withinMs: 120_000 });
  });

  it('needs less than 250 MB in each process', () => {
    expectModestMemory(cluster);
  });
});

describe('a long file', () => {
  let cluster: LocalCluster;
  beforeAll(async () => {
    cluster = await startCluster({
      nodes: 2,
      copies: 1,
      environment: { DFS_SEGMENT_BYTES: '3MiB' },
    });
  });
  afterAll(() => cluster?.dispose());

  it('from standard input becomes several blobs on several nodes, and every range of it is right', async () => {
    const sizeBytes = 100 * mebibyte + 12_345;
    const put = await cluster.dfsJson<PutAnswer>(['put', '-', 'long.bin'], {
      stdin: contentStream('long', sizeBytes),
    });
    expect(put).toMatchObject({ size: sizeBytes, md5: await md5OfContent('long', sizeBytes) });
    const { blobs } = await cluster.stat('/long.bin');
    expect(blobs).toHaveLength(34);
    const copies = await cluster.replicas('/long.bin');
    expect(new Set(copies.map(({ node }) => node.name)).size).toBe(2);
    const random = seededRandom(8);
    for (const { offset } of blobs.slice(1)) {
      const start = offset - Math.floor(random() * 1_000) - 1;
      const end = offset + Math.floor(random() * 4_000_000) + 1;
      const got = await cluster.get('/long.bin', { Range: `bytes=${start}-${end - 1}` });
      const expected = contentRange('long', start, Math.min(end, sizeBytes));
      expect([start, got.status, got.body.equals(expected)]).toEqual([start, 206, true]);
    }
    const got = await cluster.dfs(['get', '/long.bin', '-']);
    expect(got.bytes.length).toBe(sizeBytes);
    expectModestMemory(cluster);
  });
});
