import type { BlobPeer, Clock, NodeId, ReplicationAttempt } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import { copyBlob, type KnownNodes } from './copy-blob.ts';
import { CopySlots } from './copy-slots.ts';
import type { JobSource } from './job-source.ts';
import { NodePauses } from './node-pauses.ts';

export interface ReplicationWorkerDependencies {
  readonly source: JobSource;
  readonly nodes: KnownNodes;
  readonly storeOf: (id: NodeId) => Pick<BlobPeer, 'pull'>;
  /** Takes the outcome of every attempt, to be told to the master. */
  readonly report: (attempt: ReplicationAttempt) => void;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly config: {
    /** Copies at a time in all. */
    readonly copyConcurrency: number;
    /** Copies at a time that one node takes part in. */
    readonly copyConcurrencyPerNode: number;
  };
}

/** Waiting copies beyond this make room for those of other nodes. */
const waitingMax = 96;

/** Takes jobs and has nodes copy from each other, a bounded number at a time. */
export class ReplicationWorker {
  readonly #deps: ReplicationWorkerDependencies;
  readonly #slots: CopySlots;
  readonly #pauses: NodePauses;

  constructor(dependencies: ReplicationWorkerDependencies) {
    const { clock, config } = dependencies;
    this.#deps = dependencies;
    this.#pauses = new NodePauses(clock);
    this.#slots = new CopySlots({
      copiesMax: config.copyConcurrency,
      perNodeMax: config.copyConcurrencyPerNode,
      waitingMax,
      clock,
    });
  }

  /** Works until stopped. */
  run(): Promise<void> {
    const dependencies = { ...this.#deps, slots: this.#slots, pauses: this.#pauses };
    return this.#deps.source.run((job, signal) => copyBlob(job, dependencies, signal));
  }

  /** Resolves when no copy runs any more. */
  stop(): Promise<void> {
    return this.#deps.source.close();
  }
}
