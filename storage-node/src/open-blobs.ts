import { closeSync, fstatSync, statSync } from 'node:fs';
import { type BlobId, type StoredBlob, StoreError } from '@dfs/shared';
import { type BlobTail, footerBytes, parseFooter, parseTail } from './blob-format.ts';
import type { DataDirectory } from './data-directory.ts';
import { closeFile, codeOf, diskError, openFile, readFully } from './raw-file.ts';

/**
 * The tail of a blob up to about 1.5 GiB comes with the first read; of a small blob the data, too.
 */
const firstReadBytes = 8 * 1024;
const closedAtOnceMaxBytes = 2 ** 20;

/** What tells a file from one that was written to, cut, replaced or deleted since. */
interface FileState {
  readonly sizeBytes: number;
  readonly changedAtMs: number;
}

/**
 * A blob's file, open for reading, with its description and CRC table. Its holders count: the last
 * to `release` closes it.
 */
export class OpenBlob {
  readonly fd: number;
  readonly fileBytes: number;
  readonly description: StoredBlob;
  readonly #table: Buffer;
  readonly #changedAtMs: number;
  #holders = 1;

  constructor(fd: number, state: FileState, tail: BlobTail) {
    this.fd = fd;
    this.fileBytes = state.sizeBytes;
    this.description = tail.description;
    this.#table = tail.table;
    this.#changedAtMs = state.changedAtMs;
  }

  /** The CRC32 that a block of 1 MiB must have. */
  crcOf(block: number): number {
    return this.#table.readUInt32LE(4 * block);
  }

  /**
   * Whether the file is still the one that was opened, in its place and untouched. Asks the
   * descriptor: its inode is in memory, so that this costs a microsecond and never waits for the
   * disk.
   */
  isCurrent(): boolean {
    const { nlink, size, ctimeMs } = fstatSync(this.fd);
    return nlink > 0 && size === this.fileBytes && ctimeMs === this.#changedAtMs;
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    // Nothing was written through this descriptor that closing could lose.
    if (this.#holders > 0) return;
    // Freeing a long file that was deleted may take the disk a while; a short one costs less than a
    // turn of the thread pool.
    if (this.fileBytes <= closedAtOnceMaxBytes) closeSync(this.fd);
    else closeFile(this.fd).catch(() => undefined);
  }
}

export interface OpenBlobsDependencies {
  readonly directory: DataDirectory;
  /** Files kept open at most, beside those being read. */
  readonly openMax: number;
  /** A file that was in its place a moment ago is gone, and not by our hand. */
  readonly onVanished: (id: BlobId) => void;
}

/** Opens blobs' files and keeps the latest ones open, so that a hot blob costs one read. */
export class OpenBlobs {
  readonly #deps: OpenBlobsDependencies;
  readonly #kept = new Map<BlobId, OpenBlob>();
  /** Counts `forget`: a file that was being opened meanwhile may be the old one and is not kept. */
  #forgotten = 0;

  constructor(dependencies: OpenBlobsDependencies) {
    this.#deps = dependencies;
  }

  /**
   * The blob, held for the caller, who must `release` it; undefined when it is not here. Rejects
   * with `corrupt` when its tail is damaged.
   */
  async open(id: BlobId): Promise<OpenBlob | undefined> {
    const kept = this.#kept.get(id);
    if (kept?.isCurrent()) {
      this.#kept.delete(id);
      this.#kept.set(id, kept);
      kept.hold();
      return kept;
    }
    if (kept) this.forget(id);
    const forgottenBefore = this.#forgotten;
    const blob = await openBlob(this.#deps.directory.blobPath(id), id);
    if (!blob && kept && forgottenBefore === this.#forgotten) this.#deps.onVanished(id);
    if (blob && forgottenBefore === this.#forgotten) {
      blob.hold();
      this.keep(id, blob);
    }
    return blob;
  }

  /**
   * True when no file has the blob's name; false when one has it or the disk does not say. Nearly every
   * put asks this of a new id, for which the folder in memory has the answer at once.
   */
  isAbsent(id: BlobId): boolean {
    if (this.#kept.has(id)) return false;
    try {
      const path = this.#deps.directory.blobPath(id);
      return statSync(path, { throwIfNoEntry: false }) === undefined;
    } catch {
      // Opening it tells why.
      return false;
    }
  }

  /** Keeps a file open that the caller holds and hands over. */
  keep(id: BlobId, blob: OpenBlob): void {
    this.forget(id);
    this.#kept.set(id, blob);
    if (this.#kept.size <= this.#deps.openMax) return;
    for (const oldest of this.#kept.keys()) {
      this.#drop(oldest);
      return;
    }
  }

  /** The blob's file is about to be replaced or deleted. Readers that have it open finish. */
  forget(id: BlobId): void {
    this.#forgotten += 1;
    this.#drop(id);
  }

  close(): void {
    for (const id of [...this.#kept.keys()]) this.forget(id);
  }

  #drop(id: BlobId): void {
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    kept?.release();
  }
}

/** Opens a file without keeping it: for inventories and for proofs. As `OpenBlobs.open`. */
export async function openBlob(path: string, id: BlobId): Promise<OpenBlob | undefined> {
  const fd = await openFile(path, 'r').catch((error) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw readError(error, id);
  });
  if (fd === undefined) return undefined;
  try {
    const state = stateOf(fd);
    return new OpenBlob(fd, state, await readTail(fd, state.sizeBytes, id));
  } catch (error) {
    await closeFile(fd);
    throw readError(error, id);
  }
}

export function stateOf(fd: number): FileState {
  const { size, ctimeMs } = fstatSync(fd);
  return { sizeBytes: size, changedAtMs: ctimeMs };
}

async function readTail(fd: number, fileBytes: number, id: BlobId): Promise<BlobTail> {
  const end = await readEnd(fd, fileBytes, firstReadBytes);
  const footer = parseFooter(end.subarray(-footerBytes), fileBytes, id);
  const isWhole = end.byteLength >= footer.tailBytes;
  const tail = isWhole
    ? end.subarray(-footer.tailBytes)
    : await readEnd(fd, fileBytes, footer.tailBytes);
  return parseTail(tail, footer, id);
}

/**
 * The last bytes of a file; fewer when it is shorter or was cut meanwhile, which the parsers
 * notice.
 */
async function readEnd(fd: number, fileBytes: number, wantedBytes: number): Promise<Buffer> {
  const end = Buffer.allocUnsafe(Math.min(fileBytes, wantedBytes));
  const readBytes = await readFully(fd, end, fileBytes - end.byteLength);
  return end.subarray(0, readBytes);
}

/**
 * A file that exists and cannot be read is a bad copy like any other: another one must take its
 * place.
 */
export function readError(error: unknown, id: BlobId): unknown {
  const code = codeOf(error);
  if (code === 'EIO' || code === 'EISDIR' || code === 'EBADMSG') {
    return new StoreError(
      'corrupt',
      `This node's copy of the blob ${id} cannot be read (${code}).`,
      {
        cause: error,
      },
    );
  }
  return diskError(error, `reading the blob ${id}`);
}
