import { Readable } from 'node:stream';
import { expect } from 'vitest';
import type {
  BlobBody,
  BlobDescription,
  BlobPeer,
  BlobReceipt,
  BlobStore,
  PutOptions,
} from '../../blob-store.ts';
import type { ByteRange } from '../../byte-range.ts';
import { StoreError, type StoreErrorKind } from '../../errors.ts';
import { type BlobId, newBlobId } from '../../ids.ts';
import { bytesOf, makeDescription, md5Of } from '../blobs.ts';
import type { BlobStoreHarness } from '../describe-blob-store.ts';

/** What the parts of the suite do with the store under test. */
export class SuiteBlobs {
  readonly #harness: () => BlobStoreHarness;

  constructor(harness: () => BlobStoreHarness) {
    this.#harness = harness;
  }

  get harness(): BlobStoreHarness {
    return this.#harness();
  }

  get store(): BlobStore {
    return this.harness.store;
  }

  get peerFace(): BlobPeer {
    return this.harness.store as BlobStore & BlobPeer;
  }

  /** The store that pulls read from. */
  get other(): NonNullable<BlobStoreHarness['peer']> {
    if (!this.harness.peer) throw new Error('The harness has no peer.');
    return this.harness.peer;
  }

  nowMs(): number {
    return this.harness.now?.() ?? Date.now();
  }

  description(overrides: Partial<BlobDescription> = {}): BlobDescription {
    const { clusterId, epoch } = this.harness;
    return makeDescription({
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(epoch === undefined ? {} : { epoch }),
      ...overrides,
    });
  }

  /** Puts a body under a new id, or the given one. */
  put(
    body: BlobBody,
    { id = newBlobId(), ...options }: Partial<PutOptions> & { id?: BlobId } = {},
  ): Promise<BlobReceipt> {
    return this.store.put(id, body, { description: this.description({ blobId: id }), ...options });
  }

  /** Stores bytes and gives their new id. */
  async stored(bytes: Uint8Array): Promise<BlobId> {
    const id = newBlobId();
    await this.put(bytes, { id });
    return id;
  }

  async read(id: BlobId, range?: ByteRange): Promise<Buffer> {
    const { bytes } = await this.store.open(id, range ? { range } : {});
    return bytesOf(bytes);
  }

  /** The id is as if it never had been put. */
  async expectNothing(id: BlobId): Promise<void> {
    await expectKind(this.store.open(id), 'not-found');
    expect(await this.store.describe(id)).toBeUndefined();
  }
}

/** Compares without printing megabytes. */
export function expectSameBytes(found: Uint8Array, wanted: Uint8Array): void {
  expect({ sizeBytes: found.byteLength, md5: md5Of(found) }).toEqual({
    sizeBytes: wanted.byteLength,
    md5: md5Of(wanted),
  });
}

export async function expectKind(
  promise: Promise<unknown>,
  ...kinds: StoreErrorKind[]
): Promise<void> {
  const error = await promise.then(
    () => 'no error',
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(StoreError);
  expect(kinds).toContain((error as StoreError).kind);
}

/** Bytes as a stream in pieces of uneven length, so that no border of a block is a border of a piece. */
export const streamOf = (bytes: Uint8Array, pieceBytes = 60_001): Readable =>
  Readable.from(pieces(bytes, pieceBytes), { objectMode: false });

/** Gives these bytes and then fails. */
export const brokenStreamOf = (bytes: Uint8Array): Readable =>
  Readable.from(
    (function* () {
      yield* pieces(bytes, 60_001);
      throw new Error('The source broke.');
    })(),
    { objectMode: false },
  );

/** Gives these bytes and then neither ends nor fails. */
export function stuckStreamOf(bytes: Uint8Array): Readable {
  const left = [...pieces(bytes, 60_001)];
  return new Readable({
    read() {
      const piece = left.shift();
      if (piece) this.push(piece);
    },
  });
}

function* pieces(bytes: Uint8Array, pieceBytes: number): Generator<Buffer> {
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at < all.byteLength; at += pieceBytes) yield all.subarray(at, at + pieceBytes);
}
