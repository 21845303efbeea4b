import type { Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { StoreError } from '@dfs/shared';
import type { BodyReader } from './body-reader.ts';
import type { HeldBytes } from './held-bytes.ts';

export interface BodySegmentOptions {
  readonly reader: BodyReader;
  /** Where the segment ends when the body does not end before. */
  readonly limitBytes: number;
  /** Where known. */
  readonly sizeBytes?: number | undefined;
  /** How much of it is kept so that it can be sent again. */
  readonly heldBytesMax: number;
  readonly held: HeldBytes;
  /** How much of it is read before a node takes it. */
  readonly readAheadBytes: number;
}

/**
 * A run of a body that becomes one blob. As long as no more of it went by than may be held, it can be sent again from its beginning: a short one
 * as a whole, a long one while the node was not reached or failed at the first bytes.
 */
export class BodySegment {
  readonly #options: BodySegmentOptions;
  /** All bytes so far while the segment can be sent again; later only those that the attempt of the moment has not taken. */
  readonly #kept: Buffer[] = [];
  #heldBytes = 0;
  #isReplayable = true;
  #isTooLong = false;
  #sizeBytes = 0;
  #isEnded = false;
  #isLast = false;
  #hash: Hash | undefined;
  #taking: Promise<void> | undefined;
  #attempt = 0;
  /** How many of the kept chunks the attempt of the moment has taken. */
  #index = 0;

  constructor(options: BodySegmentOptions) {
    this.#options = options;
    const { sizeBytes, held, heldBytesMax } = options;
    if (sizeBytes === undefined || sizeBytes > heldBytesMax) return;
    // Room for all of it or none: many at once would take it from each other piece by piece, and none would be held.
    if (held.take(sizeBytes)) this.#heldBytes = sizeBytes;
    else this.#isTooLong = true;
  }

  /** Bytes read so far; of the whole segment once it ended. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** True when nothing follows this segment: known once it ended. */
  get isLast(): boolean {
    return this.#isLast;
  }

  /** True while another attempt can begin. */
  get isReplayable(): boolean {
    return this.#isReplayable;
  }

  /** Reads ahead until the segment is whole in memory, or longer than may be held. */
  async fill(): Promise<void> {
    while (!this.#isEnded && !this.#isTooLong) await this.#take();
  }

  /** True when the whole segment is in memory. */
  get isHeld(): boolean {
    return this.#isEnded && this.#isReplayable && !this.#isTooLong;
  }

  /** The whole segment, when it is held. */
  bytes(): Buffer | undefined {
    if (!this.isHeld) return undefined;
    if (this.#kept.length !== 1) this.#kept.splice(0, this.#kept.length, Buffer.concat(this.#kept));
    return this.#kept[0];
  }

  /** Has this hash see each byte once, those read already included. */
  hashInto(hash: Hash): void {
    for (const chunk of this.#kept) hash.update(chunk);
    this.#hash = hash;
  }

  /** The segment from its beginning, for one attempt; an earlier attempt's stream breaks off. */
  open(): Readable {
    this.#attempt += 1;
    this.#index = 0;
    const attempt = this.#attempt;
    const next = () => this.#next(attempt);
    const stream = new Readable({
      highWaterMark: this.#options.readAheadBytes,
      read() {
        next().then(
          (chunk) => this.push(chunk),
          (error) => this.destroy(error),
        );
      },
    });
    // The reader of the body knows of its failure; a store that let go of the stream must not make it the process's end.
    return stream.on('error', () => {});
  }

  /** Gives the memory back. The segment is of no use afterwards. */
  release(): void {
    this.#isReplayable = false;
    this.#kept.length = 0;
    this.#giveHeld();
  }

  async #next(attempt: number): Promise<Buffer | null> {
    while (attempt === this.#attempt && this.#index === this.#kept.length && !this.#isEnded) {
      await this.#take();
    }
    if (attempt !== this.#attempt) {
      throw new StoreError('cancelled', 'Another attempt took over.');
    }
    if (this.#index === this.#kept.length) return null;
    if (this.#isTooLong && this.#isReplayable) this.#forget();
    return (this.#isReplayable ? this.#kept[this.#index++] : this.#kept.shift()) ?? null;
  }

  /** An attempt that was given up may still wait for the same bytes: all share one reading. */
  #take(): Promise<void> {
    this.#taking ??= this.#takeChunk().finally(() => {
      this.#taking = undefined;
    });
    return this.#taking;
  }

  async #takeChunk(): Promise<void> {
    const { reader, limitBytes } = this.#options;
    if (this.#sizeBytes < limitBytes) {
      const chunk = await reader.next();
      if (!chunk) {
        this.#isEnded = true;
        this.#isLast = true;
        return;
      }
      this.#keep(this.#cut(chunk, limitBytes - this.#sizeBytes));
    }
    if (this.#sizeBytes < limitBytes) return;
    // Whether this is the last segment decides what is written behind it, so the end waits for the byte that follows.
    this.#isLast = !(await reader.hasMore());
    this.#isEnded = true;
  }

  #cut(chunk: Buffer, roomBytes: number): Buffer {
    if (chunk.byteLength <= roomBytes) return chunk;
    this.#options.reader.unread(chunk.subarray(roomBytes));
    return chunk.subarray(0, roomBytes);
  }

  #keep(chunk: Buffer): void {
    this.#sizeBytes += chunk.byteLength;
    this.#hash?.update(chunk);
    this.#kept.push(chunk);
    if (!this.#isReplayable || this.#isTooLong) return;
    const { held, heldBytesMax } = this.#options;
    const moreBytes = this.#sizeBytes - this.#heldBytes;
    if (moreBytes <= 0) return;
    const mayHold = this.#sizeBytes <= heldBytesMax && held.take(moreBytes);
    if (mayHold) this.#heldBytes += moreBytes;
    else this.#isTooLong = true;
  }

  /** From here on the segment goes by without being kept. */
  #forget(): void {
    this.#isReplayable = false;
    this.#kept.splice(0, this.#index);
    this.#index = 0;
    this.#giveHeld();
  }

  #giveHeld(): void {
    this.#options.held.give(this.#heldBytes);
    this.#heldBytes = 0;
  }
}
