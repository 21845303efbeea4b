import { expect, it } from 'vitest';
import { peakMemoryOf } from './testing/memory.ts';

const sizeBytes = 6 * 2 ** 20;

it.runIf(process.platform === 'linux')(
  'a node stays under 250 MB while 64 blobs come in and go out at once',
  async () => {
    const { peakBytes, sizes } = await peakMemoryOf({ count: 64, sizeBytes });
    expect(new Set(sizes)).toEqual(new Set([sizeBytes]));
    expect(peakBytes).toBeGreaterThan(0);
    expect(peakBytes).toBeLessThan(250e6);
  },
  120_000,
);
