import type { Logger } from '@dfs/shared/cluster';

export interface BackgroundLoopOptions {
  /** For log lines: what is at work. */
  readonly name: string;
  /** Pause between two steps, ms. */
  readonly everyMs: number;
  /** One step. May resolve with a shorter pause, ms, when more is to be done. `signal` aborts when the loop stops. */
  readonly step: (signal: AbortSignal) => Promise<number | undefined>;
  readonly logger: Logger;
}

/**
 * Runs a step on a timer and when woken, never two at a time. A step that fails is tried again after the pause; a row of failures makes one line at its
 * beginning and one at its end.
 */
export class BackgroundLoop {
  readonly #options: BackgroundLoopOptions;
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #isStarted = false;
  #isRunning = false;
  #isWoken = false;
  #isFailing = false;

  constructor(options: BackgroundLoopOptions) {
    this.#options = options;
  }

  start(): void {
    this.#isStarted = true;
    this.#schedule(this.#options.everyMs);
  }

  /** A step soon: at once, or after the one that runs. Nothing before the start. */
  wake(): void {
    if (this.#isRunning) this.#isWoken = true;
    else if (this.#isStarted) this.#schedule(0);
  }

  /** No step begins after this; resolves when the running one ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    await this.#running;
  }

  #schedule(delayMs: number): void {
    if (this.#stopping.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, delayMs);
    this.#timer.unref();
  }

  async #run(): Promise<void> {
    const { name, everyMs, step, logger } = this.#options;
    this.#isWoken = false;
    this.#isRunning = true;
    let pauseMs = everyMs;
    try {
      pauseMs = (await step(this.#stopping.signal)) ?? everyMs;
      if (this.#isFailing) logger.info(`${name} works again`);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing && !this.#stopping.signal.aborted)
        logger.error(`${name} failed; it will be tried again`, { error });
      this.#isFailing = true;
    } finally {
      this.#isRunning = false;
    }
    // A wake during a failing step must not make the loop spin.
    this.#schedule(this.#isWoken && !this.#isFailing ? 0 : pauseMs);
  }
}
