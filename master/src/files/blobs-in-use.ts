import { type BlobId, type Clock, systemClock } from '@dfs/shared';

/**
 * Blobs that this process is writing or reading now, so that collection leaves them alone. Kept in memory: short uploads need no row in the database,
 * its grace time covers them; long ones are renewed there by the collector.
 */
export class BlobsInUse {
  readonly #clock: Clock;
  /** With the monotonic time at which each upload began; an id belongs to one upload only. */
  readonly #uploading = new Map<BlobId, number>();
  /** With the number of readers. */
  readonly #reading = new Map<BlobId, number>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Says that these blobs belong to an upload, until the release is called (once or more often). */
  uploading(blobIds: readonly BlobId[]): () => void {
    const sinceMs = this.#clock.monotonic();
    for (const id of blobIds) this.#uploading.set(id, sinceMs);
    return () => {
      for (const id of blobIds) this.#uploading.delete(id);
    };
  }

  /** Says that these blobs are being read, until the release is called (once or more often). */
  reading(blobIds: readonly BlobId[]): () => void {
    for (const id of blobIds) this.#reading.set(id, (this.#reading.get(id) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      for (const id of blobIds) {
        const readers = (this.#reading.get(id) ?? 1) - 1;
        if (readers === 0) this.#reading.delete(id);
        else this.#reading.set(id, readers);
      }
    };
  }

  /** The blobs of uploads that run now, bound ones excluded: a copy of the moment. */
  uploadingNow(): ReadonlySet<BlobId> {
    return new Set(this.#uploading.keys());
  }

  /** Those whose upload began at least `ageMs` ago. */
  uploadingFor(ageMs: number): readonly BlobId[] {
    const beforeMs = this.#clock.monotonic() - ageMs;
    return [...this.#uploading].filter(([, sinceMs]) => sinceMs <= beforeMs).map(([id]) => id);
  }

  /** The blobs that readers have open now: a copy of the moment. */
  readingNow(): ReadonlySet<BlobId> {
    return new Set(this.#reading.keys());
  }
}
