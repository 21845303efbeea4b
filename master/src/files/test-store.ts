import { Readable } from 'node:stream';
import {
  type BlobBody,
  type BlobId,
  type BlobReceipt,
  type OpenedBlob,
  type OpenOptions,
  type PutOptions,
  StoreError,
} from '@dfs/shared';
import { MemoryBlobStore } from '@dfs/shared/testing';

/** What a read does at an offset of the blob: give at most so many bytes, break off, or never go on. */
export type ReadFate = number | 'break' | 'hang';

/** A memory blob store that also fails in the middle of bytes. */
export class TestStore extends MemoryBlobStore {
  /** Asked at the start of each chunk of a read. Absent: chunks of 1 000 bytes. */
  fateOfRead: ((id: BlobId, offset: number) => ReadFate) | undefined;
  /** A put breaks off once this many bytes of its body were taken. */
  breakPutAfterBytes: number | undefined;
  readonly puts: { readonly id: BlobId; readonly isHeld: boolean }[] = [];
  /** What it gives, it has in a cache alone. */
  isCacheOnly = false;
  /** Streams given to readers that have not ended. */
  openReads = 0;

  override async put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt> {
    this.puts.push({ id, isHeld: body instanceof Uint8Array });
    if (this.breakPutAfterBytes === undefined) return super.put(id, body, options);
    let taken = 0;
    const source = body instanceof Uint8Array ? Readable.from([body]) : body;
    try {
      for await (const chunk of source as AsyncIterable<Buffer>) {
        taken += chunk.byteLength;
        if (taken >= this.breakPutAfterBytes) break;
      }
    } finally {
      source.destroy();
    }
    throw new StoreError('unavailable', 'The connection broke.');
  }

  override async open(id: BlobId, options: OpenOptions = {}): Promise<OpenedBlob> {
    const { bytes, sizeBytes } = await super.open(id, options);
    const [content, error] = await gatherUntilError(bytes);
    const start = options.range?.start ?? 0;
    const fateAt = (at: number) => this.fateOfRead?.(id, start + at) ?? 1_000;
    let at = 0;
    const pieces = new Readable({
      highWaterMark: 1,
      ...(options.signal ? { signal: options.signal } : {}),
      read() {
        if (at === content.byteLength) {
          if (error) this.destroy(error);
          else this.push(null);
          return;
        }
        const fate = fateAt(at);
        if (fate === 'break') this.destroy(new StoreError('unavailable', 'The connection broke.'));
        if (typeof fate !== 'number') return;
        const piece = content.subarray(at, at + fate);
        at += piece.byteLength;
        this.push(piece);
      },
    });
    this.openReads += 1;
    pieces.once('close', () => {
      this.openReads -= 1;
    });
    return { bytes: pieces, sizeBytes, ...(this.isCacheOnly ? { isCached: true } : {}) };
  }
}

/** The bytes that a store holds whole and good, past all its faults; undefined when it does not. */
export async function goodBytesIn(store: TestStore, id: BlobId): Promise<Buffer | undefined> {
  const { fault, fateOfRead } = store;
  store.fault = undefined;
  store.fateOfRead = undefined;
  try {
    const { bytes } = await store.open(id);
    const [content, error] = await gatherUntilError(bytes);
    return error ? undefined : content;
  } catch {
    return undefined;
  } finally {
    store.fault = fault;
    store.fateOfRead = fateOfRead;
  }
}

async function gatherUntilError(stream: Readable): Promise<[Buffer, Error | undefined]> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
    return [Buffer.concat(chunks), undefined];
  } catch (error) {
    return [Buffer.concat(chunks), error as Error];
  }
}
