import { closeFile, openFile, syncFile } from './raw-file.ts';

interface KnownDirectory {
  /** Kept open: there are 256 of them, and opening one costs as much as many a sync. */
  readonly fd: Promise<number>;
  running: Promise<void> | undefined;
  /** Starts when the running one ended; all who come meanwhile share it. */
  next: Promise<void> | undefined;
}

/** Makes names in directories durable, one sync at a time for each. */
export class DirectorySyncs {
  readonly #directories = new Map<string, KnownDirectory>();

  /**
   * Resolves once everything named in the directory before this call survives a crash. A sync that
   * runs already may have missed it.
   */
  sync(path: string): Promise<void> {
    const directory = this.#know(path);
    if (directory.running === undefined) return this.#run(directory);
    directory.next ??= directory.running
      .catch(() => undefined)
      .then(() => {
        directory.next = undefined;
        return this.#run(directory);
      });
    return directory.next;
  }

  async close(): Promise<void> {
    const known = [...this.#directories.values()];
    this.#directories.clear();
    for (const { fd, running, next } of known) {
      await Promise.allSettled([running, next]);
      await fd.then(closeFile).catch(() => undefined);
    }
  }

  #know(path: string): KnownDirectory {
    const known = this.#directories.get(path);
    if (known) return known;
    const fd = openFile(path, 'r');
    // A folder that could not be opened is tried anew by the next sync.
    fd.catch(() => this.#directories.delete(path));
    const directory: KnownDirectory = { fd, running: undefined, next: undefined };
    this.#directories.set(path, directory);
    return directory;
  }

  #run(directory: KnownDirectory): Promise<void> {
    const running = directory.fd.then(syncFile).finally(() => {
      directory.running = undefined;
    });
    directory.running = running;
    return running;
  }
}
