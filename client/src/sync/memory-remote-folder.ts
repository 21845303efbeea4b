import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { StoreError } from '@dfs/shared';
import type { Downloaded, Sink } from '../download.ts';
import type { RemoteFolder, Sending } from '../trees/store-folder.ts';
import type { RemoteEntry, RemoteFile } from '../trees/tree-entry.ts';
import { compareTreePaths, isWithin } from '../trees/tree-order.ts';

interface Held {
  readonly bytes: Buffer;
  readonly modifiedMs: number;
}

/** A folder of a store in memory, which keeps the same promises: conditions, parents that are made, directories that are deleted only when empty. For tests. */
export class MemoryRemoteFolder implements RemoteFolder {
  /** By path; undefined: a directory. */
  readonly entries = new Map<string, Held | undefined>();
  /** Is called before each change, with what is about to happen; may throw. */
  beforeChange: (deed: string, path: string) => void = () => {};

  async *walk(): AsyncGenerator<RemoteEntry> {
    for (const [path, held] of [...this.entries].sort(([a], [b]) => compareTreePaths(a, b))) {
      yield held === undefined ? { path, kind: 'directory', modifiedMs: 0 } : fileOf(path, held);
    }
  }

  async put({ path, local, modifiedMs, replacedMd5, onBytes }: Sending): Promise<string> {
    this.beforeChange('put', path);
    const bytes = await readFile(local);
    const there = this.entries.get(path);
    if (this.entries.has(path) && there === undefined)
      throw new StoreError('is-a-directory', `${path} is a directory.`);
    if (replacedMd5 !== (there === undefined ? undefined : md5Of(there.bytes)))
      throw new StoreError('precondition-failed', `${path} is another by now.`);
    this.#makeParents(path);
    this.entries.set(path, { bytes, modifiedMs });
    onBytes(bytes.length);
    return md5Of(bytes);
  }

  async download(path: string, sink: Sink): Promise<Downloaded> {
    this.beforeChange('download', path);
    const held = this.entries.get(path);
    if (held === undefined) throw new StoreError('not-found', `No file at ${path}.`);
    await sink.write(held.bytes);
    return { sizeBytes: held.bytes.length, md5: md5Of(held.bytes), node: undefined, path };
  }

  async look(path: string): Promise<RemoteFile | undefined> {
    const held = this.entries.get(path);
    return held === undefined ? undefined : fileOf(path, held);
  }

  async makeDirectory(path: string): Promise<void> {
    this.beforeChange('makeDirectory', path);
    if (path === '') return;
    if (this.entries.get(path) !== undefined)
      throw new StoreError('method-not-allowed', `${path} is there already.`);
    this.#makeParents(path);
    this.entries.set(path, undefined);
  }

  async removeFile(path: string, md5: string): Promise<void> {
    this.beforeChange('removeFile', path);
    if (!this.entries.has(path)) return;
    const there = this.entries.get(path);
    if (there === undefined || md5Of(there.bytes) !== md5)
      throw new StoreError('precondition-failed', `${path} is another by now.`);
    this.entries.delete(path);
  }

  async removeDirectory(path: string): Promise<boolean> {
    this.beforeChange('removeDirectory', path);
    if (this.entries.get(path) !== undefined) return false;
    if ([...this.entries.keys()].some((other) => other !== path && isWithin(other, path)))
      return false;
    this.entries.delete(path);
    return true;
  }

  async setModified(path: string, modifiedMs: number): Promise<void> {
    const held = this.entries.get(path);
    if (held !== undefined) this.entries.set(path, { ...held, modifiedMs });
  }

  #makeParents(path: string): void {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at);
      if (this.entries.get(parent) !== undefined)
        throw new StoreError('not-a-directory', `${parent} is a file.`);
      this.entries.set(parent, undefined);
    }
  }
}

export const md5Of = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

const fileOf = (path: string, { bytes, modifiedMs }: Held): RemoteFile => ({
  path,
  kind: 'file',
  sizeBytes: bytes.length,
  md5: md5Of(bytes),
  modifiedMs,
});
