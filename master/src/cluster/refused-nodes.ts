import type { Clock, ClusterId, Heartbeat, NodeId } from '@dfs/shared';

/** A node's address, for a restore. */
export interface HeardNode {
  readonly id: NodeId;
  readonly name: string;
  readonly url: string;
}

interface RefusedNode extends HeardNode {
  readonly clusterId: string | undefined;
  /** The highest that it saw. */
  readonly epoch: number;
  /** The last change that it heard of in that epoch. */
  readonly journal: number;
}

/** So many are remembered. */
const refusedMax = 1_000;

/** Nodes whose heartbeats a database does not accept, with what they tell of the one that it may have to be rebuilt into. */
export class RefusedNodes {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #nodes = new Map<NodeId, RefusedNode>();
  #newcomerAtMs = 0;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** A heartbeat of a node at this address was refused. */
  note({ nodeId, name, clusterId, epoch, journal }: Heartbeat, url: string): void {
    if (!this.#nodes.has(nodeId)) {
      if (this.#nodes.size >= refusedMax) return;
      this.#newcomerAtMs = this.#clock.monotonic();
    }
    this.#nodes.set(nodeId, { id: nodeId, name, url, clusterId, epoch, journal });
  }

  clear(): void {
    this.#nodes.clear();
  }

  addresses(): readonly HeardNode[] {
    return [...this.#nodes.values()];
  }

  /** When a node was refused that was not known before, by the monotonic clock, ms. */
  newcomerAtMs(): number {
    return this.#newcomerAtMs;
  }

  /** The highest epoch that one of them saw. */
  highestEpoch(): number {
    return Math.max(0, ...[...this.#nodes.values()].map((node) => node.epoch));
  }

  /** The latest change of a cluster that one of them told of; it may be gone by now. */
  latestHeard(clusterId: ClusterId): { readonly epoch: number; readonly journal: number } {
    const ofCluster = [...this.#nodes.values()].filter((node) => node.clusterId === clusterId);
    const epoch = Math.max(0, ...ofCluster.map((node) => node.epoch));
    const ofEpoch = ofCluster.filter((node) => node.epoch === epoch);
    return { epoch, journal: Math.max(0, ...ofEpoch.map((node) => node.journal)) };
  }
}
