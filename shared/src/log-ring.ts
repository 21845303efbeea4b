/** A stack is cut there: so many lines have a limit in memory, too. */
const lineMaxLength = 8_192;

/** The last lines that a program logged, for people who ask it from afar. */
export class LogRing {
  readonly #maxLines: number;
  #lines: string[] = [];
  #oldest = 0;

  constructor(maxLines = 1_000) {
    this.#maxLines = maxLines;
  }

  /** Keeps a line, with or without its line feed, and lets the oldest go where there are too many. */
  push(line: string): void {
    const kept = `${line.trimEnd().slice(0, lineMaxLength)}\n`;
    if (this.#lines.length < this.#maxLines) {
      this.#lines.push(kept);
      return;
    }
    this.#lines[this.#oldest] = kept;
    this.#oldest = (this.#oldest + 1) % this.#maxLines;
  }

  /** Oldest first, each with its line feed. */
  lines(): string[] {
    return [...this.#lines.slice(this.#oldest), ...this.#lines.slice(0, this.#oldest)];
  }

  clear(): void {
    this.#lines = [];
    this.#oldest = 0;
  }
}
