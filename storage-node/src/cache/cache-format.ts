import { crc32 } from 'node:zlib';
import type { BlobId } from '@dfs/shared';
import { blockBytes, blockCountOf } from '../blob-format.ts';
import type { BlobFacts } from './source-bytes.ts';

/**
 * A cached blob's file: `data | slots | description | footer`, with holes where data is missing.
 *
 * - data: the blob's bytes at their own offsets
 * - slots, 8 bytes each: one for each block of 1 MiB, then one that says that the MD5 was right, and
 *   one with the priority. A number of 4 bytes, then its complement: zeros, and what a crash tore,
 *   mean "absent". A block's number is the CRC32 of its bytes, written after them: after a crash of
 *   the machine it may be there without them, and then it does not fit.
 * - description: JSON of `BlobFacts`
 * - footer, 32 bytes: magic (8), version (4), block size (4), data length (8), description length
 *   (4), CRC32 of description and the footer before it (4)
 *
 * Numbers are little-endian. Description and footer never change.
 */
export const slotBytes = 8;
export const footerBytes = 32;

const magic = Buffer.from('dfs cach', 'latin1');
const version = 1;
/** Ids, a size and an MD5 need about 150 bytes. */
const descriptionMaxBytes = 1_024;

export const slotAt = ({ sizeBytes }: BlobFacts, index: number) => sizeBytes + slotBytes * index;
export const slotCountOf = ({ sizeBytes }: BlobFacts) => blockCountOf(sizeBytes) + 2;
/** Its number is 1 once all bytes were found to have the MD5. */
export const verifiedSlotOf = ({ sizeBytes }: BlobFacts) => blockCountOf(sizeBytes);
/** Its number is the priority, moved into what is not negative. */
export const prioritySlotOf = ({ sizeBytes }: BlobFacts) => blockCountOf(sizeBytes) + 1;

export const blockLengthOf = ({ sizeBytes }: BlobFacts, block: number) =>
  Math.min(blockBytes, sizeBytes - block * blockBytes);

/** The bytes of a slot with a number; without one it reads as absent. */
export function encodeSlot(value: number | undefined): Buffer {
  const slot = Buffer.alloc(slotBytes);
  if (value === undefined) return slot;
  slot.writeUInt32LE(value, 0);
  slot.writeUInt32LE(~value >>> 0, 4);
  return slot;
}

/** The number in a slot of the table, or undefined where none was written whole. */
export function parseSlot(slots: Buffer, index: number): number | undefined {
  const value = slots.readUInt32LE(slotBytes * index);
  const isWhole = slots.readUInt32LE(slotBytes * index + 4) === ~value >>> 0;
  return isWhole ? value : undefined;
}

/** Description and footer, which stand behind the slots. */
export function encodeEnd({ blobId, sizeBytes, md5 }: BlobFacts): Buffer {
  const json = Buffer.from(JSON.stringify({ blobId, sizeBytes, md5 }));
  const end = Buffer.alloc(json.byteLength + footerBytes);
  json.copy(end);
  const at = json.byteLength;
  magic.copy(end, at);
  end.writeUInt32LE(version, at + 8);
  end.writeUInt32LE(blockBytes, at + 12);
  end.writeBigUInt64LE(BigInt(sizeBytes), at + 16);
  end.writeUInt32LE(json.byteLength, at + 24);
  end.writeUInt32LE(crc32(end.subarray(0, at + 28)), at + 28);
  return end;
}

/** How long description and footer are, by the last `footerBytes` of a file; undefined: it is none of ours. */
export function endBytesOf(footer: Buffer): number | undefined {
  const isOurs =
    footer.byteLength === footerBytes &&
    footer.subarray(0, 8).equals(magic) &&
    footer.readUInt32LE(8) === version &&
    footer.readUInt32LE(12) === blockBytes;
  if (!isOurs) return undefined;
  const descriptionBytes = footer.readUInt32LE(24);
  return descriptionBytes <= descriptionMaxBytes ? descriptionBytes + footerBytes : undefined;
}

/**
 * What a file of `fileBytes` says of itself by its last `endBytesOf` bytes; undefined when it is
 * damaged or of another blob.
 */
export function parseEnd(end: Buffer, fileBytes: number, blobId: BlobId): BlobFacts | undefined {
  const crcAt = end.byteLength - 4;
  if (crc32(end.subarray(0, crcAt)) !== end.readUInt32LE(crcAt)) return undefined;
  const facts = JSON.parse(end.subarray(0, -footerBytes).toString()) as BlobFacts;
  const expectedBytes = facts.sizeBytes + slotBytes * slotCountOf(facts) + end.byteLength;
  return facts.blobId === blobId && expectedBytes === fileBytes ? facts : undefined;
}
