import type { Readable } from 'node:stream';
import type { ByteRange } from './byte-range.ts';
import type { BlobId, ClusterId, FileId, NodeId } from './ids.ts';

/** Bytes on their way in: a stream, or bytes already held (small bodies, which can be sent again). */
export type BlobBody = Readable | Uint8Array;

/** What became durable. */
export interface BlobReceipt {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
}

/** Facts of the whole file, kept with its last blob, so that the file can be proved complete without the database. */
export interface WholeFile {
  readonly blobCount: number;
  readonly sizeBytes: number;
  readonly md5: string;
}

/** What a blob says of itself on disk, so that the database can be rebuilt from nodes. */
export interface BlobDescription {
  readonly clusterId: ClusterId;
  readonly epoch: number;
  readonly blobId: BlobId;
  readonly fileId: FileId;
  /** Place of this blob in its file, from 0. */
  readonly sequence: number;
  /** The full path when the blob was written; renames are in the journal. */
  readonly path: string;
  readonly contentType: string;
  readonly createdAtMs: number;
  /** Only on a file's last blob. */
  readonly whole?: WholeFile;
}

/** The description as it stands on a disk, with what the store itself learnt while writing. */
export interface StoredBlob extends BlobDescription, BlobReceipt {
  /** When this copy became durable on this node, by the node's clock. */
  readonly storedAtMs: number;
}

export interface PutOptions {
  readonly description: BlobDescription;
  /** The body's length in bytes where it is known; another length is `incomplete-body`. */
  readonly sizeBytes?: number;
  /** Lower-case hex; other bytes are refused with `digest-mismatch` and leave nothing. */
  readonly expectedMd5?: string;
  /**
   * Called once when all bytes went through, before the blob becomes durable: the facts of the whole file if this
   * is its last blob, else undefined. When it rejects, the put rejects with that and nothing stays. Absent: the blob is a whole file by itself.
   */
  readonly whole?: (receipt: BlobReceipt) => WholeFile | undefined;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  /** Absent: the whole blob. Must lie inside the blob, else `range-not-satisfiable`. */
  readonly range?: ByteRange;
  readonly signal?: AbortSignal;
}

/** A blob being read: `bytes` ends after exactly the asked range, or fails. */
export interface OpenedBlob {
  readonly bytes: Readable;
  readonly sizeBytes: number;
  /** The place has no copy of its own that counts: these bytes come from its cache. */
  readonly isCached?: boolean;
}

/**
 * A place that keeps blobs. A disk, a node across the network and a test's map all keep these promises:
 * `describeBlobStore` in `testing/` proves them.
 */
export interface BlobStore {
  /**
   * Resolves once the bytes and their name survive a crash. A put of an id that is already stored with the same bytes succeeds without
   * writing again; with other bytes it is a `conflict`. A rejection leaves the outcome unknown: an id serves one attempt, what
   * remains is collected. A stream is always consumed or destroyed.
   * Rejects: `digest-mismatch`, `incomplete-body`, `no-room`, `conflict`, `cancelled`, `unavailable`.
   */
  put(id: BlobId, body: BlobBody, options: PutOptions): Promise<BlobReceipt>;
  /**
   * Rejects with `not-found` before the first byte, and with `corrupt` when the first block is bad. Only verified bytes are ever
   * given out: a bad block later makes the stream fail with `corrupt` before any byte of it.
   */
  open(id: BlobId, options?: OpenOptions): Promise<OpenedBlob>;
  /** What the blob says of itself, or undefined when it is not here. */
  describe(id: BlobId): Promise<StoredBlob | undefined>;
  /**
   * Deleting an absent blob succeeds: the wanted state already holds. Readers that have it open finish.
   * `expiresAtMs` is in the master's clock: a delete that arrives later is refused with `expired` and does nothing.
   */
  delete(id: BlobId, options: DeleteOptions): Promise<void>;
}

export interface DeleteOptions {
  readonly expiresAtMs: number;
}

/** A node where a blob can be fetched from. */
export interface BlobSource {
  readonly nodeId: NodeId;
  /** Base URL of the node, without a trailing slash. */
  readonly url: string;
}

export interface PullRequest {
  readonly blobId: BlobId;
  readonly source: BlobSource;
  readonly sizeBytes: number;
  readonly md5: string;
}

export interface InventoryPage {
  /** In order of `inventoryKeyOf`. A blob whose self-description is unreadable is listed in `damaged`. */
  readonly blobs: readonly StoredBlob[];
  readonly damaged: readonly BlobId[];
  /** Give it as `after` for the next page; absent at the end. */
  readonly next?: string;
}

/** What a node can do beyond keeping blobs; a map in a test need not. */
export interface BlobPeer {
  /**
   * Has the node fetch a blob from another one, verify size and MD5, and make it durable. Joins a pull of the same blob that already
   * runs; a blob that is already whole here succeeds at once; a damaged one is replaced.
   * Rejects: `not-found` (the source has none), `corrupt` (the source's copy is bad), `no-room` (this node), `unavailable` (`source` or target; see message).
   */
  pull(request: PullRequest, signal?: AbortSignal): Promise<BlobReceipt>;
  inventory(after: string | undefined, limit: number): Promise<InventoryPage>;
}
