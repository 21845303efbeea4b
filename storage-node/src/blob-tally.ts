import { lstat, opendir, readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type BlobId, shardOf } from '@dfs/shared';
import { type DataDirectory, shards } from './data-directory.ts';

/** A folder that changed while it was counted is counted again, but not for ever. */
const attemptsMax = 5;
const statsAtOnce = 4;

const shardIndexOf = (id: BlobId) => Number.parseInt(shardOf(id), 16);

/**
 * How many blobs lie on the disk and what their files take: counted once in the background, kept up
 * to date by every write and delete.
 */
export class BlobTally {
  readonly #directory: DataDirectory;
  readonly #isCounted = new Array<boolean>(shards.length).fill(false);
  /** Writes and deletes per folder, which tell whether a count is still right at its end. */
  readonly #changes = new Array<number>(shards.length).fill(0);
  /** Changes of each folder that the disk may show already and that were not told yet. */
  readonly #underWay = new Array<number>(shards.length).fill(0);
  #blobCount = 0;
  #usedBytes = 0;
  #isAnyThere = false;

  constructor(directory: DataDirectory) {
    this.#directory = directory;
  }

  /** While the count is not complete: those found so far, and at least 1 when there is any. */
  get blobCount(): number {
    return Math.max(this.#blobCount, this.#isAnyThere ? 1 : 0);
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }

  /**
   * To be called before a file is deleted or replaced by a call that waits: until the returned function is called, which follows `added` and `removed`, the folder
   * is not counted, since nobody could tell whether the change is in the count.
   */
  changing(id: BlobId): () => void {
    const index = shardIndexOf(id);
    this.#underWay[index] = (this.#underWay[index] ?? 0) + 1;
    return () => {
      this.#underWay[index] = (this.#underWay[index] ?? 0) - 1;
    };
  }

  added(id: BlobId, fileBytes: number): void {
    this.#change(id, 1, fileBytes);
  }

  removed(id: BlobId, fileBytes: number): void {
    this.#change(id, -1, -fileBytes);
  }

  /**
   * Looks whether there is any blob at all, which a master with an empty database must hear with
   * the first heartbeat. `count` then counts them.
   */
  async look(): Promise<void> {
    for (const shard of shards) {
      const folder = await opendir(this.#directory.shardPath(shard));
      try {
        this.#isAnyThere = (await folder.read()) !== null;
      } finally {
        await folder.close();
      }
      if (this.#isAnyThere) return;
    }
  }

  /**
   * Counts folder by folder, with one folder's names in memory at a time. Ends early when `signal`
   * aborts.
   */
  async count(signal: AbortSignal): Promise<void> {
    for (const [index, shard] of shards.entries()) {
      if (signal.aborted) return;
      await this.#countFolder(index, shard);
    }
    this.#isAnyThere = false;
  }

  async #countFolder(index: number, shard: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const isSettled = () => this.#underWay[index] === 0;
      while (!isSettled()) await delay(1);
      const changesBefore = this.#changes[index];
      const sizes = await sizesIn(this.#directory.shardPath(shard));
      const isSame = isSettled() && this.#changes[index] === changesBefore;
      if (!isSame && attempt < attemptsMax) continue;
      this.#isCounted[index] = true;
      this.#blobCount += sizes.length;
      this.#usedBytes += sizes.reduce((sum, size) => sum + size, 0);
      return;
    }
  }

  #change(id: BlobId, blobs: number, bytes: number): void {
    const index = shardIndexOf(id);
    this.#changes[index] = (this.#changes[index] ?? 0) + 1;
    if (!this.#isCounted[index]) return;
    this.#blobCount += blobs;
    this.#usedBytes += bytes;
  }
}

async function sizesIn(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  const sizes: number[] = [];
  for (let at = 0; at < names.length; at += statsAtOnce) {
    const some = names.slice(at, at + statsAtOnce);
    // A file deleted meanwhile counts nothing.
    const found = await Promise.all(
      some.map((name) => lstat(`${folder}/${name}`).catch(() => undefined)),
    );
    sizes.push(...found.flatMap((stats) => stats?.size ?? []));
  }
  return sizes;
}
