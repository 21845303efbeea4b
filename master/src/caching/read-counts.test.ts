import { type FileId, newBlobId } from '@dfs/shared';
import { FakeClock } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import { ReadCounts } from './read-counts.ts';

const newFileId = () => newBlobId() as string as FileId;

function setUp(filesMax?: number) {
  const clock = new FakeClock();
  const counts = new ReadCounts({ clock, ...(filesMax === undefined ? {} : { filesMax }) });
  return { clock, counts };
}

describe('ReadCounts', () => {
  it('counts the reads of the last minute, each file by itself', () => {
    const { counts } = setUp();
    const [one, other, none] = [newFileId(), newFileId(), newFileId()];
    counts.add(one);
    counts.add(one, 4);
    counts.add(other);
    expect([one, other, none].map((id) => counts.perMinute(id))).toEqual([5, 1, 0]);
  });

  it('forgets reads when a minute has passed, and not before fifty seconds', () => {
    const { clock, counts } = setUp();
    const file = newFileId();
    for (let second = 0; second < 180; second += 1) {
      counts.add(file);
      const read = counts.perMinute(file);
      if (second >= 60) expect(read, `${second} s`).toBeGreaterThanOrEqual(50);
      expect(read, `${second} s`).toBeLessThanOrEqual(60);
      clock.advance(1_000);
    }
    clock.advance(60_000);
    expect(counts.perMinute(file)).toBe(0);
    counts.add(file);
    expect(counts.perMinute(file)).toBe(1);
  });

  it('counts no old slot again after a long silence', () => {
    const { clock, counts } = setUp();
    const file = newFileId();
    for (const silenceMs of [60_000, 3_600_000, 10_000_000_000]) {
      counts.add(file, 100);
      clock.advance(silenceMs);
      counts.add(file);
      expect(counts.perMinute(file)).toBe(1);
      clock.advance(120_000);
    }
  });

  it('names the most read files above a limit, and no others', () => {
    const { counts } = setUp();
    const files = [3, 9, 10, 30, 20].map((reads) => {
      const id = newFileId();
      counts.add(id, reads);
      return id;
    });
    expect(counts.above(9, 100).map(({ readsPerMinute }) => readsPerMinute)).toEqual([30, 20, 10]);
    expect(counts.above(0, 2)).toEqual([
      { fileId: files[3], readsPerMinute: 30 },
      { fileId: files[4], readsPerMinute: 20 },
    ]);
  });

  it('remembers a bounded number of files, and never forgets one that is read all the time', () => {
    const { counts } = setUp(100);
    const hot = newFileId();
    for (let i = 0; i < 5_000; i += 1) {
      if (i % 50 === 0) counts.add(hot);
      counts.add(newFileId());
    }
    expect(counts.perMinute(hot)).toBe(100);
    expect(counts.above(0, 10_000)).toHaveLength(100);
  });
});
