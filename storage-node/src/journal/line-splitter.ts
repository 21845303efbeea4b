import { StoreError } from '@dfs/shared';

const newline = 0x0a;

/** Cuts bytes into lines as they come; a line is handed over without its end. */
export class LineSplitter {
  readonly #maxBytes: number;
  readonly #rest: Buffer[] = [];
  #restBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Of what came after the last end of a line. */
  get restBytes(): number {
    return this.#restBytes;
  }

  /** Throws `too-large` for a line that is longer than allowed. */
  *push(bytes: Buffer): Generator<Buffer> {
    let at = 0;
    for (;;) {
      const end = bytes.indexOf(newline, at);
      if (end < 0) break;
      yield this.#line(bytes.subarray(at, end));
      at = end + 1;
    }
    this.#keep(bytes.subarray(at));
  }

  /** What is left without an end. */
  take(): Buffer {
    return this.#line(Buffer.alloc(0));
  }

  #line(last: Buffer): Buffer {
    if (this.#restBytes === 0) {
      this.#mustFit(last.byteLength);
      return last;
    }
    this.#keep(last);
    const line = Buffer.concat(this.#rest);
    this.#rest.length = 0;
    this.#restBytes = 0;
    return line;
  }

  #keep(bytes: Buffer): void {
    if (bytes.byteLength === 0) return;
    this.#mustFit(this.#restBytes + bytes.byteLength);
    this.#rest.push(bytes);
    this.#restBytes += bytes.byteLength;
  }

  #mustFit(bytes: number): void {
    if (bytes <= this.#maxBytes) return;
    throw new StoreError('too-large', `A line has more than ${this.#maxBytes} bytes.`);
  }
}
