import type { BlobId, FileId } from '@dfs/shared';
import { replicaOf } from './blob-state.ts';
import { Cache } from './cache.ts';
import type { Draft } from './draft/draft.ts';
import type { Entry, FileRecord, Replica } from './metadata-repository.ts';

/** What reads find without the database, kept right by every commit of this process. */
export class MetadataCaches {
  /** By `entryKeyOf`. Names that do not exist are not kept: anyone could ask for any number of them. */
  readonly entries: Cache<string, Entry>;
  readonly files: Cache<FileId, FileRecord>;
  readonly replicas: Cache<BlobId, readonly Replica[]>;

  /** `size`: about how many rows each of them keeps. */
  constructor(size: number) {
    this.entries = new Cache(size);
    this.files = new Cache(size, (file) => file.blobs.length);
    this.replicas = new Cache(size, (replicas) => Math.max(1, replicas.length / 3));
  }

  /** Takes over what a batch committed: a file that was just bound is read without the database. */
  accept(draft: Draft): void {
    for (const { key, after } of draft.entries.changes()) {
      if (after) this.entries.set(key, after);
      else this.entries.delete(key);
    }
    for (const { key, after } of draft.files.changes()) {
      if (after) this.files.set(key, after);
      else this.files.delete(key);
    }
    for (const { key, after } of draft.blobs.changes()) {
      if (after)
        this.replicas.set(
          key,
          after.copies.map((copy) => replicaOf(key, copy)),
        );
      else this.replicas.delete(key);
    }
  }

  clear(): void {
    this.entries.clear();
    this.files.clear();
    this.replicas.clear();
  }
}
