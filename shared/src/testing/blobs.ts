import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { BlobDescription } from '../blob-store.ts';
import { type ClusterId, fileIdOfFirstBlob, newBlobId } from '../ids.ts';

/** The cluster that descriptions in tests belong to unless they say otherwise. */
export const testClusterId = '01900000-0000-7000-8000-000000000001' as ClusterId;

/** A blob's description with made-up facts; a new blob id unless one is given. */
export function makeDescription(overrides: Partial<BlobDescription> = {}): BlobDescription {
  const blobId = overrides.blobId ?? newBlobId();
  return {
    clusterId: testClusterId,
    epoch: 1,
    blobId,
    fileId: fileIdOfFirstBlob(blobId),
    sequence: 0,
    path: '/reports/äpfel & birnen.txt',
    contentType: 'text/plain; charset=utf-8',
    createdAtMs: Date.UTC(2030, 0, 1),
    ...overrides,
  };
}

/** Bytes that look random and are the same for the same seed; no two blocks of them are alike. */
export function patternBytes(sizeBytes: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < sizeBytes; i += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state & 0xff;
  }
  return bytes;
}

/** Lower-case hex. */
export const md5Of = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

/** Reads a stream to its end. */
export async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
