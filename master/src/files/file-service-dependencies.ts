import type { BlobId, Clock, FileId, NodeId, ReplicationJob } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { FileRecord, MetadataRepository } from '../metadata/metadata-repository.ts';
import type { BlobsInUse } from './blobs-in-use.ts';
import type { HeldBytes } from './held-bytes.ts';
import type { Wait } from './node-attempts.ts';

/** Sizes in bytes. */
export interface FileServiceConfig {
  /** How many nodes a blob belongs on. */
  readonly copies: number;
  /** How many of them hold it before an upload is acknowledged. */
  readonly minCopies: number;
  /** How long what was removed or replaced can be brought back, ms; 0: not at all. */
  readonly trashTtlMs: number;
  /** A longer body becomes several blobs. */
  readonly segmentBytes: number;
  /** A body up to this is held until a node answered. */
  readonly heldBodyBytes: number;
  /** What all bodies may take in memory together. */
  readonly heldTotalBytes: number;
  /** What is read ahead of each transfer. */
  readonly readAheadBytes: number;
  /** Up to this a content is read whole before the answer begins, so that it goes out in one write. */
  readonly shortReadBytes: number;
}

export const defaultFileServiceConfig = {
  heldBodyBytes: 2 ** 20,
  heldTotalBytes: 64 * 2 ** 20,
  readAheadBytes: 256 * 2 ** 10,
  shortReadBytes: 256 * 2 ** 10,
} as const;

/** What of a file matters to caches. */
export type CachedFile = Pick<FileRecord, 'id' | 'blobs'>;

/** Copies that nodes keep for readers, and how much is read: what spreads the load. Nothing here is needed to find a file's bytes. */
export interface ReadSpreading {
  /** Nodes that said that they have the whole blob in their caches. */
  holdersOf(blobId: BlobId): readonly NodeId[];
  /** A node does not have it in its cache after all. */
  lost(nodeId: NodeId, blobId: BlobId): void;
  /** Somebody begins to read a content. */
  wasRead(fileId: FileId): void;
  /** It is read so much that all who have it shall share the load. */
  isHot(fileId: FileId): boolean;
  /** A node is given a reader of a hot file, or one who is sent to it: how many lately were, each counting less and less. */
  givenTo(nodeId: NodeId): void;
  readsLately(nodeId: NodeId): number;
  /** Some node has a part of it in its cache, or was told to fetch it. */
  isCached(file: CachedFile): boolean;
  /** A name that held it was removed: caches let go of it, if they can be told. Returns at once and never throws. */
  nameWent(file: CachedFile): void;
}

/** What the file service is made of. */
export interface FileServiceSettings {
  readonly metadata: MetadataRepository;
  readonly nodes: NodeDirectory;
  /** Takes hints at once and never throws. */
  readonly replication: { hint(jobs: readonly ReplicationJob[]): void };
  readonly inUse: BlobsInUse;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In [0, 1). */
  readonly random: () => number;
  readonly config: FileServiceConfig;
  /** Signs now (`deriveBlobUrlKey`); without it nobody is sent to a node. */
  readonly blobUrlKeyNow?: () => Buffer | undefined;
  /** The media type that a file's name suggests. */
  readonly contentTypeOf: (name: string) => string;
  /** Absent: only stored copies are read. */
  readonly caching?: ReadSpreading;
  /** By default the system's timer. */
  readonly wait?: Wait;
  /** By default random ids that sort by time. */
  readonly newBlobId?: () => BlobId;
  /** Called when something that is to be collected came to the trash, so that nobody has to look for it. */
  readonly onTrashExpired?: () => void;
}

/** The same with what its parts share. */
export interface FileServiceDependencies extends FileServiceSettings {
  readonly wait: Wait;
  readonly newBlobId: () => BlobId;
  readonly onTrashExpired: () => void;
  readonly held: HeldBytes;
}
