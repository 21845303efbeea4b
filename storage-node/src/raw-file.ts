import fs from 'node:fs';
import { promisify } from 'node:util';
import { StoreError } from '@dfs/shared';

/**
 * Files by their descriptors. Small blobs are hot, and the objects around `node:fs/promises` cost
 * them more than these functions do; in return, whoever opens here must close.
 */
export const openFile = promisify(fs.open);
export const closeFile = promisify(fs.close);
/** Makes a file's bytes, or a directory's names, survive a crash of the machine. */
export const syncFile = promisify(fs.fsync);
/** As `syncFile`, for bytes and length alone. */
export const syncData = promisify(fs.fdatasync);
/**
 * Making a file, naming it and copying few bytes to it happen in memory; what waits for the disk is
 * the sync that follows. Handing them to another thread and hearing of it would cost a small blob
 * more than its share of the disk.
 */
export const makeFile = (path: string): number => fs.openSync(path, 'wx+', 0o600);
export const nameFile = fs.renameSync;
/** As `nameFile`, where the name may be that of an old file, whose bytes are given back to the disk. */
export const renameFile = promisify(fs.rename);
export const unlinkFile = promisify(fs.unlink);
export const truncateFile = promisify(fs.ftruncate);

/** What is copied at once: a long write may have to wait until the disk took older ones. */
const writtenAtOnceMaxBytes = 64 * 1024;

const read = promisify(fs.read);
const writev = promisify(fs.writev);

/**
 * Reads into `buffer` from a position of the file until it is full or the file ends; gives the
 * bytes read.
 */
export async function readFully(fd: number, buffer: Buffer, position: number): Promise<number> {
  let filledBytes = 0;
  while (filledBytes < buffer.byteLength) {
    const rest = buffer.byteLength - filledBytes;
    const { bytesRead } = await read(fd, buffer, filledBytes, rest, position + filledBytes);
    if (bytesRead === 0) break;
    filledBytes += bytesRead;
  }
  return filledBytes;
}

/** Linux takes no more buffers in one call. */
const buffersMax = 1_024;

/**
 * Writes all buffers one after the other from a position of the file. A disk that fills up may take
 * the first part only: the rest is tried again.
 */
export async function writeFully(
  fd: number,
  buffers: readonly Uint8Array[],
  position: number,
): Promise<void> {
  let rest = buffers.filter((buffer) => buffer.byteLength > 0);
  let at = position;
  const isShort = totalBytesOf(rest) <= writtenAtOnceMaxBytes;
  while (rest.length > 0) {
    const some = rest.slice(0, buffersMax);
    const bytesWritten = isShort
      ? fs.writevSync(fd, some, at)
      : (await writev(fd, some, at)).bytesWritten;
    at += bytesWritten;
    rest = withoutFirst(rest, bytesWritten);
  }
}

const totalBytesOf = (buffers: readonly Uint8Array[]) =>
  buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);

function withoutFirst(buffers: readonly Uint8Array[], bytes: number): Uint8Array[] {
  let skippedBytes = bytes;
  let index = 0;
  for (; index < buffers.length; index += 1) {
    const length = buffers[index]?.byteLength ?? 0;
    if (skippedBytes < length) break;
    skippedBytes -= length;
  }
  const [first, ...others] = buffers.slice(index);
  return first === undefined ? [] : [first.subarray(skippedBytes), ...others];
}

const fullDiskCodes: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const scarceCodes: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN']);

export const isDiskFull = (error: unknown) => fullDiskCodes.has(codeOf(error));

export const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? '';

/**
 * A failure of the file system in our words: a full disk is `no-room`, a want of descriptors or
 * memory `unavailable`, all else `internal`, which sends the caller to another node at once. What
 * is no failure of the file system stays as it is.
 */
export function diskError(error: unknown, doing: string): unknown {
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  if (fullDiskCodes.has(code)) {
    return new StoreError('no-room', `The disk is full (${code} while ${doing}).`, {
      cause: error,
    });
  }
  const kind = scarceCodes.has(code) ? 'unavailable' : 'internal';
  return new StoreError(kind, `The disk failed (${code} while ${doing}).`, { cause: error });
}
