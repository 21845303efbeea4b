import type { BlobSource } from './blob-store.ts';
import type { BlobId, FileId } from './ids.ts';

/** What the master and nodes tell each other of cached blobs: copies that a node keeps for readers, which never count as copies of a file. */

/** Where a blob can be fetched from by whoever has this: `<url>/blobs/<blob id>?<query>`. */
export interface SignedBlobSource extends BlobSource {
  /** Node, expiry and signature, without the question mark (`signBlobPath`); empty in a cluster without a key, where every local program may ask. */
  readonly query: string;
}

/** A part of every heartbeat; absent: the node caches nothing. */
export interface CacheReport {
  /** On the disk, of blobs that are there in part too. */
  readonly bytes: number;
  readonly count: number;
  /** Those that are there completely, the most read first, at most `cacheReportLimits.blobs`. */
  readonly blobs: readonly BlobId[];
  /** Reads of files at this node's own public listener since the last heartbeat, the most read first, at most `cacheReportLimits.reads`. */
  readonly reads: readonly FileReads[];
}

export interface FileReads {
  readonly fileId: FileId;
  readonly count: number;
}

/** `POST /cache` of a node, at most `blobsInCacheRequestMax` blobs; it answers 202 with a `CacheAnswer` at once and fetches in the background. */
export interface CacheRequest {
  readonly blobs: readonly BlobToCache[];
  /**
   * -20 to 20. The higher, the longer it is kept when room runs short: a point counts as much as twice the reads. 0: as what readers had
   * fetched.
   */
  readonly priority: number;
}

export interface BlobToCache {
  readonly blobId: BlobId;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
  /** At least one; the best first. */
  readonly sources: readonly SignedBlobSource[];
}

/** What becomes of each blob of a `CacheRequest`. */
export interface CacheAnswer {
  /** Will be fetched. */
  readonly accepted: readonly BlobId[];
  /** Stored or cached there already, from the first byte to the last. */
  readonly present: readonly BlobId[];
  /** Not taken, and why: too many wait, or the blob is larger than the cache. */
  readonly refused: readonly { readonly blobId: BlobId; readonly reason: string }[];
}

/** `DELETE /cache` of a node → 204, also of blobs that it does not cache. */
export interface CacheDrop {
  readonly blobIds: readonly BlobId[];
}

/** A page of `GET /cache?after=&limit=` of a node, in the order of ids. */
export interface CachePage {
  readonly blobs: readonly CachedBlob[];
  /** Give it as `after` for the next page; absent at the end. */
  readonly next?: BlobId;
}

export interface CachedBlob {
  readonly blobId: BlobId;
  readonly sizeBytes: number;
  /** Bytes of it that are there. */
  readonly cachedBytes: number;
  /** All bytes are there and have the right MD5. */
  readonly isComplete: boolean;
  readonly priority: number;
  /** Since the node started. */
  readonly reads: number;
}
