import type { FileId, FileReads } from '@dfs/shared';

const filesMax = 10_000;

/**
 * How often files were read at this node since the last heartbeat: a few seconds, in which more files
 * than it remembers cannot all be hot.
 */
export class ReadCounts {
  readonly #counts = new Map<FileId, number>();

  /** Bytes of the file are about to be sent. */
  count(fileId: FileId): void {
    const known = this.#counts.get(fileId);
    if (known === undefined && this.#counts.size >= filesMax) return;
    this.#counts.set(fileId, (known ?? 0) + 1);
  }

  /** The files most read, at most `max`, and begins anew. */
  take(max: number): FileReads[] {
    const all = [...this.#counts].map(([fileId, count]) => ({ fileId, count }));
    this.#counts.clear();
    return all.sort((a, b) => b.count - a.count).slice(0, max);
  }
}
