/** What the store answers, as its users read it. Written down here once more, so that a change of it is noticed. */

export interface NodeName {
  readonly id: string;
  readonly name: string;
}

export interface PutAnswer {
  readonly path: string;
  readonly id: string;
  readonly size: number;
  readonly md5: string;
  readonly contentType: string;
  readonly primary: NodeName;
  readonly copies: { readonly stored: number; readonly wanted: number };
}

export interface ReplicaAnswer {
  readonly node: NodeName;
  readonly role: 'primary' | 'replica';
  readonly state: 'wanted' | 'stored' | 'corrupt' | 'dropping';
  readonly path: string;
  readonly blob: string;
  readonly sequence: number;
}

export interface NodeAnswer {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly state: string;
  readonly zone?: string;
  readonly free: number;
  readonly dataDir: string;
  readonly cachedBlobs?: number;
}

export interface LogAnswer {
  readonly id: number;
  readonly time: string;
  readonly path: string;
  readonly blob: string;
  readonly source?: NodeName;
  readonly target: NodeName;
  readonly milliseconds: number;
  readonly outcome: string;
  readonly error?: string;
  readonly message?: string;
}

export interface ListAnswer {
  readonly path: string;
  readonly entries: readonly {
    readonly name: string;
    readonly kind: string;
    readonly size?: number;
    readonly md5?: string;
    readonly modified: string;
    readonly public: boolean;
  }[];
  readonly next?: string;
}

export interface StatAnswer {
  readonly path: string;
  readonly kind: string;
  readonly size: number;
  readonly md5: string;
  readonly id: string;
  readonly primary?: NodeName;
  readonly copies: { readonly stored: number; readonly wanted: number };
  readonly blobs: readonly {
    readonly id: string;
    readonly offset: number;
    readonly size: number;
  }[];
}

export interface StatusAnswer {
  readonly clusterId: string;
  readonly health: 'whole' | 'healing' | 'lost' | 'recovery';
  readonly files: number;
  readonly nodes: { readonly up: number; readonly all: number };
  readonly replicas: {
    readonly stored: number;
    readonly wanted: number;
    readonly corrupt: number;
    readonly dropping: number;
  };
  readonly blobsShort: number;
  readonly blobsWithoutCopy: number;
  readonly blobsUnreachable: number;
  readonly healing: {
    readonly copies: number;
    readonly bytes: number;
    readonly bytesPerSecond: number;
    readonly etaSeconds?: number;
  };
  readonly away: readonly {
    readonly node: NodeName;
    readonly isReplaced: boolean;
    readonly replacedIn?: number;
  }[];
  readonly draining: readonly { readonly node: NodeName; readonly copiesLeft: number }[];
  readonly roomIsShort: boolean;
  readonly rebalance: {
    readonly running: boolean;
    readonly movedCopies: number;
    readonly spread: number;
  };
}
