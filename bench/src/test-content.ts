import { createHash, randomBytes } from 'node:crypto';

/** Streams are sent in pieces of this size; a content's size need not be a multiple. */
export const contentChunkBytes = 1024 * 1024;

const stampBytes = 16;
const poolChunks = 32;

/**
 * Bytes to store, made before any clock runs. Content number n is a window into one pool of random
 * bytes with n stamped on its head, so that no two contents are equal, nothing is generated while
 * the clock runs, and what comes back can be compared without having been kept.
 */
export class TestContent {
  private readonly pool = randomBytes(poolChunks * contentChunkBytes);
  private readonly runStamp = randomBytes(stampBytes / 2);

  /** Writes the first `sizeBytes` (at most 1 MiB) of content `number` into `target` at `offset`. */
  writeSmall(number: number, target: Buffer, offset: number, sizeBytes: number): void {
    const from = smallOffset(number);
    this.pool.copy(target, offset, from, from + sizeBytes);
    this.stamp(number, target, offset, sizeBytes);
  }

  /** Whether `received` is the small content `number` of `sizeBytes`, byte for byte. */
  isSmall(number: number, received: Buffer, sizeBytes: number): boolean {
    if (received.length !== sizeBytes) return false;
    const expected = Buffer.allocUnsafe(sizeBytes);
    this.writeSmall(number, expected, 0, sizeBytes);
    return expected.equals(received);
  }

  /** The pieces of the long content `number`, in order; they share the pool's memory. */
  chunks(number: number, sizeBytes: number): Buffer[] {
    const chunks: Buffer[] = [];
    for (let sent = 0, index = number; sent < sizeBytes; sent += contentChunkBytes, index += 1) {
      const from = (index % poolChunks) * contentChunkBytes;
      const length = Math.min(contentChunkBytes, sizeBytes - sent);
      const chunk = this.pool.subarray(from, from + length);
      chunks.push(sent === 0 ? this.stamped(number, chunk) : chunk);
    }
    return chunks;
  }

  /** The MD5 of `chunks(number, sizeBytes)` in hexadecimal. */
  md5(number: number, sizeBytes: number): string {
    const hash = createHash('md5');
    for (const chunk of this.chunks(number, sizeBytes)) hash.update(chunk);
    return hash.digest('hex');
  }

  private stamped(number: number, chunk: Buffer): Buffer {
    const copy = Buffer.from(chunk);
    this.stamp(number, copy, 0, copy.length);
    return copy;
  }

  private stamp(number: number, target: Buffer, offset: number, sizeBytes: number): void {
    if (sizeBytes < stampBytes) return;
    this.runStamp.copy(target, offset);
    target.writeDoubleBE(number, offset + stampBytes / 2);
  }
}

// A prime stride spreads neighbouring numbers over the pool; 1 MiB is left free behind the last.
function smallOffset(number: number): number {
  return (number * 7919) % ((poolChunks - 1) * contentChunkBytes);
}
