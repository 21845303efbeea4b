import fs from 'node:fs';
import { crc32 } from 'node:zlib';
import type { BlobId } from '@dfs/shared';
import { blockBytes, blockCountOf } from '../blob-format.ts';
import { closeFile, openFile, readFully, unlinkFile, writeFully } from '../raw-file.ts';
import {
  blockLengthOf,
  encodeEnd,
  encodeSlot,
  endBytesOf,
  footerBytes,
  parseEnd,
  parseSlot,
  prioritySlotOf,
  slotAt,
  slotBytes,
  slotCountOf,
  verifiedSlotOf,
} from './cache-format.ts';
import type { BlobFacts } from './source-bytes.ts';

/** What a file takes beyond its blocks, about. */
export const fileOverheadBytes = 4_096;
const priorityMax = 20;

/**
 * One cached blob on the disk: which of its blocks are there, and their bytes. Nothing is synced: what
 * a crash of the machine takes is fetched again, and what it tears is noticed.
 */
export class CacheFile {
  readonly blob: BlobFacts;
  readonly path: string;
  /** When a block was last written, ms since 1970. */
  readonly writtenAtMs: number;
  /** Of each block that is there, its CRC32. */
  readonly #crcs: Uint32Array;
  readonly #isPresent: Uint8Array;
  #presentCount = 0;
  #presentBytes = 0;
  #isVerified = false;
  #priority = 0;
  #fd: number | undefined;

  private constructor(path: string, blob: BlobFacts, writtenAtMs: number) {
    this.path = path;
    this.blob = blob;
    this.writtenAtMs = writtenAtMs;
    this.#crcs = new Uint32Array(blockCountOf(blob.sizeBytes));
    this.#isPresent = new Uint8Array(blockCountOf(blob.sizeBytes));
  }

  /** Makes the file, open and without any block. Throws the file system's error. */
  static create(path: string, blob: BlobFacts, nowMs: number): CacheFile {
    const file = new CacheFile(path, blob, nowMs);
    const fd = fs.openSync(path, 'wx+', 0o600);
    try {
      fs.writeSync(fd, encodeEnd(blob), 0, null, slotAt(blob, slotCountOf(blob)));
    } catch (error) {
      fs.closeSync(fd);
      fs.unlinkSync(path);
      throw error;
    }
    file.#fd = fd;
    return file;
  }

  /** What lies at `path`, closed; undefined when it is no whole file of that blob. */
  static async read(path: string, blobId: BlobId): Promise<CacheFile | undefined> {
    const fd = await openFile(path, 'r');
    try {
      const { size, mtimeMs } = fs.fstatSync(fd);
      const endBytes = endBytesOf(await readEnd(fd, size, footerBytes));
      if (endBytes === undefined) return undefined;
      const blob = parseEnd(await readEnd(fd, size, endBytes), size, blobId);
      if (!blob) return undefined;
      const file = new CacheFile(path, blob, mtimeMs);
      file.#load(await readEnd(fd, size, endBytes + slotBytes * slotCountOf(blob)));
      return file;
    } finally {
      await closeFile(fd);
    }
  }

  get presentBytes(): number {
    return this.#presentBytes;
  }

  /** All blocks are there. */
  get isWhole(): boolean {
    return this.#presentCount === this.#crcs.length;
  }

  /** All blocks are there, and together they had the MD5. */
  get isVerified(): boolean {
    return this.#isVerified && this.isWhole;
  }

  get priority(): number {
    return this.#priority;
  }

  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  get fd(): number {
    if (this.#fd === undefined) throw new Error(`${this.path} is not open.`);
    return this.#fd;
  }

  /** Throws the file system's error. */
  open(): void {
    this.#fd ??= fs.openSync(this.path, 'r+');
  }

  close(): void {
    if (this.#fd === undefined) return;
    const fd = this.#fd;
    this.#fd = undefined;
    // Freeing a long file that was deleted may take the disk a while.
    if (this.blob.sizeBytes <= blockBytes) fs.closeSync(fd);
    else closeFile(fd).catch(() => undefined);
  }

  isPresent(block: number): boolean {
    return this.#isPresent[block] === 1;
  }

  /** The CRC32 that a block which is there must have. */
  crcOf(block: number): number {
    return this.#crcs[block] ?? 0;
  }

  /** The bytes of a block that is there; undefined when they are damaged: it is absent from then on. */
  async readBlock(block: number): Promise<Buffer | undefined> {
    const bytes = Buffer.allocUnsafe(blockLengthOf(this.blob, block));
    const readBytes = await readFully(this.fd, bytes, block * blockBytes).catch(() => 0);
    if (readBytes === bytes.byteLength && crc32(bytes) === this.crcOf(block)) return bytes;
    this.clear(block);
    return undefined;
  }

  /** Keeps a whole block. Rejects with the file system's error: then it is absent. */
  async writeBlock(block: number, bytes: Buffer): Promise<void> {
    await writeFully(this.fd, [bytes], block * blockBytes);
    const crc = crc32(bytes);
    this.#writeSlot(block, crc);
    this.#add(block, crc);
  }

  clear(block: number): void {
    if (!this.isPresent(block)) return;
    this.#isPresent[block] = 0;
    this.#presentCount -= 1;
    this.#presentBytes -= blockLengthOf(this.blob, block);
    this.#isVerified = false;
    this.#tryWriteSlot(verifiedSlotOf(this.blob), undefined);
    this.#tryWriteSlot(block, undefined);
  }

  /** All blocks are there and were found to have the MD5. */
  markVerified(): void {
    this.#isVerified = true;
    this.#tryWriteSlot(verifiedSlotOf(this.blob), 1);
  }

  setPriority(priority: number): void {
    if (priority === this.#priority) return;
    this.#priority = priority;
    this.#tryWriteSlot(prioritySlotOf(this.blob), priority + priorityMax);
  }

  /**
   * Takes the file's name away at once, so that another one may have it; those who have it open read
   * on. Resolves when its room is free, or will be with the last of them. Never rejects.
   */
  async remove(goneName: string): Promise<void> {
    try {
      fs.renameSync(this.path, goneName);
      await unlinkFile(goneName);
    } catch {
      // It was gone already, or is removed at the next start.
    }
  }

  #load(end: Buffer): void {
    for (let block = 0; block < this.#crcs.length; block += 1) {
      const crc = parseSlot(end, block);
      if (crc !== undefined) this.#add(block, crc);
    }
    this.#isVerified = parseSlot(end, verifiedSlotOf(this.blob)) === 1;
    const priority = parseSlot(end, prioritySlotOf(this.blob));
    if (priority !== undefined) this.#priority = priority - priorityMax;
  }

  #add(block: number, crc: number): void {
    this.#crcs[block] = crc;
    if (this.#isPresent[block] === 1) return;
    this.#isPresent[block] = 1;
    this.#presentCount += 1;
    this.#presentBytes += blockLengthOf(this.blob, block);
  }

  #writeSlot(index: number, value: number | undefined): void {
    fs.writeSync(this.fd, encodeSlot(value), 0, slotBytes, slotAt(this.blob, index));
  }

  /** What this process knows holds until it ends; a later one notices by the bytes. */
  #tryWriteSlot(index: number, value: number | undefined): void {
    try {
      this.#writeSlot(index, value);
    } catch {
      // The file is closed, or the disk full or failing.
    }
  }
}

async function readEnd(fd: number, fileBytes: number, bytes: number): Promise<Buffer> {
  const end = Buffer.alloc(Math.min(bytes, fileBytes));
  const readBytes = await readFully(fd, end, fileBytes - end.byteLength);
  return end.subarray(0, readBytes);
}
