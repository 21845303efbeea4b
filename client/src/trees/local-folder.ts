import { rmSync } from 'node:fs';
import { link, lstat, mkdir, open, rename, rm, rmdir, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkName, StoreError } from '@dfs/shared';
import { fileSink, type Sink } from '../download.ts';
import { shown } from '../output.ts';
import { isRunning } from '../state/state-lock.ts';
import { type HashCache, hashFile } from './hash-cache.ts';
import { isSameStamp, localFileOf, stampOf, walkLocalTree } from './local-tree.ts';
import { stagedName, writerOf } from './staged-file.ts';
import type { LocalEntry, LocalFile, Skipped } from './tree-entry.ts';

/** So many directories are known to be real ones before they are looked at again. */
const knownDirectoriesMax = 10_000;

export interface LocalFolderOptions {
  /** The directory, which symbolic links may lead to; below it none is followed. */
  readonly top: string;
  readonly hashes: HashCache;
  /** Whether a directory that does not exist is an empty one. */
  readonly mayBeMissing: boolean;
  readonly onUnnamed: (skipped: Skipped) => void;
  /** Whether this process may tidy up what downloads of dead ones left. */
  readonly isTidied: boolean;
}

/** What is written in place of what: `undefined` where nothing may be. */
export interface Receipt {
  readonly path: string;
  readonly replaced: LocalFile | undefined;
  readonly modifiedMs: number;
}

/** A directory of this machine that is made equal to one of the store, or the other way round. Nothing outside of it is ever touched. */
export class LocalFolder {
  readonly top: string;
  readonly #options: LocalFolderOptions;
  readonly #knownDirectories = new Set<string>();
  readonly #staged = new Set<string>();

  constructor(options: LocalFolderOptions) {
    this.top = options.top;
    this.#options = options;
  }

  /** All that is in it, in the order of trees, with the MD5s that are known. */
  async *walk(): AsyncGenerator<LocalEntry> {
    const { hashes, onUnnamed, mayBeMissing } = this.#options;
    if (mayBeMissing && (await isMissing(this.top))) return;
    const known = hashes.along();
    const onStaged = (path: string) => this.#tidy(path);
    try {
      for await (const entry of walkLocalTree(this.top, { onUnnamed, onStaged })) {
        if (entry.kind !== 'file') {
          yield entry;
          continue;
        }
        const md5 = await known.at(entry);
        yield md5 === undefined ? entry : { ...entry, md5 };
      }
    } finally {
      await known.stop();
    }
  }

  /** Where a path of the tree lies on this machine. Rejects names that this machine would take for more than a name. */
  locate(path: string): string {
    if (path === '') return this.top;
    for (const name of path.split('/')) checkLocalName(name);
    return join(this.top, path);
  }

  /** The MD5 of a file, read only when it is not known. */
  async md5Of(file: LocalFile): Promise<string> {
    if (file.md5 !== undefined) return file.md5;
    const startedAtMs = Date.now();
    const md5 = await hashFile(this.locate(file.path), file);
    this.#options.hashes.remember(file, md5, startedAtMs);
    return md5;
  }

  /** Its MD5 became known in another way; `knownAtMs`: when reading it began. */
  remember(file: LocalFile, md5: string, knownAtMs: number): void {
    this.#options.hashes.remember(file, md5, knownAtMs);
  }

  /** The file as it is now; undefined when there is none. */
  async look(path: string): Promise<LocalFile | undefined> {
    const facts = await lstat(this.locate(path), { bigint: true }).catch(() => undefined);
    return facts?.isFile() ? localFileOf(path, facts) : undefined;
  }

  /**
   * Has a file written beside its place, and puts it there when it is whole, on the disk, and what it replaces is still as it was found. Rejects with
   * `precondition-failed` otherwise; nothing is left then.
   */
  async receive<T>(receipt: Receipt, fill: (sink: Sink) => Promise<T>): Promise<T> {
    const { path, replaced, modifiedMs } = receipt;
    const target = this.locate(path);
    await this.makeDirectory(dirname(path));
    const mode = replaced === undefined ? undefined : await modeOf(target);
    const staged = join(dirname(target), stagedName());
    this.#staged.add(staged);
    try {
      const handle = await open(staged, 'wx', mode ?? 0o666);
      try {
        const filled = await fill(fileSink(handle));
        if (mode !== undefined) await handle.chmod(mode);
        await handle.utimes(new Date(), new Date(modifiedMs));
        await handle.sync();
        await handle.close();
        await (replaced === undefined
          ? placeNew(staged, target)
          : placeOver(staged, target, replaced));
        return filled;
      } finally {
        await handle.close().catch(() => {
          // Closed already.
        });
      }
    } catch (error) {
      await rm(staged, { force: true });
      throw error;
    } finally {
      this.#staged.delete(staged);
    }
  }

  /** Deletes a file that is still as it was found; one that is gone is fine. */
  async removeFile(file: LocalFile): Promise<void> {
    const local = this.locate(file.path);
    await this.#checkDirectory(dirname(file.path));
    if (await isStill(local, file)) await unlink(local);
  }

  /** Makes a directory and those above it. Rejects with `not-a-directory` when something else is there, a symbolic link too. */
  async makeDirectory(path: string): Promise<void> {
    if (path === '.' || path === '') {
      await mkdir(this.top, { recursive: true });
      return;
    }
    if (this.#knownDirectories.has(path)) return;
    await this.makeDirectory(dirname(path));
    await mkdir(this.locate(path)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
    await this.#checkDirectory(path);
  }

  /** Deletes an empty directory; false when it is not empty. */
  async removeDirectory(path: string): Promise<boolean> {
    await this.#checkDirectory(dirname(path));
    this.#knownDirectories.clear();
    try {
      await rmdir(this.locate(path));
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'ENOENT') return true;
      if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') return false;
      throw error;
    }
  }

  /** Sets the time of modification of what is there, which is no link. */
  async setModified(path: string, modifiedMs: number): Promise<void> {
    await this.#checkDirectory(dirname(path));
    const local = this.locate(path);
    if ((await lstat(local)).isSymbolicLink()) return;
    await utimes(local, new Date(), new Date(modifiedMs));
  }

  /** Removes what is being written, for a process that is about to end. */
  abandon(): void {
    for (const staged of this.#staged) rmSync(staged, { force: true });
  }

  /** A path through a symbolic link would lead elsewhere. */
  async #checkDirectory(path: string): Promise<void> {
    if (path === '.' || path === '' || this.#knownDirectories.has(path)) return;
    await this.#checkDirectory(dirname(path));
    const facts = await lstat(this.locate(path));
    if (!facts.isDirectory()) {
      throw new StoreError('not-a-directory', `${shown(path)} is no directory on this machine.`, {
        hint: 'Move away what is there.',
      });
    }
    if (this.#knownDirectories.size >= knownDirectoriesMax) this.#knownDirectories.clear();
    this.#knownDirectories.add(path);
  }

  #tidy(path: string): void {
    const writer = writerOf(path);
    const local = this.locate(path);
    // In a container the next process has the number of the last one.
    const isWritten = writer === process.pid ? this.#staged.has(local) : isRunning(writer ?? 0);
    if (this.#options.isTidied && writer !== undefined && !isWritten)
      rmSync(local, { force: true });
  }
}

const isMissing = async (local: string) =>
  lstat(local).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ENOENT',
  );

/** A name of the store becomes one of this machine, or is refused: it must not lead elsewhere. */
export function checkLocalName(name: string, platform: NodeJS.Platform = process.platform): void {
  checkName(name);
  // Letters by which Windows leaves the directory, or the file for a stream of it.
  if (platform === 'win32' && /[\\:]/.test(name)) {
    throw new StoreError('invalid-path', `${shown(name)} is no name on this machine.`, {
      hint: 'Rename it in the store.',
    });
  }
}

const changed = (target: string) =>
  new StoreError('precondition-failed', `${shown(target)} changed meanwhile on this machine.`, {
    hint: 'Run the command again.',
  });

/** A link is made only where nothing is, whoever else writes there at the same time. */
async function placeNew(staged: string, target: string): Promise<void> {
  try {
    await link(staged, target);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (code === 'EEXIST') throw changed(target);
    if (!linklessCodes.has(code)) throw error;
    // Some file systems have no links.
    if (await lstat(target).catch(() => undefined)) throw changed(target);
    await rename(staged, target);
    return;
  }
  await unlink(staged);
}

const linklessCodes: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

async function placeOver(staged: string, target: string, replaced: LocalFile): Promise<void> {
  if (!(await isStill(target, replaced))) throw changed(target);
  await rename(staged, target);
}

/** Whether a file is there and is as it was found. Rejects with `precondition-failed` when it is another. */
async function isStill(local: string, { stamp }: LocalFile): Promise<boolean> {
  const facts = await lstat(local, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (facts === undefined) return false;
  if (!facts.isFile() || !isSameStamp(stamp, stampOf(facts))) throw changed(local);
  return true;
}

/** Bits that lend somebody's rights are not for bytes that came from elsewhere. */
async function modeOf(target: string): Promise<number | undefined> {
  const facts = await lstat(target).catch(() => undefined);
  return facts?.isFile() ? facts.mode & 0o777 : undefined;
}
