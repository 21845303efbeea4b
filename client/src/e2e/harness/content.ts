import { createCipheriv, createHash } from 'node:crypto';
import { Readable } from 'node:stream';

/** Made-up content is a key stream: as good as random, the same for the same seed, and made faster than a disk writes. */
const keyStreamOf = (seed: string) =>
  createCipheriv('aes-128-ctr', createHash('md5').update(seed).digest(), Buffer.alloc(16));

const zeros = Buffer.alloc(256 * 1024);

/** The content of this seed, held whole. */
export const contentOf = (seed: string, sizeBytes: number) =>
  keyStreamOf(seed).update(Buffer.alloc(sizeBytes));

/** The same content as a stream that is made while it is read. */
export function contentStream(seed: string, sizeBytes: number): Readable {
  const keyStream = keyStreamOf(seed);
  let leftBytes = sizeBytes;
  return new Readable({
    highWaterMark: zeros.length,
    read() {
      if (leftBytes === 0) {
        this.push(null);
        return;
      }
      const chunk = zeros.subarray(0, Math.min(leftBytes, zeros.length));
      leftBytes -= chunk.length;
      this.push(keyStream.update(chunk));
    },
  });
}

/** A part of the content of this seed. */
export function contentRange(seed: string, start: number, end: number): Buffer {
  // The counter names the block of 16 bytes, so that a part of a long content need not be reached by making all before it.
  const block = Math.floor(start / 16);
  const counter = Buffer.alloc(16);
  counter.writeBigUInt64BE(BigInt(block), 8);
  const key = createHash('md5').update(seed).digest();
  const skipBytes = start - block * 16;
  const keyStream = createCipheriv('aes-128-ctr', key, counter);
  return keyStream.update(Buffer.alloc(skipBytes + end - start)).subarray(skipBytes);
}

export const md5Of = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

/** The MD5 of whatever a stream gives, and how much that was. */
export async function digestOfStream(
  stream: AsyncIterable<Buffer>,
): Promise<{ md5: string; sizeBytes: number }> {
  const hash = createHash('md5');
  let sizeBytes = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    sizeBytes += chunk.length;
  }
  return { md5: hash.digest('hex'), sizeBytes };
}

export const md5OfContent = async (seed: string, sizeBytes: number) =>
  (await digestOfStream(contentStream(seed, sizeBytes))).md5;

/** Random numbers in [0, 1) that a seed repeats (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
