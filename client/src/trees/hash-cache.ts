import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { SortedState, type StateCursor } from '../state/sorted-state.ts';
import { type StateLock, takeLock } from '../state/state-lock.ts';
import { isSameStamp, stampOf } from './local-tree.ts';
import type { FileStamp, LocalFile } from './tree-entry.ts';

interface KnownHash extends FileStamp {
  readonly md5: string;
}

/** A file that changed so shortly before it was hashed may change again without looking different. */
const settledMs = 2_000;

/** The MD5s of files below one directory of this machine, remembered from run to run: what looks as it did is not read again. */
export class HashCache {
  readonly #state: SortedState<KnownHash> | undefined;
  readonly #lock: StateLock | undefined;

  private constructor(state?: SortedState<KnownHash>, lock?: StateLock) {
    this.#state = state;
    this.#lock = lock;
  }

  /** Where another process uses it, or it cannot be kept, this one does without. */
  static async open(folder: string): Promise<HashCache> {
    try {
      const lock = await takeLock(join(folder, 'lock'));
      if (lock === undefined) return new HashCache();
      return new HashCache(await SortedState.open(join(folder, 'hashes')), lock);
    } catch {
      return new HashCache();
    }
  }

  /** The known MD5s along a walk; what the walk does not meet is forgotten. */
  along(): HashCursor {
    return new HashCursor(this.#state?.cursor((path) => this.#state?.set(path, undefined)));
  }

  /** `hashedAtMs`: when reading began. */
  remember({ path, stamp }: LocalFile, md5: string, hashedAtMs: number): void {
    const changedMs = Number(BigInt(stamp.changed) / 1_000_000n);
    if (changedMs > hashedAtMs - settledMs) return;
    this.#state?.set(path, { ...stamp, md5 });
  }

  async close(): Promise<void> {
    await this.#state?.close();
    this.#lock?.release();
  }
}

/** Asked in the order of a walk. */
export class HashCursor {
  readonly #cursor: StateCursor<KnownHash> | undefined;

  constructor(cursor: StateCursor<KnownHash> | undefined) {
    this.#cursor = cursor;
  }

  async at({ path, stamp }: LocalFile): Promise<string | undefined> {
    const known = await this.#cursor?.at(path);
    return known !== undefined && isSameStamp(known, stamp) ? known.md5 : undefined;
  }

  async stop(): Promise<void> {
    await this.#cursor?.stop();
  }
}

/** A file was not the same when it had been read as when it was found. */
export class ChangedWhileRead extends Error {
  constructor() {
    super('It changed while it was read: run the command again.');
  }
}

const readBytes = 512 * 1024;

/** Reads a file whole. Rejects with `ChangedWhileRead` when it is not the file that the walk found. */
export async function hashFile(local: string, { stamp }: LocalFile): Promise<string> {
  const handle = await open(local, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const hash = createHash('md5');
    const stream = handle.createReadStream({ highWaterMark: readBytes, autoClose: false });
    for await (const chunk of stream as AsyncIterable<Buffer>) hash.update(chunk);
    if (!isSameStamp(stamp, stampOf(await handle.stat({ bigint: true }))))
      throw new ChangedWhileRead();
    return hash.digest('hex');
  } finally {
    await handle.close();
  }
}
