import type { Logger } from './logger.ts';

/** Files are looked at this often; what they hold counts once two looks found the same. */
const lookEveryMs = 1_000;

/** What a file cannot be used for, in one line. */
export interface FileFault {
  readonly fault: string;
}

export interface FileFollowerOptions<Content extends object> {
  /** Reads the files. A fault never quotes what they hold. */
  readonly read: () => Promise<Content | FileFault>;
  /** Equal texts: equal contents. */
  readonly textOf: (content: Content) => string;
  /** Called with each content that was found by two looks one after the other, also when it is the same as before. */
  readonly onFound: (content: Content, logger: Logger) => void;
  /** What is told of files that cannot be used, beside the fault. */
  readonly faultMessage: string;
}

/**
 * Looks at files of which others may change what they hold, while a program runs. Who writes a file in place shows half of it for a moment, so one look is
 * not believed. Files that are gone or broken change nothing; each fault gets one line in the log.
 */
export class FileFollower<Content extends object> {
  readonly #options: FileFollowerOptions<Content>;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** What the last look found. */
  #seen: string | undefined;
  /** The fault that was told last. */
  #told: string | undefined;

  constructor(options: FileFollowerOptions<Content>) {
    this.#options = options;
  }

  /** Looks from now on, every `everyMs`. Does not keep the process alive. */
  start(logger: Logger, everyMs = lookEveryMs): void {
    if (this.#isClosed || this.#timer) return;
    // Not a watch of the file system: it would miss a mounted secret, or a volume that another host writes.
    this.#timer = setTimeout(async () => {
      await this.#look(logger);
      this.#timer = undefined;
      this.start(logger, everyMs);
    }, everyMs);
    this.#timer.unref();
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #look(logger: Logger): Promise<void> {
    const { read, textOf, onFound, faultMessage } = this.#options;
    const found = await read();
    const text = 'fault' in found ? found.fault : textOf(found);
    const isSettled = text === this.#seen;
    this.#seen = text;
    if (!isSettled || this.#isClosed) return;
    if (!('fault' in found)) {
      this.#told = undefined;
      onFound(found, logger);
    } else if (this.#told !== text) {
      this.#told = text;
      logger.warn(faultMessage, { reason: found.fault });
    }
  }
}
