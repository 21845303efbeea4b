import type { BlobId, Clock } from '@dfs/shared';
import type { MetadataRepository } from '../metadata/metadata-repository.ts';

/** The uploads of this process; kept by the file service. */
export interface RunningUploads {
  uploadingNow(): ReadonlySet<BlobId>;
  /** Those whose upload began at least `ageMs` ago. */
  uploadingFor(ageMs: number): readonly BlobId[];
}

export interface UploadRenewalDependencies {
  readonly metadata: Pick<MetadataRepository, 'renewUploads' | 'endUploads'>;
  readonly clock: Clock;
  readonly blobsInUse: RunningUploads;
}

/** Shorter uploads need no row: the grace time covers them. */
const renewAfterMs = 30_000;
const renewEveryMs = 30_000;
/** Several renewals may fail before an upload counts as ended. */
const validMs = 5 * 60_000;
const blobsPerCall = 1_000;

/** Writes down which uploads still run, so that nobody takes their blobs for leftovers however long they last. */
export class UploadRenewal {
  readonly #deps: UploadRenewalDependencies;
  /** Monotonic times of the last renewal. */
  readonly #renewedAtMs = new Map<BlobId, number>();

  constructor(dependencies: UploadRenewalDependencies) {
    this.#deps = dependencies;
  }

  async step(): Promise<void> {
    const { metadata, clock, blobsInUse } = this.#deps;
    const now = clock.monotonic();
    const running = blobsInUse.uploadingNow();
    const due = blobsInUse.uploadingFor(renewAfterMs).filter((id) => {
      return now - (this.#renewedAtMs.get(id) ?? Number.NEGATIVE_INFINITY) >= renewEveryMs;
    });
    const ended = [...this.#renewedAtMs.keys()].filter((id) => !running.has(id));
    for (const part of partsOf(due)) {
      await metadata.renewUploads(part, clock.now() + validMs);
      for (const id of part) this.#renewedAtMs.set(id, now);
    }
    for (const part of partsOf(ended)) {
      await metadata.endUploads(part);
      for (const id of part) this.#renewedAtMs.delete(id);
    }
  }
}

function partsOf(ids: readonly BlobId[]): BlobId[][] {
  const count = Math.ceil(ids.length / blobsPerCall);
  return Array.from({ length: count }, (_, index) => {
    return ids.slice(index * blobsPerCall, (index + 1) * blobsPerCall);
  });
}
