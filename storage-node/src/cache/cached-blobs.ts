import { mkdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type BlobId,
  type CachedBlob,
  type CachePage,
  type Clock,
  cacheReportLimits,
  parseBlobId,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { unlinkFile } from '../raw-file.ts';
import type { RoomClaim, Space, Yielding } from '../space.ts';
import { CacheEntry } from './cache-entry.ts';
import { CacheFile, fileOverheadBytes } from './cache-file.ts';
import { chooseEvicted, coldest, heatAfterRead, heatOfReadAt } from './heat.ts';
import { OpenFiles } from './open-files.ts';
import type { BlobFacts } from './source-bytes.ts';

/** Blobs in the cache, at most: each takes some memory. */
const entriesMax = 20_000;
/** Let go of at once when there are too many, so that it is not begun for each. */
const evictedShare = 0.02;
const idleFilesMax = 64;
const filesReadAtOnce = 8;

export interface CachedBlobsDependencies {
  /** Of the data directory; made when it is missing. */
  readonly path: string;
  /** What cached blobs may take on the disk; 0: nothing is kept. */
  readonly limitBytes: number;
  readonly space: Space;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the cache holds: which blobs, in how much room, and which are let go of when it runs short. */
export class CachedBlobs implements Yielding {
  /** Since the node started. */
  evictedBlobs = 0;
  readonly #deps: CachedBlobsDependencies;
  readonly #entries = new Map<BlobId, CacheEntry>();
  readonly #openFiles = new OpenFiles({ idleMax: idleFilesMax });
  #loaded: Promise<void> = Promise.resolve();
  #usedBytes = 0;
  /** Of blocks that are being written. */
  #comingBytes = 0;
  #goneCount = 0;
  #isUsable = true;
  #isEnding = false;

  constructor(dependencies: CachedBlobsDependencies) {
    this.#deps = dependencies;
  }

  /**
   * Looks what an earlier run left, in the background: who reads before waits for it. From now on
   * what is cached gives way to writes that find no room.
   */
  start(): void {
    this.#loaded = this.#load().catch((error) => {
      this.#isUsable = false;
      this.#deps.logger.warn('the cache cannot be used', { error });
    });
    this.#deps.space.letYield(this);
  }

  /** Resolves once it is known what an earlier run left. */
  get loaded(): Promise<void> {
    return this.#loaded;
  }

  /** The blob with all its bytes; undefined when it is not here from its first byte to its last. */
  completeOf(blobId: BlobId): CacheEntry | undefined {
    const entry = this.#entries.get(blobId);
    return entry?.isComplete ? entry : undefined;
  }

  /** Whether the blob is here from its first byte to its last. */
  isComplete(blobId: BlobId): boolean {
    return this.completeOf(blobId) !== undefined;
  }

  /** From now on a point of it keeps the blob as long as twice the reads would. Nothing happens when it is not here. */
  setPriority(blobId: BlobId, priority: number): void {
    const entry = this.#entries.get(blobId);
    if (!entry || !this.tryHold(entry)) return;
    entry.priority = priority;
    entry.release();
  }

  /** What cached blobs may take on the disk, bytes; 0: nothing is kept. */
  get limitBytes(): number {
    return this.#isUsable ? this.#deps.limitBytes : 0;
  }

  /** What they take. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  /** How many there are, those that are there in part included. */
  get count(): number {
    let count = 0;
    for (const { file } of this.#entries.values()) if (file) count += 1;
    return count;
  }

  /** Lets go of a blob; readers who have it come to their end. Nothing happens when it is not here. */
  drop(blobId: BlobId): Promise<void> {
    const entry = this.#entries.get(blobId);
    return entry ? this.letGo(entry) : Promise.resolve();
  }

  /** Complete blobs, the most read first, at most 1 000. */
  mostRead(): BlobId[] {
    return [...this.#entries.values()]
      .filter(({ isComplete }) => isComplete)
      .sort((a, b) => b.heat - a.heat)
      .slice(0, cacheReportLimits.blobs)
      .map(({ blob }) => blob.blobId);
  }

  /** A page in the order of ids, behind the blob `after`. */
  list(after: BlobId | undefined, limit: number): CachePage {
    const behind = [...this.#entries.values()]
      .filter(({ blob, file }) => file && (after === undefined || blob.blobId > after))
      .sort((a, b) => (a.blob.blobId < b.blob.blobId ? -1 : 1));
    const page = behind.slice(0, limit);
    const last = page.at(-1)?.blob.blobId;
    return {
      blobs: page.map(describe),
      ...(behind.length > limit && last !== undefined ? { next: last } : {}),
    };
  }

  /** What gives way to writes: all that nobody is reading. */
  get yieldableBytes(): number {
    let bytes = 0;
    for (const entry of this.#entries.values()) if (!entry.isHeld) bytes += entry.bytes;
    return bytes;
  }

  async yield(bytes: number): Promise<void> {
    await this.loaded;
    await this.#evict(bytes);
  }

  /** Looks no further what an earlier run left. Resolves once it does not. */
  endLoading(): Promise<void> {
    this.#isEnding = true;
    return this.#loaded;
  }

  /** Closes the files of what nobody reads. */
  close(): void {
    this.#openFiles.close();
  }

  /** The blob's entry; undefined when nothing is kept, or when it is known with other bytes. */
  entryOf(blob: BlobFacts): CacheEntry | undefined {
    if (this.limitBytes === 0 || blob.sizeBytes === 0) return undefined;
    const known = this.#entries.get(blob.blobId);
    if (known) {
      const { sizeBytes, md5 } = known.blob;
      return sizeBytes === blob.sizeBytes && md5 === blob.md5 ? known : undefined;
    }
    const entry = this.#newEntry(blob, coldest);
    this.#entries.set(blob.blobId, entry);
    return entry;
  }

  #newEntry(blob: BlobFacts, heat: number): CacheEntry {
    return new CacheEntry(blob, {
      heat,
      openFiles: this.#openFiles,
      onIdle: (entry) => {
        if (!entry.file && this.#entries.get(blob.blobId) === entry)
          this.#entries.delete(blob.blobId);
      },
    });
  }

  /** False when its file cannot be opened: then it is let go of. */
  tryHold(entry: CacheEntry): boolean {
    try {
      entry.hold();
      return true;
    } catch (error) {
      this.#deps.logger.debug('a cached blob cannot be opened', {
        blobId: entry.blob.blobId,
        error,
      });
      void this.letGo(entry);
      return false;
    }
  }

  touch(entry: CacheEntry): void {
    entry.heat = heatAfterRead(entry.heat, this.#deps.clock.now());
    entry.reads += 1;
  }

  /** Writes a block of the blob, for which others may be let go. False when it could not be kept. Never rejects. */
  async keep(entry: CacheEntry, block: number, bytes: Buffer): Promise<boolean> {
    if (entry.isGone || entry.file?.isPresent(block)) return entry.file?.isPresent(block) === true;
    const newBytes = bytes.byteLength + (entry.file ? 0 : fileOverheadBytes);
    const room = await this.#claim(newBytes);
    if (!room) return false;
    this.#comingBytes += newBytes;
    try {
      if (entry.isGone) return false;
      entry.file ??= this.#createFile(entry.blob);
      await entry.file.writeBlock(block, bytes);
      room.wrote(newBytes);
    } catch (error) {
      const { blobId } = entry.blob;
      this.#deps.logger.debug('a block could not be cached', { blobId, block, error });
      return false;
    } finally {
      this.#comingBytes -= newBytes;
      room.release();
      this.recount(entry);
    }
    return true;
  }

  #createFile(blob: BlobFacts): CacheFile {
    return CacheFile.create(join(this.#deps.path, blob.blobId), blob, this.#deps.clock.now());
  }

  /** Room within the limit and on the disk, for which others are let go; undefined when there is none. */
  async #claim(bytes: number): Promise<RoomClaim | undefined> {
    const { space } = this.#deps;
    const limitBytes = this.limitBytes;
    const overBytes = () => this.#usedBytes + this.#comingBytes + bytes - limitBytes;
    if (overBytes() > 0) {
      await this.#evict(Math.max(overBytes(), limitBytes * evictedShare));
      if (overBytes() > 0) return undefined;
    }
    if (this.#entries.size > entriesMax) await this.#evictSome(entriesMax * evictedShare);
    try {
      const room = await space.claimSpare(bytes);
      if (room) return room;
      await this.#evict(Math.max(bytes, limitBytes * evictedShare));
      return await space.claimSpare(bytes);
    } catch {
      // The disk does not say what is free.
      return undefined;
    }
  }

  /** Lets go of those least worth keeping that nobody reads. Never rejects. */
  async #evict(bytes: number): Promise<void> {
    await this.#evictAll(chooseEvicted(this.#idleEntries(), bytes));
  }

  async #evictSome(count: number): Promise<void> {
    const idle = this.#idleEntries().map((entry) => ({ ...worthOf(entry), entry, bytes: 1 }));
    await this.#evictAll(chooseEvicted(idle, count).map(({ entry }) => entry));
  }

  #idleEntries(): CacheEntry[] {
    return [...this.#entries.values()].filter(({ isHeld, file }) => !isHeld && file);
  }

  async #evictAll(entries: readonly CacheEntry[]): Promise<void> {
    this.evictedBlobs += entries.length;
    await Promise.all(entries.map((entry) => this.letGo(entry)));
  }

  /** Forgets the blob and removes its file; who reads it comes to the end. Never rejects. */
  async letGo(entry: CacheEntry): Promise<void> {
    if (entry.isGone) return;
    const { file } = entry;
    entry.isGone = true;
    this.recount(entry);
    if (this.#entries.get(entry.blob.blobId) === entry) this.#entries.delete(entry.blob.blobId);
    if (!file) return;
    this.#goneCount += 1;
    this.#openFiles.forget(file);
    await file.remove(join(this.#deps.path, `gone.${this.#goneCount}`));
  }

  async #load(): Promise<void> {
    const { path, limitBytes } = this.#deps;
    if (limitBytes > 0) mkdirSync(path, { recursive: true, mode: 0o700 });
    const names = await readdir(path).catch(() => []);
    for (let at = 0; at < names.length && !this.#isEnding; at += filesReadAtOnce) {
      const some = names.slice(at, at + filesReadAtOnce);
      await Promise.all(some.map((name) => this.#loadFile(name)));
    }
    const overBytes = this.#usedBytes - limitBytes;
    if (overBytes > 0) await this.#evict(overBytes);
  }

  async #loadFile(name: string): Promise<void> {
    const path = join(this.#deps.path, name);
    const file = this.#deps.limitBytes > 0 ? await readFile(path, name) : undefined;
    if (!file) {
      await unlinkFile(path).catch(() => undefined);
      return;
    }
    const entry = this.#newEntry(file.blob, heatOfReadAt(file.writtenAtMs));
    entry.file = file;
    this.#entries.set(file.blob.blobId, entry);
    this.recount(entry);
  }

  /** After anything that may have changed what an entry takes. */
  recount(entry: CacheEntry): void {
    const bytes = entry.isGone ? 0 : entry.bytes;
    this.#usedBytes += bytes - entry.countedBytes;
    entry.countedBytes = bytes;
  }
}

const worthOf = ({ heat, priority }: CacheEntry) => ({ heat, priority });

const describe = ({ blob, file, isComplete, priority, reads }: CacheEntry): CachedBlob => ({
  blobId: blob.blobId,
  sizeBytes: blob.sizeBytes,
  cachedBytes: file?.presentBytes ?? 0,
  isComplete,
  priority,
  reads,
});

async function readFile(path: string, name: string): Promise<CacheFile | undefined> {
  try {
    return await CacheFile.read(path, parseBlobId(name));
  } catch {
    return undefined;
  }
}
