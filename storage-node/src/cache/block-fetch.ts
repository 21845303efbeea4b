import { cancelled } from '../write-turns.ts';

/** Blocks that are fetched before any reader came to them, at most. */
const blocksAhead = 1;

export interface BlockFetchOptions {
  /** Blocks `first` to `end`, that one not included. */
  readonly first: number;
  readonly end: number;
  readonly lengthOf: (block: number) => number;
  /** Their bytes in order. The abort of `signal` must end them at once. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Buffer>;
  /** Judges a block before any reader gets it; what it throws ends the fetch. */
  readonly judge: (block: number, bytes: Buffer) => void;
  /** Keeps a block; false when it could not: then it waits in memory for a reader. Never rejects. */
  readonly keep: (block: number, bytes: Buffer) => Promise<boolean>;
  /** Called once, when nothing of it runs any more. */
  readonly onEnd: () => void;
}

interface Waiting {
  resolve(bytes: Buffer): void;
  reject(error: unknown): void;
}

/**
 * One transfer of consecutive blocks for all readers who want them. It stays a little ahead of the
 * foremost reader, and ends when the last one leaves.
 */
export class BlockFetch {
  readonly #options: BlockFetchOptions;
  readonly #stopping = new AbortController();
  /** Where each reader is. */
  readonly #readers = new Map<object, number>();
  readonly #waiting = new Map<number, Set<Waiting>>();
  /** The next block to arrive. */
  #position: number;
  /** Arrived, and not kept yet or not at all. */
  #held: { readonly block: number; readonly bytes: Buffer; isTaken: boolean } | undefined;
  #isOver = false;
  #wake: () => void = () => undefined;

  constructor(options: BlockFetchOptions) {
    this.#options = options;
    this.#position = options.first;
  }

  /** Begins, after the first reader joined. */
  start(): void {
    this.#run().then(
      () => this.#finish(cancelled()),
      (error) => this.#finish(error),
    );
  }

  /** Whether a reader who joins gets this block soon. */
  covers(block: number): boolean {
    if (this.#isOver || this.#stopping.signal.aborted) return false;
    if (this.#held?.block === block) return true;
    const isAhead = block >= this.#position && block < this.#options.end;
    return isAhead && block - this.#position <= blocksAhead;
  }

  join(reader: object, block: number): void {
    this.#readers.set(reader, block);
    this.#wake();
  }

  /** A reader who joined came to this block, wherever it got those before. */
  moved(reader: object, block: number): void {
    if (this.#readers.has(reader)) this.join(reader, block);
  }

  leave(reader: object): void {
    this.#readers.delete(reader);
    // What has sent all its bytes comes to its end by itself, and its connection serves others.
    const isAtEnd = this.#position === this.#options.end;
    if (this.#readers.size === 0 && !isAtEnd) this.#stopping.abort();
    this.#wake();
  }

  /** A block that `covers` is true of. Rejects with what ended the fetch, or with the reason of `signal`. */
  take(block: number, signal: AbortSignal): Promise<Buffer> {
    const held = this.#held;
    if (held?.block === block) {
      held.isTaken = true;
      this.#wake();
      return Promise.resolve(held.bytes);
    }
    if (signal.aborted) return Promise.reject(cancelled(signal.reason));
    return new Promise((resolve, reject) => {
      const all = this.#waiting.get(block) ?? new Set();
      this.#waiting.set(block, all);
      const waiting: Waiting = {
        resolve: (bytes) => {
          signal.removeEventListener('abort', stop);
          resolve(bytes);
        },
        reject: (error) => {
          signal.removeEventListener('abort', stop);
          reject(error);
        },
      };
      const stop = () => {
        all.delete(waiting);
        reject(cancelled(signal.reason));
      };
      signal.addEventListener('abort', stop, { once: true });
      all.add(waiting);
    });
  }

  async #run(): Promise<void> {
    const { end, lengthOf, open } = this.#options;
    let block = Buffer.allocUnsafe(lengthOf(this.#position));
    let filledBytes = 0;
    for await (const chunk of open(this.#stopping.signal)) {
      for (let at = 0; at < chunk.byteLength && this.#position < end; ) {
        const copiedBytes = chunk.copy(block, filledBytes, at);
        filledBytes += copiedBytes;
        at += copiedBytes;
        if (filledBytes < block.byteLength) continue;
        await this.#arrived(block);
        if (this.#position === end) continue;
        await this.#until(() => this.#position <= this.#foremost() + blocksAhead);
        block = Buffer.allocUnsafe(lengthOf(this.#position));
        filledBytes = 0;
      }
    }
  }

  async #arrived(bytes: Buffer): Promise<void> {
    const block = this.#position;
    this.#options.judge(block, bytes);
    const waiting = this.#waiting.get(block) ?? new Set();
    this.#waiting.delete(block);
    const held = { block, bytes, isTaken: waiting.size > 0 };
    this.#held = held;
    this.#position = block + 1;
    for (const { resolve } of waiting) resolve(bytes);
    const isKept = await this.#options.keep(block, bytes);
    if (!isKept) await this.#until(() => held.isTaken || this.#readers.size === 0);
    this.#held = undefined;
  }

  #foremost(): number {
    return Math.max(-1, ...this.#readers.values());
  }

  /** Resolves when `isTrue`, asked whenever a reader does something. Rejects when all have left. */
  async #until(isTrue: () => boolean): Promise<void> {
    for (;;) {
      if (this.#stopping.signal.aborted) throw cancelled();
      if (isTrue()) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #finish(error: unknown): void {
    this.#isOver = true;
    this.#held = undefined;
    for (const waiting of this.#waiting.values()) {
      for (const { reject } of waiting) reject(error);
    }
    this.#waiting.clear();
    this.#options.onEnd();
  }
}
