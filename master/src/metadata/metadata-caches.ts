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

  /** `size`: about how many rows each of them keeps. */
  constructor(size: number) {
    this.entries = new Cache(size);
    this.directories = new Cache(size);
    this.files = new Cache(size, (file) => file.blobs.length);
    this.replicas = new Cache(size, (replicas) => Math.max(1, replicas.length / 3));
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

  /** Keeps what was read. */
  readonly loadDirectories: LoadDirectories = (ids, read) => this.directories.load(ids, read);

  /** Keeps nothing of what was read, since it is read in a transaction that may still fail. */
  readonly recallDirectories: LoadDirectories = async (ids, read) => {
    const known = ids.flatMap((id) => this.directories.get(id) ?? []);
    const found = new Map(known.map((entry) => [entry.id, entry]));
    const missing = ids.filter((id) => !found.has(id));
    if (missing.length === 0) return found;
    return new Map([...found, ...(await read(missing))]);
  };

  clear(): void {
    this.entries.clear();
    this.directories.clear();
    this.files.clear();
    this.replicas.clear();
  }
}
