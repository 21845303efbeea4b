import type { BlobSource } from './blob-store.ts';
import type { FilePath } from './file-path.ts';
import type { BlobId, FileId } from './ids.ts';
import type { Opening } from './opening.ts';

/**
 * What a node's own public listener asks the master, all `POST` over the management port with the cluster key. Who may what is the master's word alone; a node only remembers it
 * for a short time.
 */

/** What of a request's headers says who asks; each as it came. */
export type JudgedHeaders = Readonly<
  Partial<
    Record<'authorization' | 'shard-key' | 'host' | 'origin' | 'sec-fetch-site', string | undefined>
  >
>;

/** Who sent a request to a node. */
export interface EdgeClient {
  /** Without a port; IPv4 in its plain form. */
  readonly clientAddress: string;
  readonly headers: JudgedHeaders;
}

/** `POST /cluster/reads`: may this client have these bytes, and where are they? */
export interface ReadQuestion extends EdgeClient {
  readonly method: 'GET' | 'HEAD';
  /** As it stands in the request line. */
  readonly target: string;
}

/** `forward`: it is no read of a file's bytes, or is refused; the master answers the request itself. */
export type ReadAnswer = { readonly kind: 'forward' } | ReadPermit;

export interface ReadPermit {
  readonly kind: 'read';
  readonly file: PermittedFile;
  readonly opening: Opening;
  /** How long this may be used again for the same question, ms. */
  readonly validForMs: number;
}

export interface PermittedFile {
  readonly id: FileId;
  readonly path: FilePath;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
  readonly contentType: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly modifiedAtMs: number;
  readonly isPublic: boolean;
  /** To be saved rather than shown. */
  readonly isDownload: boolean;
  /** The URL does not end in the file's name. */
  readonly isById: boolean;
  /** In order of offset, at least one. */
  readonly blobs: readonly PermittedBlob[];
}

export interface PermittedBlob {
  readonly blobId: BlobId;
  /** Of its first byte in the file. */
  readonly offsetBytes: number;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly md5: string;
  /** The best first; none when no node that is known holds it. */
  readonly sources: readonly BlobSource[];
}

/** `POST /cluster/openings`: may a download that runs go on? Only what can be taken back is asked about. */
export interface OpeningQuestion {
  readonly opening: Opening;
  readonly fileId: FileId;
}

export interface OpeningAnswer {
  readonly isOpen: boolean;
}

/** `POST /cluster/judgements` → 204, or the refusal: for what a node can do by itself for those who may. */
export interface JudgementQuestion extends EdgeClient {
  readonly operation: 'read' | 'list' | 'write' | 'delete' | 'share' | 'admin';
  /** Absent: it is about the whole cluster. */
  readonly path?: FilePath;
}

/**
 * Headers of a request that a node passes on to the management port for its client. With them it is served as at the public port, as if it came from that client. Nobody else is believed
 * about them.
 */
export const forwardedHeaders = {
  /** The cluster key; absent in a cluster without one. What the client proves itself with stays where it is. */
  key: 'x-dfs-forwarded-key',
  /** As `EdgeClient.clientAddress`. */
  clientAddress: 'x-dfs-client-address',
  /** Scheme and host by which the client reached the node; absent where it named no usable host. */
  clientUrl: 'x-dfs-client-url',
  /** Of the node that passes it on. */
  nodeId: 'x-dfs-by-node',
} as const;
