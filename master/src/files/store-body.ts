import { createHash, type Hash } from 'node:crypto';
import {
  type BlobReceipt,
  type FileId,
  fileIdOfFirstBlob,
  type NodeId,
  StoreError,
  type WholeFile,
} from '@dfs/shared';
import type { BlobToBind } from '../metadata/metadata-repository.ts';
import { BodyReader } from './body-reader.ts';
import { BodySegment } from './body-segment.ts';
import type { FileServiceDependencies } from './file-service-dependencies.ts';
import type { PutRequest } from './file-types.ts';
import { pullCopies } from './pull-copies.ts';
import { type BlobUpload, type PlacedBlob, storeBlob } from './store-blob.ts';

export interface BodyToStore
  extends Pick<PutRequest, 'path' | 'body' | 'sizeBytes' | 'expectedMd5' | 'signal'> {
  readonly contentType: string;
  readonly createdAtMs: number;
  /** How many nodes each blob belongs on, and how many hold it before this resolves. */
  readonly copies: number;
  readonly minCopies: number;
}

/** A body whose every byte is durable. */
export interface StoredBody {
  readonly fileId: FileId;
  readonly sizeBytes: number;
  readonly md5: string;
  readonly blobs: readonly BlobToBind[];
  /** Its blobs are in an upload until this is called. */
  readonly release: () => void;
}

/**
 * Streams a body into blobs. One that is known to fit into one blob is hashed by its node alone; of others the whole is hashed on the way. Rejects as
 * `FileService.put` does, and then leaves nothing behind but blobs for collection.
 */
export async function storeBody(
  dependencies: FileServiceDependencies,
  request: BodyToStore,
): Promise<StoredBody> {
  const reader = new BodyReader(request.body, request);
  const upload = new BodyUpload(dependencies, request, reader);
  try {
    return await upload.run();
  } catch (error) {
    upload.release();
    throw error;
  } finally {
    reader.dispose();
  }
}

/** The blobs of one body, one after the other. */
class BodyUpload {
  readonly #dependencies: FileServiceDependencies;
  readonly #request: BodyToStore;
  readonly #reader: BodyReader;
  readonly #blobs: PlacedBlob[] = [];
  readonly #copies: Promise<readonly NodeId[]>[] = [];
  #sizeBytes = 0;
  #hash: Hash | undefined;
  #whole: WholeFile | undefined;

  constructor(dependencies: FileServiceDependencies, request: BodyToStore, reader: BodyReader) {
    this.#dependencies = dependencies;
    this.#request = request;
    this.#reader = reader;
  }

  async run(): Promise<StoredBody> {
    let isLast = false;
    while (!isLast) isLast = await this.#storeNext();
    const pulled = await Promise.all(this.#copies);
    const first = this.#blobs[0] as PlacedBlob;
    const whole = this.#whole ?? first.receipt;
    checkMd5(this.#request, whole.md5);
    return {
      fileId: fileIdOfFirstBlob(first.blobId),
      sizeBytes: whole.sizeBytes,
      md5: whole.md5,
      blobs: this.#blobsToBind(pulled),
      release: () => this.release(),
    };
  }

  release(): void {
    for (const blob of this.#blobs) blob.release();
  }

  /** True when that was the last one. */
  async #storeNext(): Promise<boolean> {
    const { config, held } = this.#dependencies;
    const sizeBytes = this.#sizeOfNext();
    const segment = new BodySegment({
      reader: this.#reader,
      limitBytes: config.segmentBytes,
      sizeBytes,
      heldBytesMax: config.heldBodyBytes,
      readAheadBytes: config.readAheadBytes,
      held,
    });
    try {
      if (sizeBytes === undefined || sizeBytes <= config.heldBodyBytes) await segment.fill();
      const blob = await storeBlob(this.#dependencies, this.#uploadOf(segment, sizeBytes));
      this.#blobs.push(blob);
      this.#sizeBytes += blob.receipt.sizeBytes;
      this.#copyOn(blob);
      return segment.isLast;
    } finally {
      segment.release();
    }
  }

  #uploadOf(segment: BodySegment, sizeBytes: number | undefined): BlobUpload {
    const { path, contentType, createdAtMs, copies, signal } = this.#request;
    const first = this.#blobs[0];
    const isWhole = this.#isWhole(segment);
    if (!isWhole) {
      this.#hash ??= createHash('md5');
      segment.hashInto(this.#hash);
    }
    return {
      reader: this.#reader,
      segment,
      fileId: first && fileIdOfFirstBlob(first.blobId),
      sequence: this.#blobs.length,
      path,
      contentType,
      createdAtMs,
      sizeBytes,
      copies,
      signal,
      ...(isWhole
        ? { expectedMd5: this.#request.expectedMd5?.() }
        : { whole: (receipt) => this.#factsOf(segment, receipt) }),
    };
  }

  /** True when this segment is the whole body: because it was declared so, or because it is in memory to its end. */
  #isWhole(segment: BodySegment): boolean {
    const { sizeBytes } = this.#request;
    if (this.#blobs.length > 0) return false;
    const isDeclared =
      sizeBytes !== undefined && sizeBytes <= this.#dependencies.config.segmentBytes;
    return isDeclared || (segment.isLast && segment.isHeld);
  }

  #sizeOfNext(): number | undefined {
    const { sizeBytes } = this.#request;
    if (sizeBytes === undefined) return undefined;
    return Math.min(this.#dependencies.config.segmentBytes, sizeBytes - this.#sizeBytes);
  }

  /** Facts of the whole file when `receipt` is of its last blob; asked once per attempt. */
  #factsOf(segment: BodySegment, receipt: BlobReceipt): WholeFile | undefined {
    if (!segment.isLast) return undefined;
    this.#whole ??= {
      blobCount: this.#blobs.length + 1,
      sizeBytes: this.#sizeBytes + receipt.sizeBytes,
      md5: (this.#hash as Hash).digest('hex'),
    };
    checkMd5(this.#request, this.#whole.md5);
    return this.#whole;
  }

  /** The next segment need not wait for the copies of this one. */
  #copyOn(blob: PlacedBlob): void {
    const { minCopies, signal } = this.#request;
    if (minCopies <= 1) return;
    const copies = pullCopies(this.#dependencies, { blob, count: minCopies - 1, signal });
    // It is awaited at the end; until then a rejection is no unhandled one.
    copies.catch(() => undefined);
    this.#copies.push(copies);
  }

  #blobsToBind(pulled: readonly (readonly NodeId[])[]): BlobToBind[] {
    let offsetBytes = 0;
    return this.#blobs.map(({ blobId, receipt, primary, targets }, index) => {
      const storedOn = pulled[index] ?? [];
      const wantedOn = targets.filter((id) => !storedOn.includes(id));
      const missing = Math.max(0, this.#request.copies - 1 - storedOn.length);
      const blob: BlobToBind = {
        blobId,
        sizeBytes: receipt.sizeBytes,
        md5: receipt.md5,
        offsetBytes,
        primary,
        storedOn,
        wantedOn: wantedOn.slice(0, missing),
      };
      offsetBytes += receipt.sizeBytes;
      return blob;
    });
  }
}

/** Compares with what the sender says, as far as it said it by now. */
export function checkMd5(
  { expectedMd5, path }: Pick<PutRequest, 'expectedMd5' | 'path'>,
  md5: string,
): void {
  const expected = expectedMd5?.();
  if (expected === undefined || expected === md5) return;
  throw new StoreError(
    'digest-mismatch',
    `The MD5 of the bytes received for ${path} is ${md5}, but ${expected} was announced.`,
    { hint: 'Send the file again; nothing was stored.' },
  );
}
