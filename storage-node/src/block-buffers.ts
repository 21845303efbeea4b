import { blockBytes } from './blob-format.ts';

/**
 * These are never handed out for long, so that every reader gets on while all others are taken by
 * slow ones.
 */
const scratchCount = 4;

/**
 * A bounded pool of buffers of one block. A reader takes one for as long as its peer needs to
 * receive the block; when none is left it borrows a scratch buffer for the time of a disk read, and
 * sends a small piece of its own. So neither many readers nor slow ones cost more than this, and
 * nobody waits for a peer.
 */
export class BlockBuffers {
  readonly #lastingMax: number;
  readonly #free: Buffer[] = [];
  readonly #scratch: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer) => void)[] = [];
  #takenCount = 0;
  #scratchMade = 0;

  /** `blocksMax`: blocks in memory at most, scratch buffers included. */
  constructor({ blocksMax }: { readonly blocksMax: number }) {
    this.#lastingMax = blocksMax - scratchCount;
  }

  /** A buffer to keep until `give`, or undefined when all are taken. */
  take(): Buffer | undefined {
    if (this.#takenCount >= this.#lastingMax) return undefined;
    this.#takenCount += 1;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(blockBytes);
  }

  /** Reading ahead is for the time when half of the buffers are free. */
  get hasRoomAhead(): boolean {
    return this.#takenCount * 2 < this.#lastingMax;
  }

  give(buffer: Buffer): void {
    this.#takenCount -= 1;
    // Half of the pool stays warm; what a burst took beyond it goes back to the system.
    if (this.#free.length * 2 < this.#lastingMax) this.#free.push(buffer);
  }

  /**
   * Runs `use` with a scratch buffer, which is free again when it is done; first come, first
   * served.
   */
  async borrow<Result>(use: (scratch: Buffer) => Promise<Result>): Promise<Result> {
    const scratch = await this.#scratchBuffer();
    try {
      return await use(scratch);
    } finally {
      const next = this.#waiting.shift();
      if (next) next(scratch);
      else this.#scratch.push(scratch);
    }
  }

  async #scratchBuffer(): Promise<Buffer> {
    const free = this.#scratch.pop();
    if (free) return free;
    if (this.#scratchMade < scratchCount) {
      this.#scratchMade += 1;
      return Buffer.allocUnsafeSlow(blockBytes);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
