import type { Clock } from '@dfs/shared';
import type { Logger } from '@dfs/shared/cluster';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';
import { BackgroundLoop } from '../replication/background-loop.ts';
import { JournalWatch } from './journal-watch.ts';

export interface SizeFoldingDependencies {
  readonly metadata: Pick<MetadataRepository, 'foldSizes' | 'journalNumber'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const everyMs = 1_000;
/** Each goes one directory upwards. While people write there is always something to be folded: what is left has its turn in the next step. */
const foldsPerStep = 12;
/** Directories of one transaction. */
const directoriesPerFold = 200;

/** Carries what came and went in directories up to those above them, soon after it happened. Costs nothing while nothing happens. */
export class SizeFolding {
  readonly #deps: SizeFoldingDependencies;
  readonly #watch: JournalWatch;
  readonly #loop: BackgroundLoop;
  /** When the oldest change that may not be counted yet was noticed, by the monotonic clock. */
  #behindSinceMs: number | undefined;

  constructor(dependencies: SizeFoldingDependencies) {
    this.#deps = dependencies;
    this.#watch = new JournalWatch(dependencies.metadata);
    const step = (signal: AbortSignal) => this.step(signal);
    const { logger } = dependencies;
    this.#loop = new BackgroundLoop({ name: 'folding of sizes', everyMs, step, logger });
  }

  start(): void {
    this.#loop.start();
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** For how long directories have not known all that is below them, ms. */
  lagMs(): number {
    const since = this.#behindSinceMs;
    return since === undefined ? 0 : this.#deps.clock.monotonic() - since;
  }

  async step(signal?: AbortSignal): Promise<undefined> {
    const { metadata, clock } = this.#deps;
    const change = this.#watch.look();
    if (change === undefined) return;
    this.#behindSinceMs ??= clock.monotonic();
    for (let fold = 0; fold < foldsPerStep && !signal?.aborted; fold += 1) {
      if ((await metadata.foldSizes(directoriesPerFold)) > 0) continue;
      this.#watch.handled(change);
      this.#behindSinceMs = undefined;
      return;
    }
  }
}
