import { mkdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  type BlobId,
  type BlobSource,
  type ByteRange,
  type CachedBlob,
  type CachePage,
  type Clock,
  cacheReportLimits,
  type NodeId,
  parseBlobId,
  StoreError,
} from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { FetchRange } from '../blob-fetcher.ts';
import { blockBytes, blockCountOf } from '../blob-format.ts';
import type { BlockBuffers } from '../block-buffers.ts';
import { unlinkFile } from '../raw-file.ts';
import type { RoomClaim, Space, Yielding } from '../space.ts';
import { VerifiedReader } from '../verified-reader.ts';
import { cancelled } from '../write-turns.ts';
import { BlockFetch } from './block-fetch.ts';
import { CacheEntry } from './cache-entry.ts';
import { CacheFile, fileOverheadBytes } from './cache-file.ts';
import { blockLengthOf } from './cache-format.ts';
import { chooseEvicted, coldest, heatAfterRead, heatOfReadAt } from './heat.ts';
import { OpenFiles } from './open-files.ts';
import { openPieces } from './piece-stream.ts';
import { type BlobFacts, sourceBytes } from './source-bytes.ts';

/** Blobs in the cache, at most: each takes some memory. */
const entriesMax = 20_000;
/** Let go of at once when there are too many, so that it is not begun for each. */
const evictedShare = 0.02;
const idleFilesMax = 64;
/** Transfers at a time that gather blocks, each about 2 MiB of memory; more readers get their bytes unshared. */
const fetchesMax = 32;
/** A node whose bytes had the wrong MD5 is not asked for that blob for so long. */
const distrustMs = 60_000;
const distrustedMax = 1_000;
/** So many sources may give wrong bytes before a reader is refused. */
const attemptsMax = 4;
const filesReadAtOnce = 8;

/** A part of a blob that somebody wants to read. */
export interface CacheReading {
  readonly blob: BlobFacts;
  readonly range: ByteRange;
  /** Nodes that have the blob, best first. Requests to them are signed here, so they do not expire. */
  readonly sources: readonly BlobSource[];
  /** Asked for newer sources when those failed. */
  readonly refresh?: (() => Promise<readonly BlobSource[]>) | undefined;
  /** -20 to 20: a point keeps the blob as long as twice the reads would. Absent: what it has, or 0. */
  readonly priority?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the cache did since the node started; `/metrics` shows it. */
export interface CacheCounters {
  /** Blocks that readers wanted and that were there, and those that were not and were fetched. */
  hitBlocks: number;
  missBlocks: number;
  fetchedBytes: number;
  evictedBlobs: number;
  /** Blocks whose CRC was wrong, and blobs whose MD5 was. */
  damaged: number;
}

export interface ReadCacheDependencies {
  /** Of the data directory; made when it is missing. */
  readonly path: string;
  /** What cached blobs may take on the disk; 0: nothing is kept. */
  readonly limitBytes: number;
  readonly space: Space;
  readonly fetchRange: FetchRange;
  readonly buffers: BlockBuffers;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A complete cached blob opened for sending, as `BlobReading` of a stored one. */
export interface CachedReading {
  readonly blob: BlobFacts;
  readonly reader?: VerifiedReader;
}

/**
 * Blobs of other nodes, for readers at this one: what is read is kept as long as there is room. Blobs
 * never change, so what is kept is never stale.
 */
export class ReadCache implements Yielding {
  readonly counters: CacheCounters = {
    hitBlocks: 0,
    missBlocks: 0,
    fetchedBytes: 0,
    evictedBlobs: 0,
    damaged: 0,
  };
  readonly #deps: ReadCacheDependencies;
  readonly #entries = new Map<BlobId, CacheEntry>();
  readonly #openFiles = new OpenFiles({ idleMax: idleFilesMax });
  /** `<blob> <node>` and until when, by the monotonic clock. */
  readonly #distrusted = new Map<string, number>();
  readonly #stopping = new AbortController();
  readonly #verifications = new Set<Promise<void>>();
  #loaded: Promise<void> = Promise.resolve();
  #usedBytes = 0;
  /** Of blocks that are being written. */
  #comingBytes = 0;
  #fetchCount = 0;
  #goneCount = 0;
  #isUsable = true;

  constructor(dependencies: ReadCacheDependencies) {
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

  /**
   * Exactly the bytes of `range`, from the cache where they are there, else from a source; when a
   * source fails midway, the next one goes on at the same byte. Resolves once the first bytes are
   * here. To destroy the stream, or to abort `signal`, ends the transfer at the source at once when
   * nobody else reads there.
   * Rejects before the first byte: `unavailable` (no source gives it), `range-not-satisfiable`,
   * `cancelled`. Later the stream fails with the same.
   */
  async open(reading: CacheReading): Promise<Readable> {
    const { blob, range, signal } = reading;
    if (range.start < 0 || range.end > blob.sizeBytes || range.end < range.start) {
      throw new StoreError(
        'range-not-satisfiable',
        `Bytes ${range.start} to ${range.end} are not all inside the blob of ${blob.sizeBytes} bytes.`,
      );
    }
    await this.#loaded;
    for (let attempt = 1; ; attempt += 1) {
      if (signal?.aborted) throw cancelled(signal.reason);
      const entry = this.#entryOf(blob);
      const stopping = new AbortController();
      const pieces = entry
        ? this.#pieces(reading, entry, stopping.signal)
        : this.#straight(reading, range.start, stopping.signal);
      try {
        return await openPieces(pieces, stopping, signal);
      } catch (error) {
        // Another source may have the right bytes.
        if (entry?.failure === undefined || attempt === attemptsMax) throw error;
      }
    }
  }

  /**
   * Opens a blob that is cached from its first byte to its last, for a front that sends pieces and
   * releases them; undefined when it is not. `choose` says which bytes: it may throw, or want none.
   * Rejects with `corrupt` when the first block is damaged: then it is no longer cached.
   */
  async read(
    blobId: BlobId,
    choose: (blob: BlobFacts) => ByteRange | undefined,
  ): Promise<CachedReading | undefined> {
    await this.#loaded;
    const entry = this.#entries.get(blobId);
    if (!entry?.isComplete || !this.#tryHold(entry)) return undefined;
    const { blob } = entry;
    let reader: VerifiedReader | undefined;
    try {
      const range = choose(blob);
      this.#touch(entry);
      if (!range) return { blob };
      entry.hold();
      reader = new VerifiedReader({
        blob: entry,
        range,
        buffers: this.#deps.buffers,
        onCorrupt: () => {
          this.counters.damaged += 1;
          void this.#letGo(entry);
        },
      });
      await reader.prepare();
      this.counters.hitBlocks += blocksIn(range);
      return { blob, reader };
    } catch (error) {
      reader?.close();
      throw error;
    } finally {
      entry.release();
    }
  }

  /** Whether the blob is cached from its first byte to its last. */
  isComplete(blobId: BlobId): boolean {
    return this.#entries.get(blobId)?.isComplete === true;
  }

  /** From now on a point of it keeps the blob as long as twice the reads would. Nothing happens when it is not here. */
  setPriority(blobId: BlobId, priority: number): void {
    const entry = this.#entries.get(blobId);
    if (!entry || !this.#tryHold(entry)) return;
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
    return entry ? this.#letGo(entry) : Promise.resolve();
  }

  /** Complete blobs, those most worth keeping first, at most 1 000. */
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
    await this.#loaded;
    await this.#evict(bytes);
  }

  /** Ends what runs in the background and closes files. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#loaded;
    await Promise.all(this.#verifications);
    this.#openFiles.close();
  }

  /** The blob's entry; undefined when nothing is kept, or when it is known with other bytes. */
  #entryOf(blob: BlobFacts): CacheEntry | undefined {
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
  #tryHold(entry: CacheEntry): boolean {
    try {
      entry.hold();
      return true;
    } catch (error) {
      this.#deps.logger.debug('a cached blob cannot be opened', {
        blobId: entry.blob.blobId,
        error,
      });
      void this.#letGo(entry);
      return false;
    }
  }

  #touch(entry: CacheEntry): void {
    entry.heat = heatAfterRead(entry.heat, this.#deps.clock.now());
    entry.reads += 1;
  }

  /** The bytes block by block, each from the cache or from a transfer that others may share. */
  async *#pieces(
    reading: CacheReading,
    entry: CacheEntry,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    const { range, priority } = reading;
    if (!this.#tryHold(entry)) {
      yield* this.#straight(reading, range.start, signal);
      return;
    }
    const reader = {};
    let following: BlockFetch | undefined;
    try {
      this.#touch(entry);
      if (priority !== undefined) entry.priority = priority;
      for (let position = range.start; position < range.end; ) {
        if (signal.aborted) throw cancelled(signal.reason);
        if (entry.failure) throw entry.failure;
        const block = Math.floor(position / blockBytes);
        following?.moved(reader, block);
        let bytes = await this.#cached(entry, block);
        if (!bytes) {
          const fetch = this.#findFetch(entry, block, following);
          if (fetch !== following) {
            following?.leave(reader);
            following = fetch;
            fetch?.join(reader, block);
          }
          if (following) {
            bytes = await this.#take(following, block, signal);
            if (!bytes) continue;
          } else {
            const own = this.#newFetch(reading, entry, block);
            if (!own) {
              yield* this.#straight(reading, position, signal);
              return;
            }
            following = own;
            own.join(reader, block);
            own.start();
            bytes = await own.take(block, signal);
          }
          this.counters.missBlocks += 1;
        }
        if (entry.failure !== undefined) throw entry.failure;
        const start = block * blockBytes;
        const end = Math.min(range.end, start + bytes.byteLength);
        yield bytes.subarray(position - start, end - start);
        position = end;
      }
      if (entry.file?.isWhole && !entry.isComplete) this.#verify(entry);
    } finally {
      following?.leave(reader);
      entry.release();
    }
  }

  async #cached(entry: CacheEntry, block: number): Promise<Buffer | undefined> {
    const { file } = entry;
    if (!file?.isPresent(block)) return undefined;
    const bytes = await file.readBlock(block);
    if (bytes) {
      this.counters.hitBlocks += 1;
      return bytes;
    }
    this.counters.damaged += 1;
    this.#recount(entry);
    entry.unhash();
    return undefined;
  }

  #findFetch(
    entry: CacheEntry,
    block: number,
    following: BlockFetch | undefined,
  ): BlockFetch | undefined {
    if (following?.covers(block)) return following;
    for (const fetch of entry.fetches) if (fetch.covers(block)) return fetch;
    return undefined;
  }

  /** A block of somebody else's transfer; undefined when that failed, which may be for its own sources. */
  async #take(fetch: BlockFetch, block: number, signal: AbortSignal): Promise<Buffer | undefined> {
    try {
      return await fetch.take(block, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      return undefined;
    }
  }

  /** A transfer from that block to the end of the range, or to where others have the bytes; undefined when there are too many. */
  #newFetch(reading: CacheReading, entry: CacheEntry, first: number): BlockFetch | undefined {
    if (this.#fetchCount >= fetchesMax) return undefined;
    const { blob } = entry;
    const last = Math.ceil(reading.range.end / blockBytes);
    const isElsewhere = (block: number) =>
      entry.file?.isPresent(block) || entry.fetches.some((fetch) => fetch.covers(block));
    let end = first + 1;
    while (end < last && !isElsewhere(end)) end += 1;
    const range = {
      start: first * blockBytes,
      end: Math.min(blob.sizeBytes, end * blockBytes),
    };
    entry.hold();
    this.#fetchCount += 1;
    const fetch = new BlockFetch({
      first,
      end,
      lengthOf: (block) => blockLengthOf(blob, block),
      open: (signal) => this.#bytesOf(reading, entry, range, signal),
      judge: (block, bytes) => this.#judge(entry, block, bytes),
      keep: (block, bytes) => this.#keep(entry, block, bytes),
      onEnd: () => {
        this.#fetchCount -= 1;
        entry.fetches = entry.fetches.filter((each) => each !== fetch);
        entry.release();
      },
    });
    entry.fetches = [...entry.fetches, fetch];
    return fetch;
  }

  /** From the sources to the reader, unshared. */
  async *#straight(
    reading: CacheReading,
    start: number,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    const range = { start, end: reading.range.end };
    if (range.end > range.start) yield* this.#bytesOf(reading, undefined, range, signal);
  }

  async *#bytesOf(
    { blob, sources, refresh }: CacheReading,
    entry: CacheEntry | undefined,
    range: ByteRange,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    const { fetchRange } = this.#deps;
    const trusted = (all: readonly BlobSource[]) =>
      all.filter(({ nodeId }) => !this.#isDistrusted(blob.blobId, nodeId));
    const pieces = sourceBytes({
      blob,
      range,
      sources: trusted(sources),
      refresh: refresh && (async () => trusted(await refresh())),
      fetchRange,
      signal,
      onSource: (nodeId) => {
        if (entry && !entry.suppliers.includes(nodeId)) {
          entry.suppliers = [...entry.suppliers, nodeId];
        }
      },
    });
    for await (const piece of pieces) {
      this.counters.fetchedBytes += piece.byteLength;
      yield piece;
    }
  }

  /** Throws when this block shows that the whole has another MD5. */
  #judge(entry: CacheEntry, block: number, bytes: Buffer): void {
    if (entry.failure) throw entry.failure;
    try {
      entry.hash(block, bytes);
    } catch (error) {
      this.#condemn(entry, error as StoreError);
      throw error;
    }
  }

  /** Never rejects. */
  async #keep(entry: CacheEntry, block: number, bytes: Buffer): Promise<boolean> {
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
      this.#recount(entry);
    }
    if (entry.file.isWhole) this.#verify(entry);
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
    this.counters.evictedBlobs += entries.length;
    await Promise.all(entries.map((entry) => this.#letGo(entry)));
  }

  /** Never rejects. */
  async #letGo(entry: CacheEntry): Promise<void> {
    if (entry.isGone) return;
    const { file } = entry;
    entry.isGone = true;
    this.#recount(entry);
    if (this.#entries.get(entry.blob.blobId) === entry) this.#entries.delete(entry.blob.blobId);
    if (!file) return;
    this.#goneCount += 1;
    this.#openFiles.forget(file);
    await file.remove(join(this.#deps.path, `gone.${this.#goneCount}`));
  }

  /** Compares the MD5 of a blob of which all blocks are here, in the background. */
  #verify(entry: CacheEntry): void {
    const { file } = entry;
    if (!file || entry.isGone) return;
    if (entry.isHashed) {
      file.markVerified();
      return;
    }
    if (!this.#tryHold(entry)) return;
    const running = this.#hashRest(entry)
      .catch((error) => this.#condemn(entry, error as StoreError))
      .finally(() => {
        entry.release();
        this.#verifications.delete(running);
      });
    this.#verifications.add(running);
  }

  async #hashRest(entry: CacheEntry): Promise<void> {
    const blockCount = blockCountOf(entry.blob.sizeBytes);
    while (entry.nextToHash < blockCount) {
      if (this.#stopping.signal.aborted || entry.isGone) return;
      const block = entry.nextToHash;
      const bytes = await this.#cached(entry, block);
      // It is fetched again by the next reader, who also looks again.
      if (!bytes) return;
      // Another look may run at the same time.
      if (entry.nextToHash === block) entry.hash(block, bytes);
    }
    if (entry.file?.isWhole) entry.file.markVerified();
  }

  /** Its bytes are not those of the blob: nobody gets more of them, and those who gave them are not asked for a while. */
  #condemn(entry: CacheEntry, failure: StoreError): void {
    if (entry.failure) return;
    const { blobId } = entry.blob;
    entry.failure = failure;
    this.counters.damaged += 1;
    const sources = entry.suppliers;
    this.#deps.logger.warn('wrong bytes were fetched', {
      blobId,
      sources,
      reason: failure.message,
    });
    const untilMs = this.#deps.clock.monotonic() + distrustMs;
    if (this.#distrusted.size > distrustedMax) this.#distrusted.clear();
    for (const nodeId of sources) this.#distrusted.set(`${blobId} ${nodeId}`, untilMs);
    void this.#letGo(entry);
  }

  #isDistrusted(blobId: BlobId, nodeId: NodeId): boolean {
    const key = `${blobId} ${nodeId}`;
    const untilMs = this.#distrusted.get(key);
    if (untilMs === undefined) return false;
    if (untilMs > this.#deps.clock.monotonic()) return true;
    this.#distrusted.delete(key);
    return false;
  }

  async #load(): Promise<void> {
    const { path, limitBytes } = this.#deps;
    if (limitBytes > 0) mkdirSync(path, { recursive: true, mode: 0o700 });
    const names = await readdir(path).catch(() => []);
    for (let at = 0; at < names.length && !this.#stopping.signal.aborted; at += filesReadAtOnce) {
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
    this.#recount(entry);
  }

  /** After anything that may have changed what an entry takes. */
  #recount(entry: CacheEntry): void {
    const bytes = entry.isGone ? 0 : entry.bytes;
    this.#usedBytes += bytes - entry.countedBytes;
    entry.countedBytes = bytes;
  }
}

const blocksIn = ({ start, end }: ByteRange) =>
  end > start ? Math.ceil(end / blockBytes) - Math.floor(start / blockBytes) : 0;

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
