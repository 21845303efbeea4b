import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { type BlobId, type ByteRange, type StoredBlob, StoreError } from '@dfs/shared';
import { blockBytes } from './blob-format.ts';
import type { BlockBuffers } from './block-buffers.ts';
import { type OpenBlob, readError } from './open-blobs.ts';
import { readFully } from './raw-file.ts';

/** A block up to this length gets a buffer of its own instead of one from the pool. */
const ownBufferMaxBytes = 64 * 1024;
/** What a reader sends at once when the pool is taken. */
const pieceBytes = 128 * 1024;

/** Verified bytes. `release` says that they were sent and may be overwritten. */
export interface Piece {
  readonly bytes: Buffer;
  release(): void;
}

/** An open file that has a blob's data at its own offsets, and the CRCs of its blocks. */
export type CheckedFile = Pick<OpenBlob, 'fd' | 'crcOf' | 'hold' | 'release'> & {
  readonly description: Pick<StoredBlob, 'blobId' | 'sizeBytes'>;
};

export interface VerifiedReaderOptions {
  /** Held for this reader, which releases it. */
  readonly blob: CheckedFile;
  readonly range: ByteRange;
  /** Absent: every piece gets memory of its own. */
  readonly buffers?: BlockBuffers;
  readonly onCorrupt: (id: BlobId, error: StoreError) => void;
}

const nothing = () => undefined;

/**
 * Reads a range of a blob block by block and gives out only bytes whose block has the right CRC;
 * while one piece is on its way, the next is read. Close it in any case.
 */
export class VerifiedReader {
  readonly #blob: CheckedFile;
  readonly #range: ByteRange;
  readonly #buffers: BlockBuffers | undefined;
  readonly #onCorrupt: VerifiedReaderOptions['onCorrupt'];
  /** From where the next piece is to be read. */
  #position: number;
  #ahead: Promise<Piece> | undefined;
  #isClosed = false;

  constructor({ blob, range, buffers, onCorrupt }: VerifiedReaderOptions) {
    this.#blob = blob;
    this.#range = range;
    this.#buffers = buffers;
    this.#onCorrupt = onCorrupt;
    this.#position = range.start;
  }

  /**
   * Reads the first piece, so that a bad one is known before anything is promised. Rejects with
   * `corrupt`.
   */
  async prepare(): Promise<void> {
    if (this.#position === this.#range.end) return;
    this.#ahead = this.#readPiece();
    await this.#ahead;
  }

  /** The next bytes, or undefined behind the last one. Rejects with `corrupt`. */
  async next(): Promise<Piece | undefined> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    if (!ahead && this.#position === this.#range.end) return undefined;
    const piece = await (ahead ?? this.#readPiece());
    this.#readAhead();
    return piece;
  }

  /** Whether `next` has nothing more to give. */
  get isAtEnd(): boolean {
    return !this.#ahead && this.#position === this.#range.end;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#ahead?.then((piece) => piece.release(), nothing);
    this.#ahead = undefined;
    this.#blob.release();
  }

  #readAhead(): void {
    if (this.#isClosed || this.#position === this.#range.end || !this.#buffers?.hasRoomAhead)
      return;
    this.#ahead = this.#readPiece();
    this.#ahead.catch(nothing);
  }

  /**
   * Reads from the position to the end of its block or of the range; less when the pool has no
   * buffer.
   */
  #readPiece(): Promise<Piece> {
    const start = this.#position;
    const block = Math.floor(start / blockBytes);
    const blockStart = block * blockBytes;
    const length = Math.min(blockBytes, this.#blob.description.sizeBytes - blockStart);
    const end = Math.min(blockStart + length, this.#range.end);
    const span = { block, length, from: start - blockStart, to: end - blockStart };
    if (!this.#buffers || length <= ownBufferMaxBytes) {
      this.#position = end;
      return this.#readInto(Buffer.allocUnsafe(length), span, nothing);
    }
    const buffers = this.#buffers;
    const lasting = buffers.take();
    if (lasting) {
      this.#position = end;
      return this.#readInto(lasting, span, () => buffers.give(lasting));
    }
    const to = Math.min(span.to, span.from + pieceBytes);
    this.#position = blockStart + to;
    return buffers.borrow(async (scratch) => {
      const { bytes } = await this.#readInto(scratch, { ...span, to }, nothing);
      return { bytes: Buffer.from(bytes), release: nothing };
    });
  }

  /** Reads and proves the whole block, and gives its bytes `from` to `to`. */
  async #readInto(
    buffer: Buffer,
    { block, length, from, to }: { block: number; length: number; from: number; to: number },
    release: () => void,
  ): Promise<Piece> {
    const id = this.#blob.description.blobId;
    const bytes = buffer.subarray(0, length);
    // A descriptor that was closed under a running read may be another file's by then.
    this.#blob.hold();
    try {
      const readBytes = await readFully(this.#blob.fd, bytes, block * blockBytes);
      if (readBytes === length && crc32(bytes) === this.#blob.crcOf(block)) {
        return { bytes: bytes.subarray(from, to), release };
      }
      const start = block * blockBytes;
      throw new StoreError(
        'corrupt',
        `This node's copy of the blob ${id} is damaged in its bytes ${start} to ${start + length - 1}.`,
        { hint: 'Another copy is read instead, and this one replaced.' },
      );
    } catch (cause) {
      release();
      const error = readError(cause, id);
      if (error instanceof StoreError && error.kind === 'corrupt') this.#onCorrupt(id, error);
      throw error;
    } finally {
      this.#blob.release();
    }
  }
}

/**
 * A reader's bytes as a stream; its reader keeps no pool, since nobody knows how long a stream's
 * bytes are held.
 */
export class VerifiedStream extends Readable {
  readonly #reader: VerifiedReader;

  constructor(reader: VerifiedReader) {
    super({ highWaterMark: 1 });
    this.#reader = reader;
  }

  override _read(): void {
    this.#reader.next().then(
      (piece) => this.push(piece?.bytes ?? null),
      (error) => this.destroy(error as Error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#reader.close();
    done(error);
  }
}
