import type { CacheReport } from './cache-messages.ts';
import type { BlobId, ClusterId, NodeId } from './ids.ts';
import type { ReplicationJob } from './replication-job.ts';

/**
 * Bodies of the messages between programs, all JSON over the master's management port, all with the cluster key
 * (`Authorization: Bearer` or `SHARD-KEY`). Errors are `ErrorBody`.
 */

/** `POST /cluster/heartbeat`, from a node, every `heartbeatEveryMs`. */
export interface Heartbeat {
  readonly nodeId: NodeId;
  /** Random per start of the process: tells two processes of one copied disk apart. */
  readonly instanceId: string;
  readonly name: string;
  /** Where the master and other nodes reach it; empty: `<scheme>://<address of this connection>:<port>`. */
  readonly url: string;
  readonly port: number;
  /** What its port speaks; absent: HTTP. */
  readonly scheme?: 'https';
  /** Of its own listener for users, at the same host; absent: there is none. */
  readonly publicPort?: number;
  /** For redirects of clients; absent when none is published, `self` when it is the same as the other one. */
  readonly publicUrl?: string;
  readonly zone?: string;
  readonly version: string;
  /** The cluster this disk belongs to; absent on a new disk. */
  readonly clusterId?: ClusterId;
  /** The highest epoch and journal number the node ever saw; 0 on a new disk. */
  readonly epoch: number;
  readonly journal: number;
  readonly capacityBytes: number;
  readonly freeBytes: number;
  readonly usedBytes: number;
  readonly blobCount: number;
  /** Bytes that the node keeps back: no writes below it. */
  readonly reserveBytes: number;
  /** Age of the last tick of the node's main loop and of its last successful disk write (a probe when idle), ms. */
  readonly loopAgeMs: number;
  readonly diskWriteAgeMs: number;
  /** The node's wall clock, ms since 1970; absent: it does not tell. */
  readonly nodeTimeMs?: number;
  /** Since the node's process started; absent: it does not tell. */
  readonly uptimeSeconds?: number;
  /** Absent: the node keeps no cache. */
  readonly caches?: CacheReport;
  /** Where the blobs lie on the node's disk, for people. */
  readonly dataDir: string;
  readonly pid: number;
}

export interface HeartbeatAnswer {
  readonly clusterId: ClusterId;
  readonly epoch: number;
  /** Number of the last committed journal row. */
  readonly journal: number;
  /** The master's clock: expiries of drops are given in it. */
  readonly masterTimeMs: number;
  readonly heartbeatEveryMs: number;
}

/** `POST /cluster/damage`, from a node: copies that it found missing or bad while reading. */
export interface DamageReport {
  readonly nodeId: NodeId;
  readonly damages: readonly {
    readonly blobId: BlobId;
    readonly kind: 'corrupt' | 'missing';
    readonly detail: string;
  }[];
}

/** `GET /cluster/nodes`: the map by which the replicator finds addresses. */
export interface NodeMap {
  readonly clusterId: ClusterId;
  readonly epoch: number;
  readonly nodes: readonly NodeMapEntry[];
}

export interface NodeMapEntry {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly state: NodeState;
}

/** up: heard lately · suspect: a request failed · down: silent · draining, removed: on its way out. */
export type NodeState = 'up' | 'suspect' | 'down' | 'draining' | 'removed';

/** `POST /cluster/replications`: outcomes of attempts, in batches of at most 1 000. */
export interface ReplicationReport {
  readonly attempts: readonly ReplicationAttempt[];
}

export interface ReplicationAttempt {
  readonly blobId: BlobId;
  readonly source?: NodeId;
  readonly target: NodeId;
  readonly outcome: 'stored' | 'failed';
  /** Of the blob. */
  readonly sizeBytes?: number;
  /** A `StoreErrorKind` or the code of a network error, when it failed. */
  readonly errorCode?: string;
  readonly message?: string;
  /** True when the source answered that it lacks the blob or that its copy is bad: the master looks at that copy. */
  readonly sourceIsBad?: 'missing' | 'corrupt';
  readonly startedAtMs: number;
  readonly durationMs: number;
}

/** `POST /cluster/leases`: the leased queue. The answer is held up to `waitMs` when there is no work. */
export interface LeaseRequest {
  readonly workerId: string;
  readonly maxJobs: number;
  readonly waitMs: number;
  /** Jobs of this worker that ended (they are forgotten) since the last request. */
  readonly done: readonly string[];
  /** Jobs still being worked on: their leases are renewed. */
  readonly running: readonly string[];
}

export interface LeaseAnswer {
  readonly jobs: readonly ReplicationJob[];
  readonly leaseMs: number;
}
