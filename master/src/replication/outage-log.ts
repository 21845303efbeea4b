import type { Logger } from '@dfs/shared/cluster';

/** Turns a row of failures into one line at its beginning and one at its end. */
export class OutageLog {
  readonly #logger: Logger;
  readonly #what: string;
  #failures = 0;

  /** `what` cannot be done while it lasts, such as `jobs cannot be handed to Redis`. */
  constructor(logger: Logger, what: string) {
    this.#logger = logger;
    this.#what = what;
  }

  failed(error: unknown, count = 1): void {
    if (this.#failures === 0) this.#logger.warn(this.#what, { error });
    this.#failures += count;
  }

  worked(): void {
    if (this.#failures > 0) this.#logger.info(`over: ${this.#what}`, { failures: this.#failures });
    this.#failures = 0;
  }
}
