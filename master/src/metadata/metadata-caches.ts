import type { BlobId, EntryId, FileId } from '@dfs/shared';
import { replicaOf } from './blob-state.ts';
import { Cache } from './cache.ts';
import type { Draft } from './draft/draft.ts';
import type { Entry, FileRecord, Replica } from './metadata-repository.ts';

/** Gives directories by id, and asks `read` for those that are not known. Absent ones are absent. */
export type LoadDirectories = (
  ids: readonly EntryId[],
  read: (missing: readonly EntryId[]) => Promise<(readonly [EntryId, Entry])[]>,
) => Promise<ReadonlyMap<EntryId, Entry>>;

/** What reads find without the database, kept right by every commit of this process. */
export class MetadataCaches {
  /** By `entryKeyOf`. Names that do not exist are not kept: anyone could ask for any number of them. */
  readonly entries: Cache<string, Entry>;
  /** The directories among them, by id. */
  readonly directories: Cache<EntryId, Entry>;
  readonly files: Cache<FileId, FileRecord>;
  readonly replicas: Cache<BlobId, readonly Replica[]>;
  #directoryChanges = 0;

  /** `size`: about how many rows each of them keeps. */
  constructor(size: number) {
    this.entries = new Cache(size);
    this.directories = new Cache(size);
    this.files = new Cache(size, (file) => file.blobs.length);
    this.replicas = new Cache(size, (replicas) => Math.max(1, replicas.length / 3));
  }

  /**
   * Odd while a batch is being committed in which directories move, go or change, and another number after it. Who looked up several rows one by one, and finds another number
   * than before or an odd one, may have rows of two times, and looks again in one snapshot.
   */
  get directoryChanges(): number {
    return this.#directoryChanges;
  }

  /** A batch is about to be committed: from now on reads may see it. */
  expect(draft: Draft): void {
    const changes = draft.entries.changes();
    if (changes.some(({ before }) => before?.kind === 'directory')) this.#directoryChanges += 1;
  }

  /** The batch was accepted, or failed. */
  settle(): void {
    this.#directoryChanges += this.#directoryChanges % 2;
  }

  /** Takes over what a batch committed: a file that was just bound is read without the database. */
  accept(draft: Draft): void {
    for (const { key, before, after } of draft.entries.changes()) {
      if (before?.kind === 'directory') this.directories.delete(before.id);
      if (after?.kind === 'directory') this.directories.set(after.id, after);
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

  /** For the writer alone, which sees no other time than the caches do; who reads in a snapshot takes all directories from it. */
  readonly loadDirectories: LoadDirectories = (ids, read) => this.directories.load(ids, read);

  clear(): void {
    this.entries.clear();
    this.directories.clear();
    this.files.clear();
    this.replicas.clear();
  }
}
