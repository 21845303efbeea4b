import { expect, it } from 'vitest';
import { peakMemoryOf } from './testing/memory.ts';

const sizeBytes = 256 * 2 ** 20;

it('a node stays under 250 MB while 16 blobs of 256 MiB come in and go out at once', async () => {
  const { peakBytes, sizes } = await peakMemoryOf({ count: 16, sizeBytes });
  expect(new Set(sizes)).toEqual(new Set([sizeBytes]));
  expect(peakBytes).toBeGreaterThan(0);
  expect(peakBytes).toBeLessThan(250e6);
});
