import type { Readable } from 'node:stream';
import type { BlobId, BlobSource, ByteRange, FileId, FilePath, NodeId } from '@dfs/shared';
import type {
  BindCondition,
  FileRecord,
  NamedFile,
  OnConflict,
  Replica,
} from '../metadata/metadata-repository.ts';
import type { TreeService } from './tree-types.ts';

/** How a front names a file: by path, or by the id of its content. */
export type FileRef = { readonly path: FilePath } | { readonly id: FileId };

export interface PutRequest extends BindCondition {
  readonly path: FilePath;
  readonly body: Readable;
  /** Where known; an upload that no node has room for is refused before its body is read. */
  readonly sizeBytes?: number;
  readonly contentType?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  /** Lower-case hex of the whole body; asked for again after the last byte, since it may come in a trailer or a later form field. */
  readonly expectedMd5?: () => string | undefined;
  readonly onConflict: OnConflict;
  /** How many nodes must hold every byte durably before the answer; by default the configured number. */
  readonly minCopies?: number;
  readonly isPublic?: boolean;
  /** When the file was last modified, where that is known better than now. */
  readonly modifiedAtMs?: number;
  readonly idempotencyKey?: string;
  /** Aborted when the client goes away: reaches the transfer, never the commit. */
  readonly signal: AbortSignal;
}

/** A file as answered to whoever put or asked for it. */
export interface FileInfo extends NamedFile {
  readonly primary?: { readonly id: NodeId; readonly name: string };
  readonly copies: { readonly stored: number; readonly wanted: number };
}

export interface PutOutcome {
  readonly info: FileInfo;
  /** False when an existing name was replaced. */
  readonly isNew: boolean;
  /** True when the idempotency key was known and the first outcome is given again. */
  readonly repeated: boolean;
}

/** An upload whose bytes are durable and whose name is not bound yet. */
export interface StagedFile {
  readonly request: Omit<PutRequest, 'body'>;
  readonly file: FileRecord;
  /** Opaque to fronts. */
  readonly placement: unknown;
}

export interface OpenRequest {
  readonly range?: ByteRange;
  readonly avoid?: NodeId;
  readonly signal: AbortSignal;
}

export interface OpenedFile {
  /** The node that the first byte comes from. */
  readonly nodeId: NodeId;
  /** Ends after exactly the asked range. On a failure it goes on from another copy at the same offset; when none is left it fails. */
  readonly bytes: Readable;
  /** All of it, when it is short: whoever can send bytes at once takes these and leaves `bytes` alone. */
  readonly content?: Uint8Array;
}

export interface ReplicaInfo {
  readonly node: { readonly id: NodeId; readonly name: string };
  readonly role: Replica['role'];
  readonly state: Replica['state'];
  /** Where the blob's file lies on the node's disk. */
  readonly path: string;
  /** Place of the blob in the file, from 0. */
  readonly sequence: number;
}

/** The one file service: every protocol is a thin front over it. No HTTP, no SQL, no queue in its words. */
export interface FileService extends TreeService {
  /**
   * Stores a body and binds its name. Rejects: `digest-mismatch`, `incomplete-body`, `cancelled` (client gone), `precondition-failed`, `not-a-directory`, `is-a-directory`,
   * `no-room` (all nodes lack room), `unavailable` (no node took it; `retryAfterSeconds` set), `in-recovery`. Nothing is bound after a rejection.
   */
  put(request: PutRequest): Promise<PutOutcome>;
  /** Refuses what `put` would refuse before it reads the body: for `Expect: 100-continue`. */
  checkPut(request: Omit<PutRequest, 'body' | 'signal'>): Promise<void>;
  /** The two halves of a put, for forms: several staged files are bound all or none. */
  stage(request: PutRequest): Promise<StagedFile>;
  bind(staged: readonly StagedFile[]): Promise<readonly PutOutcome[]>;
  /** Gives up staged files: their blobs are left to collection at once. */
  discard(staged: readonly StagedFile[]): void;
  /** Undefined when there is no such file; rejects with `is-a-directory`. */
  find(ref: FileRef): Promise<NamedFile | undefined>;
  /** `find` with copies and primary. Rejects with `not-found`. */
  stat(ref: FileRef): Promise<FileInfo>;
  /** Rejects before the first byte: `unavailable` with the names of the nodes that hold it, `corrupt`, `range-not-satisfiable`. */
  open(file: FileRecord, request: OpenRequest): Promise<OpenedFile>;
  /** A signed, short-lived URL of a node with a public address for a file of one blob, or undefined: `?redirect=1`. */
  locate(named: NamedFile, avoid?: NodeId): Promise<string | undefined>;
  /** For each blob of a file the nodes that may give it, the best first, for programs of the cluster. */
  sources(file: FileRecord): Promise<ReadonlyMap<BlobId, readonly BlobSource[]>>;
  replicas(ref: FileRef): Promise<readonly ReplicaInfo[]>;
}
