import type { Clock } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { NodeDirectory } from '../cluster/node-directory.ts';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import { JournalWatch } from './journal-watch.ts';
import { restAfter } from './rest.ts';

export interface CopiesSweepDependencies {
  readonly metadata: Pick<MetadataRepository, 'sweepCopies' | 'journalNumber'>;
  readonly nodes: Pick<NodeDirectory, 'recovery' | 'isConfirmed'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Some blobs want more copies than before: they are missing now. */
  readonly onRaised: () => void;
  /** Some want fewer: what is too much lies on any node. */
  readonly onLowered: () => void;
}

const everyMs = 1_000;
/** Entries of one transaction. */
const entriesPerSweep = 200;

/** Has the contents below a directory follow the number of copies that was set there. Costs nothing while nothing is changed. */
export class CopiesSweep {
  readonly #deps: CopiesSweepDependencies;
  readonly #watch: JournalWatch;
  readonly #loop: BackgroundLoop;
  #hasLowered = false;

  constructor(dependencies: CopiesSweepDependencies) {
    this.#deps = dependencies;
    this.#watch = new JournalWatch(dependencies.metadata);
    const step = (signal: AbortSignal) => this.step(signal);
    const { logger } = dependencies;
    this.#loop = new BackgroundLoop({ name: 'sweep of copies', everyMs, step, logger });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  async step(signal?: AbortSignal): Promise<undefined> {
    const { metadata, nodes, clock, onRaised, onLowered } = this.#deps;
    // Of an old database nothing is to be changed before it is known to be old.
    if (nodes.recovery() !== undefined || !nodes.isConfirmed()) return;
    const change = this.#watch.look();
    if (change === undefined) return;
    for (;;) {
      const startedAtMs = clock.monotonic();
      const { looked, raised, lowered } = await metadata.sweepCopies(entriesPerSweep);
      if (raised > 0) onRaised();
      this.#hasLowered ||= lowered > 0;
      if (looked === 0 || signal?.aborted) break;
      await restAfter(clock, startedAtMs, signal);
    }
    // Once for all of them: each look goes through everything on a node.
    if (this.#hasLowered) onLowered();
    this.#hasLowered = false;
    if (!signal?.aborted) this.#watch.handled(change);
  }
}
