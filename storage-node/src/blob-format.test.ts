import { crc32 } from 'node:zlib';
import { newBlobId, type StoredBlob, StoreError } from '@dfs/shared';
import { makeDescription, md5Of, patternBytes } from '@dfs/shared/testing';
import { describe, expect, it } from 'vitest';
import {
  BlockCrcs,
  blockBytes,
  descriptionMaxBytes,
  encodeTail,
  footerBytes,
  parseFooter,
  parseTail,
} from './blob-format.ts';

const bytes = patternBytes(2 * blockBytes + 5);

function storedBlob(sizeBytes: number): StoredBlob {
  const facts = { sizeBytes, md5: md5Of(bytes.subarray(0, sizeBytes)) };
  return { ...makeDescription(), ...facts, storedAtMs: 1, whole: { blobCount: 1, ...facts } };
}

function fileOf(sizeBytes: number): { blob: StoredBlob; file: Buffer } {
  const data = bytes.subarray(0, sizeBytes);
  const crcs = new BlockCrcs();
  crcs.update(data);
  const blob = storedBlob(sizeBytes);
  return { blob, file: Buffer.concat([data, encodeTail(blob, crcs.finish())]) };
}

function parse(file: Buffer, { blobId }: StoredBlob) {
  const footer = parseFooter(file.subarray(-footerBytes), file.byteLength, blobId);
  return parseTail(file.subarray(file.byteLength - footer.tailBytes), footer, blobId);
}

const refusalOf = (read: () => unknown) => {
  try {
    read();
  } catch (error) {
    if (error instanceof StoreError) return error.kind;
    throw error;
  }
  return 'none';
};

describe('the file of a blob', () => {
  it.each([0, 1, blockBytes - 1, blockBytes, blockBytes + 1, bytes.byteLength])(
    'with %i bytes begins with them, and tells its description and the CRC of each block',
    (sizeBytes) => {
      const { blob, file } = fileOf(sizeBytes);
      expect(file.subarray(0, sizeBytes).equals(bytes.subarray(0, sizeBytes))).toBe(true);
      const { description, table } = parse(file, blob);
      expect(description).toEqual(blob);
      expect(table.byteLength).toBe(4 * Math.ceil(sizeBytes / blockBytes));
      for (let at = 0; at < sizeBytes; at += blockBytes) {
        const block = bytes.subarray(at, Math.min(sizeBytes, at + blockBytes));
        expect(table.readUInt32LE((4 * at) / blockBytes)).toBe(crc32(block));
      }
    },
  );

  it('is refused with any bit flipped behind the data', () => {
    const { blob, file } = fileOf(blockBytes + 1);
    for (let at = blockBytes + 1; at < file.byteLength; at += 1) {
      const damaged = Buffer.from(file);
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
      expect([at, refusalOf(() => parse(damaged, blob))]).toEqual([at, 'corrupt']);
    }
  });

  it('is refused when it is cut anywhere', () => {
    const { blob, file } = fileOf(100);
    for (let length = 0; length < file.byteLength; length += 1) {
      expect([length, refusalOf(() => parse(file.subarray(0, length), blob))]).toEqual([
        length,
        'corrupt',
      ]);
    }
  });

  it('is refused under the name of another blob', () => {
    const { blob, file } = fileOf(100);
    expect(refusalOf(() => parse(file, { ...blob, blobId: newBlobId() }))).toBe('corrupt');
  });

  it('is refused when it grew', () => {
    const { blob, file } = fileOf(100);
    expect(refusalOf(() => parse(Buffer.concat([Buffer.alloc(1), file]), blob))).toBe('corrupt');
  });

  it('is not made with a description that is too long', () => {
    const blob = { ...storedBlob(0), contentType: 'x'.repeat(descriptionMaxBytes) };
    expect(refusalOf(() => encodeTail(blob, []))).toBe('invalid-request');
  });
});

describe('the CRCs of blocks', () => {
  it.each([1, 7, 4096, 65_536, blockBytes - 1, blockBytes, blockBytes + 1, bytes.byteLength])(
    'do not depend on how the bytes arrive: in pieces of %i',
    (pieceBytes) => {
      const few = pieceBytes < 4096 ? bytes.subarray(0, blockBytes + 3) : bytes;
      const crcs = new BlockCrcs();
      for (let at = 0; at < few.byteLength; at += pieceBytes) {
        crcs.update(few.subarray(at, at + pieceBytes));
      }
      const wanted: number[] = [];
      for (let at = 0; at < few.byteLength; at += blockBytes) {
        wanted.push(crc32(few.subarray(at, at + blockBytes)));
      }
      expect(crcs.finish()).toEqual(wanted);
    },
  );
});
