import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  type BlobSource,
  type ByteRange,
  type Clock,
  type NodeId,
  newBlobId,
  newNodeId,
  StoreError,
  systemClock,
} from '@dfs/shared';
import { md5Of, patternBytes, recordingLogger, temporaryDirectory } from '@dfs/shared/testing';
import type { FetchRange } from '../blob-fetcher.ts';
import { BlockBuffers } from '../block-buffers.ts';
import { type CacheReading, ReadCache } from '../cache/read-cache.ts';
import { type DiskSpace, Space } from '../space.ts';

const chunkBytes = 64 * 1024;

/** A blob and its bytes, as a source has it. */
export function makeBlob(sizeBytes: number, seed = 0) {
  const bytes = Buffer.from(patternBytes(sizeBytes + seed)).subarray(seed);
  const facts = { blobId: newBlobId(), sizeBytes, md5: md5Of(bytes) };
  return { ...facts, bytes, facts };
}
export type TestBlob = ReturnType<typeof makeBlob>;

/** A node that has blobs, as far as a cache asks it, and what it was asked for. */
export class TestSource {
  readonly nodeId: NodeId = newNodeId();
  readonly url: string;
  readonly blobs = new Map<string, Buffer>();
  readonly asked: ByteRange[] = [];
  /** Bytes that were taken of it. */
  sentBytes = 0;
  /** Transfers that were ended before their last byte. */
  abortedCount = 0;
  runningCount = 0;
  /** Awaited before each chunk at that position of the blob. */
  gate: (position: number) => Promise<void> = async () => undefined;
  /** What it sends instead of the right bytes. */
  distort: (chunk: Buffer, position: number) => Buffer = (chunk) => chunk;
  isDown = false;

  constructor(name: string) {
    this.url = `http://${name}`;
  }

  has(...blobs: readonly TestBlob[]): this {
    for (const { blobId, bytes } of blobs) this.blobs.set(blobId, bytes);
    return this;
  }

  open(blobId: string, range: ByteRange, signal: AbortSignal): Readable {
    if (this.isDown) throw new StoreError('unavailable', `${this.url} gave no answer.`);
    const bytes = this.blobs.get(blobId);
    if (!bytes) throw new StoreError('not-found', `${this.url} has none.`);
    this.asked.push(range);
    this.runningCount += 1;
    let end: (error: Error) => void = () => undefined;
    const ended = new Promise<never>((_, reject) => {
      end = reject;
    });
    ended.catch(() => undefined);
    const stream = Readable.from(this.#chunks(bytes, range, ended), { highWaterMark: 1 });
    const stop = () => {
      end(new Error('aborted'));
      stream.destroy(new Error('aborted'));
    };
    signal.addEventListener('abort', stop, { once: true });
    stream.once('close', () => {
      this.runningCount -= 1;
      signal.removeEventListener('abort', stop);
      if (!stream.readableEnded) this.abortedCount += 1;
    });
    return stream;
  }

  async *#chunks(
    bytes: Buffer,
    { start, end }: ByteRange,
    ended: Promise<never>,
  ): AsyncGenerator<Buffer> {
    for (let at = start; at < end; at += chunkBytes) {
      await Promise.race([this.gate(at), ended]);
      if (this.isDown) throw new StoreError('unavailable', `${this.url} broke off.`);
      const chunk = bytes.subarray(at, Math.min(end, at + chunkBytes));
      this.sentBytes += chunk.byteLength;
      yield this.distort(Buffer.from(chunk), at);
    }
  }
}

export interface TestCacheOptions {
  /** A data directory that is there already; absent: a temporary one. */
  readonly path?: string;
  readonly limitBytes?: number;
  readonly clock?: Clock;
  readonly sources?: readonly TestSource[];
  /** Absent: a disk with room for everything. */
  readonly measure?: (path: string) => Promise<DiskSpace>;
}

const roomy = async () => ({ capacityBytes: 2 ** 40, freeBytes: 2 ** 39 });

/** A cache in a temporary directory, and sources that it can fetch from. */
export async function openTestCache(options: TestCacheOptions = {}) {
  const temporary = options.path === undefined ? await temporaryDirectory() : undefined;
  const path = options.path ?? temporary?.path ?? '';
  await mkdir(path, { recursive: true });
  const sources = options.sources ?? [];
  const fetchRange: FetchRange = async ({ blobId, source }, range, signal) => {
    const found = sources.find(({ nodeId }) => nodeId === source.nodeId);
    if (!found) throw new StoreError('unavailable', 'Nobody is there.');
    return found.open(blobId, range, signal);
  };
  const space = await Space.open({ path, reserveBytes: 0, measure: options.measure ?? roomy });
  const { logger, lines } = recordingLogger();
  const cache = new ReadCache({
    path: join(path, 'cache'),
    limitBytes: options.limitBytes ?? 2 ** 30,
    space,
    fetchRange,
    buffers: new BlockBuffers({ blocksMax: 16 }),
    clock: options.clock ?? systemClock,
    logger,
  });
  cache.blobs.start();
  const open = (blob: TestBlob, more: Partial<CacheReading> = {}) =>
    cache.open({
      blob: blob.facts,
      range: { start: 0, end: blob.sizeBytes },
      sources: sources as readonly BlobSource[],
      ...more,
    });
  return {
    cache,
    space,
    lines,
    path,
    filePath: (blob: TestBlob) => join(path, 'cache', blob.blobId),
    open,
    /** All bytes of a range, by default of the whole blob. */
    read: async (blob: TestBlob, start = 0, end = blob.sizeBytes): Promise<Buffer> => {
      const stream = await open(blob, { range: { start, end } });
      return Buffer.concat(await stream.toArray());
    },
    close: async () => {
      await cache.close();
      space.close();
      await temporary?.remove();
    },
  };
}

export type TestCache = Awaited<ReturnType<typeof openTestCache>>;
