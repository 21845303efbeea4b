import type { Readable } from 'node:stream';
import { type BlobId, type BlobSource, type ByteRange, type NodeId, StoreError } from '@dfs/shared';
import type { FetchRange } from '../blob-fetcher.ts';
import { blockBytes, blockCountOf } from '../blob-format.ts';
import type { BlockBuffers } from '../block-buffers.ts';
import { VerifiedReader } from '../verified-reader.ts';
import { cancelled } from '../write-turns.ts';
import { BlockFetch } from './block-fetch.ts';
import type { CacheEntry } from './cache-entry.ts';
import { blockLengthOf } from './cache-format.ts';
import { CachedBlobs, type CachedBlobsDependencies } from './cached-blobs.ts';
import { openPieces } from './piece-stream.ts';
import { type BlobFacts, sourceBytes } from './source-bytes.ts';

/** Transfers at a time that gather blocks, each about 2 MiB of memory; more readers get their bytes unshared. */
const fetchesMax = 32;
/** A node whose bytes had the wrong MD5 is not asked for that blob for so long. */
const distrustMs = 60_000;
const distrustedMax = 1_000;
/** So many sources may give wrong bytes before a reader is refused. */
const attemptsMax = 4;

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
  /** Blocks whose CRC was wrong, and blobs whose MD5 was. */
  damaged: number;
}

export interface ReadCacheDependencies extends CachedBlobsDependencies {
  readonly fetchRange: FetchRange;
  readonly buffers: BlockBuffers;
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
export class ReadCache {
  /** What is kept. */
  readonly blobs: CachedBlobs;
  readonly counters: CacheCounters = {
    hitBlocks: 0,
    missBlocks: 0,
    fetchedBytes: 0,
    damaged: 0,
  };
  readonly #deps: ReadCacheDependencies;
  /** `<blob> <node>` and until when, by the monotonic clock. */
  readonly #distrusted = new Map<string, number>();
  readonly #stopping = new AbortController();
  readonly #verifications = new Set<Promise<void>>();
  #fetchCount = 0;

  constructor(dependencies: ReadCacheDependencies) {
    this.#deps = dependencies;
    this.blobs = new CachedBlobs(dependencies);
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
    await this.blobs.loaded;
    for (let attempt = 1; ; attempt += 1) {
      if (signal?.aborted) throw cancelled(signal.reason);
      const entry = this.blobs.entryOf(blob);
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
    await this.blobs.loaded;
    const entry = this.blobs.completeOf(blobId);
    if (!entry || !this.blobs.tryHold(entry)) return undefined;
    const { blob } = entry;
    let reader: VerifiedReader | undefined;
    try {
      const range = choose(blob);
      this.blobs.touch(entry);
      if (!range) return { blob };
      entry.hold();
      reader = new VerifiedReader({
        blob: entry,
        range,
        buffers: this.#deps.buffers,
        onCorrupt: () => {
          this.counters.damaged += 1;
          void this.blobs.letGo(entry);
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

  /** Ends what runs in the background and closes files. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.blobs.endLoading();
    await Promise.all(this.#verifications);
    this.blobs.close();
  }

  /** The bytes block by block, each from the cache or from a transfer that others may share. */
  async *#pieces(
    reading: CacheReading,
    entry: CacheEntry,
    signal: AbortSignal,
  ): AsyncGenerator<Buffer, void> {
    const { range, priority } = reading;
    if (!this.blobs.tryHold(entry)) {
      yield* this.#straight(reading, range.start, signal);
      return;
    }
    const reader = {};
    let following: BlockFetch | undefined;
    try {
      this.blobs.touch(entry);
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
    this.blobs.recount(entry);
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

  /** False when it could not be kept. Never rejects. */
  async #keep(entry: CacheEntry, block: number, bytes: Buffer): Promise<boolean> {
    const isKept = await this.blobs.keep(entry, block, bytes);
    if (isKept && entry.file?.isWhole) this.#verify(entry);
    return isKept;
  }

  /** Compares the MD5 of a blob of which all blocks are here, in the background. */
  #verify(entry: CacheEntry): void {
    const { file } = entry;
    if (!file || entry.isGone) return;
    if (entry.isHashed) {
      file.markVerified();
      return;
    }
    if (!this.blobs.tryHold(entry)) return;
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
    void this.blobs.letGo(entry);
  }

  #isDistrusted(blobId: BlobId, nodeId: NodeId): boolean {
    const key = `${blobId} ${nodeId}`;
    const untilMs = this.#distrusted.get(key);
    if (untilMs === undefined) return false;
    if (untilMs > this.#deps.clock.monotonic()) return true;
    this.#distrusted.delete(key);
    return false;
  }
}

const blocksIn = ({ start, end }: ByteRange) =>
  end > start ? Math.ceil(end / blockBytes) - Math.floor(start / blockBytes) : 0;
