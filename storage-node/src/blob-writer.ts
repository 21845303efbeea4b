import { createHash, type Hash } from 'node:crypto';
import type { BlobReceipt, StoredBlob } from '@dfs/shared';
import { type BlobTail, BlockCrcs, encodeTail } from './blob-format.ts';
import { closeFile, makeFile, syncData, syncFile, unlinkFile, writeFully } from './raw-file.ts';
import type { RoomClaim } from './space.ts';

/** Batches of one blob on their way to the disk at a time, while the next is being received. */
const batchesInFlightMax = 2;
/**
 * The disk is asked to write down what it holds this often, so that the last sync has little left
 * to do.
 */
const syncEveryBytes = 32 * 2 ** 20;
/** A disk that falls this far behind slows the sender down. */
const unsyncedMaxBytes = 128 * 2 ** 20;

export interface BlobWriterOptions {
  readonly stagedPath: string;
  readonly room: RoomClaim;
  /** Bytes that the room was claimed for; what comes beyond is claimed as it comes. */
  readonly claimedBytes: number;
  /** Bytes to gather before they are written in one call. */
  readonly batchBytes: () => number;
}

/** A blob's file, durable in the staging folder. */
export interface StagedBlob {
  /** Open for reading; whoever takes it closes it. */
  readonly fd: number;
  readonly fileBytes: number;
  readonly tail: BlobTail;
}

/**
 * Writes one blob's file into the staging folder: hashes as bytes arrive, writes in large batches
 * while the next bytes are received, and syncs as it goes. A blob that fits into one batch is
 * written in one call with everything that follows its data. End it with `finish`, or with
 * `discard`.
 */
export class BlobWriter {
  readonly #options: BlobWriterOptions;
  readonly #md5: Hash = createHash('md5');
  readonly #crcs = new BlockCrcs();
  #receivedBytes = 0;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #fd: number | undefined;
  #position = 0;
  readonly #inFlight = new Set<Promise<void>>();
  #writtenBytes = 0;
  #syncedBytes = 0;
  #syncing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #receipt: BlobReceipt | undefined;
  #claimedBytes: number;

  constructor(options: BlobWriterOptions) {
    this.#options = options;
    this.#claimedBytes = options.claimedBytes;
  }

  /**
   * Takes bytes, which must not change any more. Resolves when more may come. Rejects when an
   * earlier write failed, or with `no-room`.
   */
  async append(bytes: Uint8Array): Promise<void> {
    this.#md5.update(bytes);
    this.#crcs.update(bytes);
    this.#receivedBytes += bytes.byteLength;
    this.#batch.push(bytes);
    this.#batchBytes += bytes.byteLength;
    if (this.#batchBytes >= this.#options.batchBytes()) await this.#writeBatch();
  }

  /** Size and MD5 of all bytes; none may follow. */
  receipt(): BlobReceipt {
    this.#receipt ??= { sizeBytes: this.#receivedBytes, md5: this.#md5.digest('hex') };
    return this.#receipt;
  }

  /** Writes what is left and the tail, and syncs the file. */
  async finish(description: StoredBlob): Promise<StagedBlob> {
    const crcs = this.#crcs.finish();
    const tail = encodeTail(description, crcs);
    await this.#claimBeyond(tail.byteLength);
    const fd = this.#open();
    await Promise.all([...this.#inFlight, this.#syncing]);
    this.#throwFailure();
    await writeFully(fd, [...this.#batch, tail], this.#position);
    this.#options.room.wrote(this.#batchBytes + tail.byteLength);
    this.#batch = [];
    await syncFile(fd);
    const table = Buffer.from(tail.subarray(0, 4 * crcs.length));
    return { fd, fileBytes: this.#receivedBytes + tail.byteLength, tail: { description, table } };
  }

  /** Removes the staged file. Never rejects: what stays is wiped at the next start. */
  async discard(): Promise<void> {
    if (this.#fd === undefined) return;
    await Promise.allSettled([...this.#inFlight, this.#syncing]);
    await closeFile(this.#fd).catch(() => undefined);
    await unlinkFile(this.#options.stagedPath).catch(() => undefined);
  }

  async #writeBatch(): Promise<void> {
    const fd = this.#open();
    await this.#claimBeyond(0);
    while (this.#inFlight.size >= batchesInFlightMax) await Promise.race(this.#inFlight);
    if (this.#writtenBytes - this.#syncedBytes > unsyncedMaxBytes) await this.#syncing;
    this.#throwFailure();
    const batch = this.#batch;
    const batchBytes = this.#batchBytes;
    const write = this.#write(fd, batch, batchBytes, this.#position).finally(() =>
      this.#inFlight.delete(write),
    );
    this.#inFlight.add(write);
    this.#position += batchBytes;
    this.#batch = [];
    this.#batchBytes = 0;
  }

  /** Never rejects: a failure is kept for the next call. */
  async #write(fd: number, batch: Uint8Array[], bytes: number, position: number): Promise<void> {
    try {
      await writeFully(fd, batch, position);
      this.#options.room.wrote(bytes);
      this.#writtenBytes += bytes;
      if (this.#writtenBytes - this.#syncedBytes >= syncEveryBytes)
        this.#syncing ??= this.#sync(fd);
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  /** Never rejects, as `#write`. */
  async #sync(fd: number): Promise<void> {
    const writtenBytes = this.#writtenBytes;
    try {
      await syncData(fd);
      this.#syncedBytes = writtenBytes;
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#syncing = undefined;
    }
  }

  async #claimBeyond(tailBytes: number): Promise<void> {
    const neededBytes = this.#receivedBytes + tailBytes;
    if (neededBytes <= this.#claimedBytes) return;
    await this.#options.room.grow(neededBytes - this.#claimedBytes);
    this.#claimedBytes = neededBytes;
  }

  #open(): number {
    this.#fd ??= makeFile(this.#options.stagedPath);
    return this.#fd;
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}
