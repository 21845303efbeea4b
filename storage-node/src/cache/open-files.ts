import type { CacheFile } from './cache-file.ts';

/** Keeps files open that nobody reads at the moment, so that a hot blob costs no opening; the latest ones. */
export class OpenFiles {
  readonly #idleMax: number;
  readonly #idle = new Set<CacheFile>();

  constructor({ idleMax }: { readonly idleMax: number }) {
    this.#idleMax = idleMax;
  }

  /** Somebody reads it from now on. Throws the file system's error. */
  open(file: CacheFile): void {
    this.#idle.delete(file);
    file.open();
  }

  /** Nobody reads it any more. */
  idle(file: CacheFile, { isKept }: { readonly isKept: boolean }): void {
    this.#idle.delete(file);
    if (!isKept) {
      file.close();
      return;
    }
    this.#idle.add(file);
    if (this.#idle.size <= this.#idleMax) return;
    for (const oldest of this.#idle) {
      this.#idle.delete(oldest);
      oldest.close();
      return;
    }
  }

  /** It is let go of. */
  forget(file: CacheFile): void {
    if (this.#idle.delete(file)) file.close();
  }

  close(): void {
    for (const file of this.#idle) file.close();
    this.#idle.clear();
  }
}
