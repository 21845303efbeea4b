/** The memory that bodies may take in all while they wait for a node's answer. */
export class HeldBytes {
  readonly #totalBytes: number;
  #takenBytes = 0;

  constructor(totalBytes: number) {
    this.#totalBytes = totalBytes;
  }

  /** True when there was room; then `give` must follow once. */
  take(sizeBytes: number): boolean {
    if (this.#takenBytes + sizeBytes > this.#totalBytes) return false;
    this.#takenBytes += sizeBytes;
    return true;
  }

  give(sizeBytes: number): void {
    this.#takenBytes -= sizeBytes;
  }
}
