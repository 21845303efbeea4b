import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { digestOf, Md5Digest } from './digest.ts';
import { bytesOf, patternBytes } from './testing/blobs.ts';

describe('a digest', () => {
  it.each([
    ['', 'd41d8cd98f00b204e9800998ecf8427e'],
    ['a', '0cc175b9c0f1b6a831c399e269772661'],
    ['message digest', 'f96b697d7cb7938d525a2f31aaf161d0'],
  ])('of %j is that of RFC 1321', async (text, md5) => {
    const bytes = Buffer.from(text);
    expect(digestOf(bytes)).toEqual({ sizeBytes: bytes.length, md5 });
    const digest = new Md5Digest();
    await pipeline(Readable.from([bytes], { objectMode: false }), digest.resume());
    expect(digest.receipt()).toEqual({ sizeBytes: bytes.length, md5 });
    expect(digest.receipt()).toEqual(digest.receipt());
  });

  it('lets all bytes through unchanged', async () => {
    const bytes = patternBytes(1_000_003);
    const digest = new Md5Digest();
    const source = Readable.from([bytes.subarray(0, 7), bytes.subarray(7)], { objectMode: false });
    const [through] = await Promise.all([bytesOf(digest), pipeline(source, digest)]);
    expect(through.equals(bytes)).toBe(true);
    expect(digest.receipt()).toEqual(digestOf(bytes));
  });
});
