import type { BlobSource } from './blob-store.ts';
import type { BlobId, FileId } from './ids.ts';

/** What the master and nodes tell each other of cached blobs: copies that a node keeps for readers, which never count as copies of a file. */

/** Where a blob can be fetched from by whoever has this: `<url>/blobs/<blob id>?<query>`. */
export interface SignedBlobSource extends BlobSource {
  /** Node, expiry and signature, without the question mark (`signBlobPath`). */
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

/** `POST /cache` of a node, which answers 202 at once and fetches in the background. */
export interface CacheRequest {
  readonly blobs: readonly BlobToCache[];
  /** The higher, the longer it is kept when room runs short; 0: as what readers had fetched. */
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

/** `DELETE /cache` of a node → 204, also of blobs that it does not cache. */
export interface CacheDrop {
  readonly blobIds: readonly BlobId[];
}
