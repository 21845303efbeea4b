import type { BlobId, FileId, NodeId, RowImage, StoredBlob, WholeFile } from '@dfs/shared';
import type { ClusterIdentity, FileRecord } from '../metadata-repository.ts';

/** whole: everything is loaded anew · replay: newer changes are added to what is there. */
export type RestoreKind = 'whole' | 'replay';

/** A copy of a blob that the journal does not know, as it describes itself. */
export interface FoundBlob {
  readonly blobId: BlobId;
  readonly nodeId: NodeId;
  readonly fileId: FileId;
  readonly sequence: number;
  readonly sizeBytes: number;
  readonly md5: string;
  readonly storedAtMs: number;
  readonly createdAtMs: number;
  readonly path: string;
  readonly contentType: string;
  readonly whole?: WholeFile;
}

/** A file put together from what its blobs say of themselves. */
export interface FoundFile {
  readonly file: FileRecord;
  /** Where it was written. */
  readonly path: string;
  /** When its last blob became durable first, by its node's clock. */
  readonly storedAtMs: number;
  /** Holders of each blob, the one that had it first in front. */
  readonly holders: readonly (readonly NodeId[])[];
  /** Why it is not simply what it says; absent: it is. */
  readonly doubt?: string;
}

export interface CopiesAdded {
  /** Copies of blobs that the database knows, which count now. */
  readonly known: number;
  /** Of blobs that it does not know: kept aside to be judged. */
  readonly unknown: number;
  /** Of known blobs, with other bytes: they do not count. */
  readonly different: number;
}

export interface Mended {
  /** Names whose content is not known, at most the first 1 000 of so many: they are gone. */
  readonly namesWithoutContent: { readonly count: number; readonly names: readonly string[] };
  /** Directories and files whose parent is not known, at most the first 1 000 of so many, by the paths below `/.restored/` where they were put. */
  readonly orphans: { readonly count: number; readonly paths: readonly string[] };
  /** Rows of contents that no name holds: gone. Their names may be in what is missing. */
  readonly contentsWithoutName: number;
}

/**
 * Rebuilds a database. From `begin` to `end` the repository refuses all other writes but those of its own steps and counts as unfinished, through crashes
 * too: a restore that died is begun again from the start. Each step takes transactions of at most 1 000 rows.
 */
export interface MetadataRestore {
  /** A restore of this kind began and did not end. */
  readonly unfinished: RestoreKind | undefined;
  begin(kind: RestoreKind): Promise<void>;
  /** In order; at most 1 000 a call. */
  applyImages(images: readonly RowImage[]): Promise<void>;
  /** All images are there: the database is of this cluster and epoch from now on, and its journal goes on after this number. */
  adopt(identity: ClusterIdentity, lastNumber: number): Promise<void>;
  /** Removes contradictions, which come out of a journal with a hole. */
  mend(): Promise<Mended>;
  /**
   * Forgets the blobs that no file refers to, where it is not sure that they were deleted. Before `addCopies`, so that what nodes hold of them is judged by what
   * it says of itself.
   */
  forgetUnreferenced(): Promise<void>;
  /** A page of a node's inventory. */
  addCopies(nodeId: NodeId, blobs: readonly StoredBlob[]): Promise<CopiesAdded>;
  /**
   * Derives what no journal carries: states of blobs, sizes of directories, totals. The repository takes writes again. `isSure`: blobs that nothing refers to were deleted, and
   * wait for collection; else they are forgotten, and their copies stay where they are.
   */
  derive(options: { readonly isSure: boolean }): Promise<void>;
  /** Copies kept aside, whole files at a time, by file id after `after`; about `limit` of them. */
  foundBlobs(page: { after?: FileId; limit: number }): Promise<readonly FoundBlob[]>;
  /** Files judged by them, kept until the end. */
  keepFound(files: readonly FoundFile[]): Promise<void>;
  /** All that claim one path, one path after the other; the first group after `after` (a `key` given before). */
  foundAtNextPath(
    after?: string,
  ): Promise<{ readonly key: string; readonly files: readonly FoundFile[] } | undefined>;
  /** Files with a blob that no node is known to hold: how many, and the names of those of the first so many blobs. */
  filesWithoutCopy(
    limit: number,
  ): Promise<{ readonly count: number; readonly paths: readonly string[] }>;
  end(): Promise<void>;
}
