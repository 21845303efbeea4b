import { createHash, type Hash } from 'node:crypto';
import type { NodeId } from '@dfs/shared';
import { StoreError } from '@dfs/shared';
import { blockCountOf } from '../blob-format.ts';
import type { CheckedFile } from '../verified-reader.ts';
import type { BlockFetch } from './block-fetch.ts';
import { type CacheFile, fileOverheadBytes } from './cache-file.ts';
import type { Evictable } from './heat.ts';
import type { OpenFiles } from './open-files.ts';
import type { BlobFacts } from './source-bytes.ts';

/** Shared by all that have none: there are thousands of entries. */
const none: readonly never[] = [];

/** A blob that is cached or being fetched. While it has holders its file is open and stays. */
export class CacheEntry implements Evictable, CheckedFile {
  readonly blob: BlobFacts;
  fetches: readonly BlockFetch[] = none;
  /** Who gave bytes of it since it came to be. */
  suppliers: readonly NodeId[] = none;
  heat: number;
  reads = 0;
  /** What the cache counts for it. */
  countedBytes = 0;
  /** Let go of: nothing more is kept, and whoever reads it comes to the end. */
  isGone = false;
  /** Why nobody may read on. */
  failure: StoreError | undefined;
  readonly #openFiles: OpenFiles;
  readonly #onIdle: (entry: CacheEntry) => void;
  #file: CacheFile | undefined;
  #holders = 0;
  #priority = 0;
  /** Of the blocks up to `#hashedBlocks`; most entries never need one. */
  #md5: Hash | undefined;
  /** The next block that the MD5 of all bytes needs. */
  #hashedBlocks = 0;

  constructor(
    blob: BlobFacts,
    {
      heat,
      openFiles,
      onIdle,
    }: { heat: number; openFiles: OpenFiles; onIdle: (entry: CacheEntry) => void },
  ) {
    this.blob = blob;
    this.heat = heat;
    this.#openFiles = openFiles;
    this.#onIdle = onIdle;
  }

  get file(): CacheFile | undefined {
    return this.#file;
  }

  set file(file: CacheFile) {
    this.#file = file;
    if (file.priority === 0) file.setPriority(this.#priority);
    else this.#priority = file.priority;
  }

  get priority(): number {
    return this.#priority;
  }

  set priority(priority: number) {
    this.#priority = priority;
    this.#file?.setPriority(priority);
  }

  /** What it takes on the disk. */
  get bytes(): number {
    return this.#file ? this.#file.presentBytes + fileOverheadBytes : 0;
  }

  /** All its bytes are here and have the right MD5. */
  get isComplete(): boolean {
    return !this.isGone && this.#file?.isVerified === true;
  }

  get isHeld(): boolean {
    return this.#holders > 0;
  }

  get description(): BlobFacts {
    return this.blob;
  }

  get fd(): number {
    if (!this.#file) throw new Error(`The blob ${this.blob.blobId} has no file.`);
    return this.#file.fd;
  }

  crcOf(block: number): number {
    return this.#file?.crcOf(block) ?? 0;
  }

  /** Throws the file system's error. */
  hold(): void {
    if (this.#holders === 0 && this.#file) this.#openFiles.open(this.#file);
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders > 0) return;
    if (this.#file) this.#openFiles.idle(this.#file, { isKept: !this.isGone });
    this.#onIdle(this);
  }

  /**
   * Takes a block into the MD5 of the whole, when it is its turn. Returns whether the MD5 is known to
   * be right; throws when it is wrong.
   */
  hash(block: number, bytes: Buffer): boolean {
    const blockCount = blockCountOf(this.blob.sizeBytes);
    if (block !== this.#hashedBlocks || blockCount === 0) return false;
    this.#md5 ??= createHash('md5');
    this.#md5.update(bytes);
    this.#hashedBlocks += 1;
    if (this.#hashedBlocks < blockCount) return false;
    const md5 = this.#md5.digest('hex');
    this.#md5 = undefined;
    if (md5 === this.blob.md5) return true;
    throw new StoreError(
      'unavailable',
      `The bytes of the blob ${this.blob.blobId} changed on their way from ${this.suppliers.join(', ') || 'the disk'} (MD5 ${md5} instead of ${this.blob.md5}).`,
      { retryAfterSeconds: 5 },
    );
  }

  /** A block was damaged: the MD5 is to be found again. */
  unhash(): void {
    this.#md5 = undefined;
    this.#hashedBlocks = 0;
  }

  /** All blocks went into the MD5, and it was right. */
  get isHashed(): boolean {
    return this.#hashedBlocks === blockCountOf(this.blob.sizeBytes);
  }

  get nextToHash(): number {
    return this.#hashedBlocks;
  }
}
