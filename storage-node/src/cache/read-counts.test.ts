import { newFileId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import { ReadCounts } from './read-counts.ts';

describe('counts of reads', () => {
  it('name the files most read, and each read once', () => {
    const counts = new ReadCounts();
    const [a, b, c] = [newFileId(), newFileId(), newFileId()] as const;
    for (const file of [a, b, b, c, b, c]) counts.count(file);
    expect(counts.take(2)).toEqual([
      { fileId: b, count: 3 },
      { fileId: c, count: 2 },
    ]);
    counts.count(a);
    expect(counts.take(2)).toEqual([{ fileId: a, count: 1 }]);
    expect(counts.take(2)).toEqual([]);
  });

  it('take no more memory for more files', () => {
    const counts = new ReadCounts();
    const first = newFileId();
    for (let read = 0; read < 3; read += 1) counts.count(first);
    for (let file = 0; file < 20_000; file += 1) counts.count(newFileId());
    counts.count(first);
    const all = counts.take(20_000);
    expect(all).toHaveLength(10_000);
    expect(all[0]).toEqual({ fileId: first, count: 4 });
  });
});
