import type { BlobPeer, BlobStore, NodeId, NodeState } from '@dfs/shared';

/** What the master knows of a node at one moment: plain data for the pure policies. */
export interface NodeSnapshot {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  readonly publicUrl?: string;
  readonly zone?: string;
  readonly state: NodeState;
  /** An admin drains it. While it is up its state says so too; when it is silent, only this does. */
  readonly isDraining?: boolean;
  readonly dataDir: string;
  readonly capacityBytes: number;
  readonly usedBytes: number;
  /** Free for new blobs: the reserve is taken off, and what is on its way there. */
  readonly freeBytes: number;
  /** Requests of this master to it at the moment. */
  readonly inFlight: number;
  /** What its last heartbeat to this master said beside that; absent before the first one. */
  readonly told?: NodeTold;
  /** Silence, counted only while the master's own clock ticked, ms. */
  readonly silentForMs: number;
}

export interface NodeTold {
  readonly blobCount: number;
  readonly uptimeSeconds?: number;
  /** Of its own listener for users. */
  readonly publicPort?: number;
  readonly cachedBytes: number;
  readonly cachedCount: number;
}

export type NodeStore = BlobStore & BlobPeer;

/** Who is there, how full, and their blob stores. Fed by heartbeats and by the outcome of requests. */
export interface NodeDirectory {
  /** All nodes ever registered but removed ones. */
  snapshots(): readonly NodeSnapshot[];
  find(id: NodeId): NodeSnapshot | undefined;
  /** The node as a blob store at its current address; its calls keep `inFlight`, and mark the node suspect when it does not answer. Rejects with `unavailable` for an unknown id. */
  storeOf(id: NodeId): NodeStore;
  /** The room that an upload of this size is about to take counts as taken until the release is called. */
  reserve(id: NodeId, sizeBytes: number): () => void;
  /** Called when a node registers, returns, goes away or changes its address. */
  onChange(
    listener: (change: { id: NodeId; state: NodeState; isNew: boolean }) => void,
  ): () => void;
  /** Nodes that were removed for good. */
  removed(): readonly NodeId[];
  /** Why the master may not serve, or undefined: it is in recovery (`in-recovery`). */
  recovery(): string | undefined;
  /** True once a node was heard whose journal is not ahead of the database, or where no node is known: the database is not an old one, as far as can be seen. */
  isConfirmed(): boolean;
  close(): Promise<void>;
}
