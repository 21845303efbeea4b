import type { NodeState } from './cluster-messages.ts';
import type { BlobId, FileId, NodeId } from './ids.ts';
import type { UsageAnswer } from './tree-messages.ts';

/** Bodies of the public port's JSON answers: what the CLI prints with `--json`. Times are ISO 8601 in UTC. */

export interface NodeName {
  readonly id: NodeId;
  readonly name: string;
}

/** `PUT /fs/<path>` and each element of `files` of a form upload's answer. */
export interface PutAnswer {
  readonly path: string;
  readonly id: FileId;
  readonly size: number;
  readonly md5: string;
  readonly contentType: string;
  readonly primary: NodeName;
  readonly copies: { readonly stored: number; readonly wanted: number };
}

/** `POST /fs/<dir>/`. */
export interface FormAnswer {
  readonly files: readonly PutAnswer[];
}

/** `GET /fs/<dir>/` with `Accept: application/json`; `?after=<next>&limit=` pages. */
export interface ListAnswer {
  readonly path: string;
  readonly entries: readonly ListAnswerEntry[];
  /** On the first page, for whoever may see every name: all that is below the directory. */
  readonly usage?: UsageAnswer;
  readonly next?: string;
}

export interface ListAnswerEntry {
  readonly name: string;
  readonly kind: 'file' | 'directory';
  readonly modified: string;
  readonly public: boolean;
  /** Only on files. */
  readonly id?: FileId;
  readonly size?: number;
  readonly md5?: string;
  readonly contentType?: string;
}

/** `GET /api/v1/stat/<path>`; a directory has only the first four, and `copiesSet`. */
export interface StatAnswer {
  readonly path: string;
  readonly kind: 'file' | 'directory';
  readonly created: string;
  readonly modified: string;
  /** Whether it is readable without a key, be it by what is said of a directory above it. */
  readonly public: boolean;
  /** What was said of it itself, for all below it, too; absent: as the directory above has it. */
  readonly visibility?: 'public' | 'private';
  readonly id?: FileId;
  readonly size?: number;
  readonly md5?: string;
  readonly contentType?: string;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly primary?: NodeName;
  readonly copies?: { readonly stored: number; readonly wanted: number };
  /** How many copies were asked for here, for it and all below it; absent: as the directory above has it. */
  readonly copiesSet?: number;
  readonly blobs?: readonly {
    readonly id: BlobId;
    readonly offset: number;
    readonly size: number;
    readonly md5: string;
  }[];
}

/** `GET /api/v1/replicas/<path>`: an array of these. `blob` and `sequence` tell the copies of a long file's parts apart. */
export interface ReplicaAnswer {
  readonly node: NodeName;
  readonly role: 'primary' | 'replica';
  readonly state: 'wanted' | 'stored' | 'corrupt' | 'dropping';
  /** Where the copy lies on the node's disk. */
  readonly path: string;
  readonly blob: BlobId;
  readonly sequence: number;
}

/** `GET /api/v1/nodes`: an array of these. */
export interface NodeAnswer {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
  /** Where clients are redirected to; absent: nowhere. */
  readonly publicUrl?: string;
  /** Its own listener for users, which serves any file; absent: it has none. */
  readonly listenerUrl?: string;
  readonly zone?: string;
  readonly state: NodeState;
  readonly capacity: number;
  readonly used: number;
  readonly free: number;
  /** Bytes of blobs that it keeps because they were read there, and how many: no copies, and counted as free. Absent: it was not heard yet. */
  readonly cached?: number;
  readonly cachedBlobs?: number;
  /** Seconds since it was last heard. */
  readonly silentFor: number;
  /** Only of a node that is drained: its copies that are still to be elsewhere, or dropped; 0: it may be removed. */
  readonly copiesLeft?: number;
  readonly dataDir: string;
}

/** `POST` and `DELETE /api/v1/caches/<path>`: an array of these, one for each node that was to be told. */
export interface CacheOutcome {
  readonly node: NodeName;
  /** `ordered`: it fetches the file from now on; `stored` and `cached`: it has it already. */
  readonly outcome: 'stored' | 'cached' | 'ordered' | 'dropped' | 'failed';
  /** Why it failed. */
  readonly message?: string;
}

/** Body of `POST /api/v1/caches/<path>`. */
export interface CacheOrder {
  /** Every node (when it is absent, too), so many nodes in all, or one, by its id or name. */
  readonly on?: 'all' | number | string;
  /** From -20 to 20, 10 when it is absent: the higher, the longer it is kept when room runs short. */
  readonly priority?: number;
}

/** `GET /api/v1/hot`: files that are read often, and such as were and are still cached for that; the most read first. */
export interface HotAnswer {
  /** More reads per minute make a file hot; 0: none is. */
  readonly limit: number;
  readonly files: readonly {
    readonly path: string;
    readonly id: FileId;
    readonly size: number;
    readonly readsPerMinute: number;
    /** Nodes that have all of it. */
    readonly stored: readonly NodeName[];
    readonly cached: readonly NodeName[];
  }[];
}

/** `GET /api/v1/log?path=&limit=`: an array of these, newest last; `?follow=1` streams one a line (NDJSON) as they come, after the last `limit`. */
export interface LogAnswer {
  readonly id: number;
  readonly time: string;
  readonly path: string;
  readonly blob: BlobId;
  readonly source?: NodeName;
  readonly target: NodeName;
  readonly milliseconds: number;
  readonly outcome: 'stored' | 'failed' | 'corrupt' | 'missing' | 'dropped';
  readonly error?: string;
  readonly message?: string;
}

/** How the journal, from which the database can be rebuilt, is kept on nodes. */
export interface JournalAnswer {
  /** Of the newest change. */
  readonly number: number;
  readonly keepers: readonly {
    readonly id: NodeId;
    readonly name: string;
    /** The newest change that it has. */
    readonly last: number;
    readonly lagRecords: number;
    /** For how long there has been a change that it lacks. */
    readonly lagSeconds: number;
    /** It has all changes, but for those of the last moments. */
    readonly current: boolean;
    /** The newest snapshot that the database could be rebuilt from. */
    readonly snapshot?: {
      readonly from: number;
      readonly bytes: number;
      readonly ageSeconds: number;
    };
    /** Why it gets nothing at the moment. */
    readonly error?: string;
  }[];
  /** Why nothing is sent to any node. */
  readonly problem?: string;
}

/** `GET /api/v1/status`. */
export interface StatusAnswer {
  readonly version: string;
  readonly clusterId: string;
  readonly epoch: number;
  readonly uptimeSeconds: number;
  /** `whole`: every wanted copy is stored · `healing`: copies are missing, or on a node that is away or in doubt · `lost`: a blob has no copy that can be reached · `recovery`: the database waits for `dfs restore`. */
  readonly health: 'whole' | 'healing' | 'lost' | 'recovery';
  readonly recovery?: string;
  readonly files: number;
  readonly directories: number;
  readonly bytes: number;
  readonly nodes: { readonly up: number; readonly all: number };
  readonly replicas: {
    readonly stored: number;
    readonly wanted: number;
    readonly corrupt: number;
    readonly dropping: number;
  };
  /** Blobs for which there are too few nodes, and blobs with no stored copy. */
  readonly blobsShort: number;
  readonly blobsWithoutCopy: number;
  /** Blobs whose stored copies are all on nodes that are away. */
  readonly blobsUnreachable: number;
  /** Further blobs whose stored copies are all on nodes that are away or in doubt (suspect): whether they can be read now is not known. */
  readonly blobsInDoubt: number;
  /** What is still to be copied, what drained nodes still hold included, and how fast that went lately; `etaSeconds` is absent when nothing was copied lately. */
  readonly healing: {
    readonly copies: number;
    readonly bytes: number;
    readonly bytesPerSecond: number;
    readonly copiesPerSecond: number;
    readonly etaSeconds?: number;
  };
  /** Nodes that are down. `replacedIn`: seconds until its copies are made elsewhere; absent when they are, or while nothing is decided. */
  readonly away: readonly {
    readonly node: NodeName;
    readonly silentFor: number;
    readonly isReplaced: boolean;
    readonly replacedIn?: number;
  }[];
  /** Nodes that are drained, with the copies still to leave. */
  readonly draining: readonly { readonly node: NodeName; readonly copiesLeft: number }[];
  /** Nodes that are short of room, and whether the store as a whole is. */
  readonly shortOfRoom: readonly { readonly node: NodeName; readonly free: number }[];
  readonly roomIsShort: boolean;
  readonly rebalance: RebalanceAnswer;
  readonly journal?: JournalAnswer;
  /** There while the master's clock is in doubt, so that nothing expires: until it is no longer so far ahead of its nodes, or for so long. Seconds. */
  readonly clock?: { readonly aheadOfNodes: number } | { readonly trustedIn: number };
}

/** `POST /api/v1/rebalance` `{cancel?}`, and a part of the status: of the last run when none is running. */
export interface RebalanceAnswer {
  readonly running: boolean;
  readonly movedCopies: number;
  readonly movedBytes: number;
  /** By how much the fullest node is fuller than the emptiest, from 0 to 1. */
  readonly spread: number;
}
