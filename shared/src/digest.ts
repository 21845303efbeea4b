import { createHash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import type { BlobReceipt } from './blob-store.ts';

/** Size and MD5 (lower-case hex) of bytes already held. */
export const digestOf = (bytes: Uint8Array): BlobReceipt => ({
  sizeBytes: bytes.byteLength,
  md5: createHash('md5').update(bytes).digest('hex'),
});

/** Lets bytes through unchanged and learns their size and MD5 on the way. */
export class Md5Digest extends Transform {
  readonly #hash = createHash('md5');
  #sizeBytes = 0;
  #receipt: BlobReceipt | undefined;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#hash.update(chunk);
    this.#sizeBytes += chunk.byteLength;
    done(null, chunk);
  }

  /** What went through so far; call it once all bytes did. Nothing may follow. */
  receipt(): BlobReceipt {
    this.#receipt ??= { sizeBytes: this.#sizeBytes, md5: this.#hash.digest('hex') };
    return this.#receipt;
  }
}
