import type { LatencyMs } from './statistics.ts';

/** Where a server is, and what opens its door. */
export interface LoadTarget {
  host: string;
  port: number;
  /** Sent as `Authorization` with every request, to the references too, so that heads are equal. */
  authorization: string;
}

export interface SmallFilesJob {
  target: LoadTarget;
  /** Files are named `<prefix>/<eight digits>`. */
  prefix: string;
  sizeBytes: number;
  connections: number;
  /** The content of file n is content `firstContent + n`. */
  firstContent: number;
}

export interface PutSmallFilesJob extends SmallFilesJob {
  kind: 'put-small-files';
  /** No request starts after this time, or after this many requests. */
  limit: { durationMs: number } | { requests: number };
  /** The clock runs until the server's `/metrics` says that no copy is missing. */
  untilReplicated: boolean;
}

export interface GetSmallFilesJob extends SmallFilesJob {
  kind: 'get-small-files';
  durationMs: number;
  /** How many files there are under the prefix. */
  fileCount: number;
}

export interface StreamJob {
  target: LoadTarget;
  path: string;
  sizeBytes: number;
  content: number;
}

export interface PutStreamJob extends StreamJob {
  kind: 'put-stream';
}

export interface GetStreamJob extends StreamJob {
  kind: 'get-stream';
  /** Asks for `?redirect=1` and follows the 307 that must come. */
  followRedirect: boolean;
  /** Compares the MD5 of what arrives: costs time, hence only where the figure is thrown away. */
  verifyMd5: boolean;
}

/** One file, got again and again. */
export interface GetOneFileJob {
  kind: 'get-one-file';
  /** The connections are dealt out to them by turns. */
  targets: LoadTarget[];
  path: string;
  sizeBytes: number;
  /** The small content that must come; absent: only its size is looked at. */
  content?: number;
  connections: number;
  durationMs: number;
}

export interface WaitReplicatedJob {
  kind: 'wait-replicated';
  target: LoadTarget;
}

export type LoadJob =
  | PutSmallFilesJob
  | GetSmallFilesJob
  | PutStreamJob
  | GetStreamJob
  | GetOneFileJob
  | WaitReplicatedJob;

export interface LoadResult {
  /** Requests that succeeded. */
  requests: number;
  bytes: number;
  elapsedMs: number;
  /** From the last answer until every copy was stored; only with `untilReplicated`. */
  replicationLagMs?: number;
  /** From the start of a request to the last byte of its answer, of those that succeeded. */
  latency: LatencyMs;
  errorCount: number;
  /** The first few, in words. */
  errorSamples: string[];
  /** What the load generator itself used of a processor. */
  loadCpuMs: number;
}

/** What passes between the bench and its load generator. */
export interface LoadRequestMessage {
  id: number;
  job: LoadJob;
}

export type LoadResponseMessage =
  | { id: number; result: LoadResult }
  | { id: number; failure: string };
