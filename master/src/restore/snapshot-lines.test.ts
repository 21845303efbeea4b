import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { newClusterId, StoreError } from '@dfs/shared';
import { expect, it } from 'vitest';
import { readSnapshot } from './snapshot-lines.ts';

const head = { snapshot: { format: 1, clusterId: newClusterId(), epoch: 3, from: 7, at: 5 } };
const row = (n: number) => ({
  table: 'files',
  key: { id: `${n}` },
  row: { id: `${n}`, name: 'Grüße 👋' },
});
const end = (images: number) => ({ end: { from: 7, to: 9, images, at: 6 } });

const packed = (...lines: unknown[]) =>
  gzipSync(
    lines.map((line) => (typeof line === 'string' ? line : `${JSON.stringify(line)}\n`)).join(''),
  );

/** In pieces that end anywhere, within a letter too. */
const streamOf = (bytes: Buffer) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(7 * i, 7 * i + 7)),
  );

it('gives every row, at most 1 000 at a time, and the facts of a whole one', async () => {
  const rows = Array.from({ length: 2_001 }, (_, n) => row(n));
  const taken: number[] = [];
  const names = new Set<string>();
  const facts = await readSnapshot(streamOf(packed(head, ...rows, end(2_001))), async (some) => {
    taken.push(some.length);
    for (const { row: values } of some) names.add((values as { name: string }).name);
  });
  expect(taken).toEqual([1_000, 1_000, 1]);
  expect([...names]).toEqual(['Grüße 👋']);
  expect(facts).toEqual({ head: head.snapshot, end: end(2_001).end });
});

it.each<[string, Buffer]>([
  ['has no end', packed(head, row(1))],
  ['has fewer rows than its end says', packed(head, row(1), end(2))],
  ['goes on after its end', packed(head, row(1), end(1), row(2))],
  ['is cut short', packed(head, row(1), end(1)).subarray(0, -20)],
  ['has half a last line', packed(head, row(1), '{"end":')],
  ['is of a later format', packed({ snapshot: { ...head.snapshot, format: 2 } }, end(0))],
  ['does not begin as one', packed(row(1), end(1))],
  ['is no gzip', Buffer.from('hello')],
  ['is empty', Buffer.alloc(0)],
])('refuses a file that %s', async (_, bytes) => {
  const reading = readSnapshot(streamOf(bytes), async () => {});
  await expect(reading).rejects.toBeInstanceOf(StoreError);
  await expect(reading).rejects.toMatchObject({ kind: 'invalid-request' });
});

it('rejects with what the loading failed with', async () => {
  const failure = new StoreError('unavailable', 'The database is away.');
  const reading = readSnapshot(streamOf(packed(head, row(1), end(1))), async () => {
    throw failure;
  });
  await expect(reading).rejects.toBe(failure);
});
