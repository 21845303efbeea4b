import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import type {
  BlobBody,
  BlobPeer,
  BlobReceipt,
  BlobStore,
  DeleteOptions,
  InventoryPage,
  OpenedBlob,
  OpenOptions,
  PullRequest,
  PutOptions,
  StoredBlob,
} from '../blob-store.ts';
import { type Clock, systemClock } from '../clock.ts';
import { StoreError } from '../errors.ts';
import { type BlobId, inventoryKeyOf, type NodeId } from '../ids.ts';
import { md5Of } from './blobs.ts';

export type BlobOperation = 'put' | 'open' | 'describe' | 'delete' | 'pull' | 'inventory';

export interface MemoryBlobStoreOptions {
  /** Time of `storedAtMs`, and the master's clock of deletes. */
  readonly clock?: Clock;
  /** Finds the store that a pull reads from; absent: no node is reached. */
  readonly peerOf?: (nodeId: NodeId) => BlobStore | undefined;
  /** More than this in all is `no-room`. */
  readonly capacityBytes?: number;
}

interface Kept {
  readonly stored: StoredBlob;
  readonly bytes: Buffer;
  /** Of each block, when the bytes were good. */
  readonly crcs: readonly number[];
}

const blockBytes = 2 ** 20;

/** A blob store in a map, with the promises of a disk. The public fields make it fail on purpose. */
export class MemoryBlobStore implements BlobStore, BlobPeer {
  readonly #clock: Clock;
  readonly #peerOf: (nodeId: NodeId) => BlobStore | undefined;
  readonly #capacityBytes: number;
  readonly #kept = new Map<BlobId, Kept>();
  readonly #pulls = new Map<BlobId, Promise<BlobReceipt>>();

  /**
   * Called before every operation (`id` undefined: the inventory). What it throws, the operation rejects with; while its promise is
   * pending, the operation hangs.
   */
  fault: ((operation: BlobOperation, id: BlobId | undefined) => void | Promise<void>) | undefined;
  /** Called when a put's bytes are durable and its answer is not given yet: a throw is an answer that got lost. */
  faultAfterPut: ((id: BlobId) => void | Promise<void>) | undefined;
  /** Called before each chunk of a read with its offset in the blob: a throw breaks the read there. */
  faultWhileReading: ((id: BlobId, offset: number) => void | Promise<void>) | undefined;

  constructor(options: MemoryBlobStoreOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#peerOf = options.peerOf ?? (() => undefined);
    this.#capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY;
  }

  async put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    try {
      await this.fault?.('put', id);
      const bytes = await gather(body, options);
      const receipt = { sizeBytes: bytes.byteLength, md5: md5Of(bytes) };
      if (options.sizeBytes !== undefined && receipt.sizeBytes !== options.sizeBytes) {
        throw new StoreError(
          'incomplete-body',
          `The body has ${receipt.sizeBytes} bytes instead of ${options.sizeBytes}.`,
        );
      }
      if (options.expectedMd5 !== undefined && receipt.md5 !== options.expectedMd5) {
        throw new StoreError(
          'digest-mismatch',
          `The MD5 is ${receipt.md5} instead of ${options.expectedMd5}.`,
        );
      }
      const whole = options.whole ? options.whole(receipt) : { blobCount: 1, ...receipt };
      mustNotBeCancelled(options.signal);
      const description = { ...options.description, ...receipt, storedAtMs: this.#clock.now() };
      this.#keep(id, bytes, whole ? { ...description, whole } : description);
      await this.faultAfterPut?.(id);
      return receipt;
    } finally {
      if (body instanceof Readable) body.destroy();
    }
  }

  #keep(id: BlobId, bytes: Buffer, stored: StoredBlob): void {
    const present = this.#kept.get(id);
    if (present) {
      if (present.stored.md5 === stored.md5 && present.stored.sizeBytes === stored.sizeBytes)
        return;
      throw new StoreError('conflict', `The blob ${id} is stored with other bytes.`);
    }
    if (this.usedBytes + bytes.byteLength > this.#capacityBytes) {
      throw new StoreError('no-room', `No room for ${bytes.byteLength} bytes.`);
    }
    this.#kept.set(id, { stored, bytes, crcs: crcsOf(bytes) });
  }

  async open(id: BlobId, { range, signal }: OpenOptions = {}): Promise<OpenedBlob> {
    await this.fault?.('open', id);
    mustNotBeCancelled(signal);
    const kept = this.#kept.get(id);
    if (!kept) throw new StoreError('not-found', `No blob ${id}.`);
    const { start, end } = range ?? { start: 0, end: kept.stored.sizeBytes };
    if (end > kept.stored.sizeBytes || start < 0 || (range && end <= start)) {
      throw new StoreError(
        'range-not-satisfiable',
        `Bytes ${start} to ${end} are not all inside the blob.`,
      );
    }
    mustBeGood(id, kept, start);
    const chunks = this.#chunks(id, kept, start, end);
    const bytes = Readable.from(chunks, { objectMode: false, ...(signal ? { signal } : {}) });
    return { bytes, sizeBytes: end - start };
  }

  async *#chunks(id: BlobId, kept: Kept, start: number, end: number): AsyncGenerator<Buffer> {
    for (let at = start; at < end; ) {
      await this.faultWhileReading?.(id, at);
      mustBeGood(id, kept, at);
      const next = Math.min(end, (Math.floor(at / blockBytes) + 1) * blockBytes);
      yield kept.bytes.subarray(at, next);
      at = next;
    }
  }

  async describe(id: BlobId): Promise<StoredBlob | undefined> {
    await this.fault?.('describe', id);
    return this.#kept.get(id)?.stored;
  }

  async delete(id: BlobId, { expiresAtMs }: DeleteOptions): Promise<void> {
    await this.fault?.('delete', id);
    if (this.#clock.now() > expiresAtMs) {
      throw new StoreError('expired', `The delete of ${id} came too late.`);
    }
    this.#kept.delete(id);
  }

  async pull(request: PullRequest, signal?: AbortSignal): Promise<BlobReceipt> {
    await this.fault?.('pull', request.blobId);
    mustNotBeCancelled(signal);
    const running = this.#pulls.get(request.blobId);
    if (running !== undefined) return running;
    const pull = this.#pull(request).finally(() => this.#pulls.delete(request.blobId));
    this.#pulls.set(request.blobId, pull);
    return pull;
  }

  async #pull({ blobId, source, sizeBytes, md5 }: PullRequest): Promise<BlobReceipt> {
    const receipt = { sizeBytes, md5 };
    const present = this.#kept.get(blobId);
    if (present && md5Of(present.bytes) === md5) return receipt;
    const peer = this.#peerOf(source.nodeId);
    if (!peer) throw new StoreError('unavailable', `The source ${source.nodeId} is not reached.`);
    const stored = await peer.describe(blobId);
    if (!stored)
      throw new StoreError('not-found', `The source ${source.nodeId} has no blob ${blobId}.`);
    const { bytes } = await peer.open(blobId);
    const copy = await gather(bytes, {});
    if (copy.byteLength !== sizeBytes || md5Of(copy) !== md5) {
      throw new StoreError('corrupt', `The copy of ${blobId} at ${source.nodeId} is bad.`);
    }
    this.#kept.delete(blobId);
    this.#keep(blobId, copy, { ...stored, storedAtMs: this.#clock.now() });
    return receipt;
  }

  async inventory(after: string | undefined, limit: number): Promise<InventoryPage> {
    await this.fault?.('inventory', undefined);
    const all = [...this.#kept.values()].map(({ stored }) => stored);
    all.sort((a, b) => (inventoryKeyOf(a.blobId) < inventoryKeyOf(b.blobId) ? -1 : 1));
    const rest = all.filter(({ blobId }) => after === undefined || inventoryKeyOf(blobId) > after);
    const blobs = rest.slice(0, limit);
    const last = blobs.at(-1);
    if (rest.length <= limit || !last) return { blobs, damaged: [] };
    return { blobs, damaged: [], next: inventoryKeyOf(last.blobId) };
  }

  get ids(): readonly BlobId[] {
    return [...this.#kept.keys()];
  }

  get usedBytes(): number {
    let usedBytes = 0;
    for (const { bytes } of this.#kept.values()) usedBytes += bytes.byteLength;
    return usedBytes;
  }

  /** Flips a bit of the byte at `offset`, as a failing disk does. */
  corrupt(id: BlobId, offset: number): void {
    const kept = this.#kept.get(id);
    if (kept?.bytes[offset] === undefined) throw new Error(`No byte ${offset} of a blob ${id}.`);
    kept.bytes[offset] ^= 1;
  }

  /** Loses a blob, as a person with `rm` does. */
  lose(id: BlobId): void {
    this.#kept.delete(id);
  }
}

const mustNotBeCancelled = (signal: AbortSignal | undefined) => {
  if (signal?.aborted) {
    throw new StoreError('cancelled', 'The request was cancelled.', { cause: signal.reason });
  }
};

function crcsOf(bytes: Buffer): number[] {
  const crcs: number[] = [];
  for (let at = 0; at < bytes.byteLength; at += blockBytes) {
    crcs.push(crc32(bytes.subarray(at, at + blockBytes)));
  }
  return crcs;
}

function mustBeGood(id: BlobId, { bytes, crcs }: Kept, offset: number): void {
  const block = Math.floor(offset / blockBytes);
  if (crcs[block] === undefined) return;
  const found = crc32(bytes.subarray(block * blockBytes, (block + 1) * blockBytes));
  if (found !== crcs[block])
    throw new StoreError('corrupt', `Block ${block} of the blob ${id} is bad.`);
}

/** The whole body in a buffer of its own. */
async function gather(
  body: BlobBody,
  { sizeBytes, signal }: { sizeBytes?: number; signal?: AbortSignal },
): Promise<Buffer> {
  mustNotBeCancelled(signal);
  if (body instanceof Uint8Array) return Buffer.from(body);
  const cancel = () => body.destroy(new StoreError('cancelled', 'The request was cancelled.'));
  signal?.addEventListener('abort', cancel, { once: true });
  const chunks: Buffer[] = [];
  let gatheredBytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      gatheredBytes += chunk.byteLength;
      if (sizeBytes !== undefined && gatheredBytes > sizeBytes) {
        throw new StoreError('incomplete-body', `The body has more than ${sizeBytes} bytes.`);
      }
      chunks.push(Buffer.from(chunk));
    }
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError('incomplete-body', 'The body broke off before its end.', { cause });
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
  return Buffer.concat(chunks);
}
