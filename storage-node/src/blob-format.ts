import { crc32 } from 'node:zlib';
import { type BlobId, type StoredBlob, StoreError } from '@dfs/shared';

/**
 * A blob's file: `data | CRC table | description | footer`.
 *
 * - data: the blob's bytes from offset 0, so that offsets are plain and `head -c` shows the file
 * - CRC table: the CRC32 (that of zlib) of each block of 1 MiB of data, 4 bytes each
 * - description: JSON of `StoredBlob`
 * - footer, 32 bytes: magic (8), version (4), block size (4), data length (8), description length
 *   (4), CRC32 of table, description and the footer before it (4)
 *
 * Numbers are little-endian. What a flipped byte can hit is covered twice: data by its block's CRC,
 * all else by the footer's, and the lengths must add up to the file's.
 */
export const blockBytes = 2 ** 20;
export const footerBytes = 32;
/** A description holds a path of at most 4 096 bytes, each of them escaped at worst. */
export const descriptionMaxBytes = 64 * 1024;

const magic = Buffer.from('dfs blob', 'latin1');
const version = 1;

/** What is known of a blob's file from its tail. */
export interface BlobTail {
  readonly description: StoredBlob;
  /** The CRC table as it stands in the file. */
  readonly table: Buffer;
}

/** How many bytes of a file lie behind its data; from the footer alone. */
export interface Footer {
  readonly dataBytes: number;
  readonly tableBytes: number;
  readonly descriptionBytes: number;
  readonly tailBytes: number;
}

export const blockCountOf = (dataBytes: number) => Math.ceil(dataBytes / blockBytes);

/**
 * CRC table, description and footer as they follow the data. Rejects a description that is too long
 * with `invalid-request`.
 */
export function encodeTail(description: StoredBlob, blockCrcs: readonly number[]): Buffer {
  const json = Buffer.from(JSON.stringify(description));
  if (json.byteLength > descriptionMaxBytes) {
    throw new StoreError(
      'invalid-request',
      `The description of the blob ${description.blobId} has ${json.byteLength} bytes; ${descriptionMaxBytes} are allowed.`,
    );
  }
  const tableBytes = 4 * blockCrcs.length;
  const tail = Buffer.allocUnsafe(tableBytes + json.byteLength + footerBytes);
  blockCrcs.forEach((crc, block) => {
    tail.writeUInt32LE(crc, 4 * block);
  });
  json.copy(tail, tableBytes);
  const footerAt = tableBytes + json.byteLength;
  magic.copy(tail, footerAt);
  tail.writeUInt32LE(version, footerAt + 8);
  tail.writeUInt32LE(blockBytes, footerAt + 12);
  tail.writeBigUInt64LE(BigInt(description.sizeBytes), footerAt + 16);
  tail.writeUInt32LE(json.byteLength, footerAt + 24);
  tail.writeUInt32LE(crc32(tail.subarray(0, footerAt + 28)), footerAt + 28);
  return tail;
}

/**
 * Reads the last `footerBytes` of a file of `fileBytes`. Throws `corrupt` when they cannot belong
 * to it.
 */
export function parseFooter(footer: Buffer, fileBytes: number, blobId: BlobId): Footer {
  if (footer.byteLength !== footerBytes || !footer.subarray(0, 8).equals(magic)) {
    throw corrupt(blobId, 'it has no footer');
  }
  if (footer.readUInt32LE(8) !== version || footer.readUInt32LE(12) !== blockBytes) {
    throw corrupt(blobId, 'its footer is of an unknown version');
  }
  const dataBytes = Number(footer.readBigUInt64LE(16));
  const descriptionBytes = footer.readUInt32LE(24);
  const tableBytes = 4 * blockCountOf(dataBytes);
  const tailBytes = tableBytes + descriptionBytes + footerBytes;
  if (descriptionBytes > descriptionMaxBytes || dataBytes + tailBytes !== fileBytes) {
    throw corrupt(blobId, 'its lengths do not add up to those of its file');
  }
  return { dataBytes, tableBytes, descriptionBytes, tailBytes };
}

/**
 * Reads everything behind the data: `tail` has exactly the `tailBytes` of its footer. Throws
 * `corrupt` when a byte of it is wrong, or when it describes another blob.
 */
export function parseTail(tail: Buffer, footer: Footer, blobId: BlobId): BlobTail {
  const crcAt = tail.byteLength - 4;
  if (
    tail.byteLength !== footer.tailBytes ||
    crc32(tail.subarray(0, crcAt)) !== tail.readUInt32LE(crcAt)
  ) {
    throw corrupt(blobId, 'its description or CRC table is damaged');
  }
  const json = tail.subarray(footer.tableBytes, footer.tableBytes + footer.descriptionBytes);
  const description = JSON.parse(json.toString()) as StoredBlob;
  if (description.blobId !== blobId || description.sizeBytes !== footer.dataBytes) {
    throw corrupt(blobId, `its file describes the blob ${description.blobId}`);
  }
  // A copy: a slice would keep the whole tail in memory.
  return { description, table: Buffer.from(tail.subarray(0, footer.tableBytes)) };
}

/** Learns the CRC of each block from bytes that arrive in pieces of any length. */
export class BlockCrcs {
  readonly #finished: number[] = [];
  #crc = 0;
  #filledBytes = 0;

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength; ) {
      const piece = bytes.subarray(at, at + blockBytes - this.#filledBytes);
      this.#crc = crc32(piece, this.#crc);
      this.#filledBytes += piece.byteLength;
      at += piece.byteLength;
      if (this.#filledBytes === blockBytes) this.#finishBlock();
    }
  }

  /** The CRCs of all blocks, the last one perhaps short. Nothing may follow. */
  finish(): readonly number[] {
    if (this.#filledBytes > 0) this.#finishBlock();
    return this.#finished;
  }

  #finishBlock(): void {
    this.#finished.push(this.#crc);
    this.#crc = 0;
    this.#filledBytes = 0;
  }
}

const corrupt = (blobId: BlobId, why: string) =>
  new StoreError('corrupt', `This node's copy of the blob ${blobId} is damaged: ${why}.`);
