import { randomUUID } from 'node:crypto';
import { type FilePath, filePathOf, namesOf, StoreError, urlPathOf } from '@dfs/shared';
import { type Downloaded, type DownloadTelling, download, type Sink } from '../download.ts';
import { defaultRetryLimits, Retries, type RetriesOptions, type RetryLimits } from '../retry.ts';
import type { DfsClient } from '../sdk/dfs-client.ts';
import { putLocalFile, withRetries } from '../upload.ts';
import type { RemoteEntry, RemoteFile } from './tree-entry.ts';
import { compareTreePaths } from './tree-order.ts';

type Say = ((line: string) => void) | undefined;

/** A file of this machine on its way to the store. */
export interface Sending {
  readonly path: string;
  /** Where it lies. */
  readonly local: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  /** The content that it may replace; undefined: none, nothing may be there. */
  readonly replacedMd5: string | undefined;
  readonly onBytes: (count: number) => void;
}

/** What the commands do with a directory of the store and all below it. Paths are relative to it. */
export interface RemoteFolder {
  /** All that is in it, in the order of trees. */
  walk(): AsyncIterable<RemoteEntry>;
  /** Resolves with the MD5 of what was stored. Rejects with `precondition-failed` when something else than the replaced content is there. */
  put(sending: Sending): Promise<string>;
  download(path: string, sink: Sink, telling: DownloadTelling): Promise<Downloaded>;
  /** The file as it is now; undefined when there is none. */
  look(path: string): Promise<RemoteFile | undefined>;
  /** Makes a directory and those above it; one that is there is fine. */
  makeDirectory(path: string): Promise<void>;
  /** Deletes the file if it has this content still; one that is gone is fine. Rejects with `precondition-failed` otherwise. */
  removeFile(path: string, md5: string): Promise<void>;
  /** False when it is not empty. */
  removeDirectory(path: string): Promise<boolean>;
  setModified(path: string, modifiedMs: number): Promise<void>;
}

export interface StoreFolderOptions {
  readonly client: DfsClient;
  readonly top: FilePath;
  /** Whether a directory that does not exist is an empty one. */
  readonly mayBeMissing: boolean;
  /** Takes a line about a wait before another try. */
  readonly say: Say;
}

/** A store that answered once and does not listen now is being started again. */
const knownStoreLimits: RetryLimits = {
  ...defaultRetryLimits,
  refusedPatienceMs: defaultRetryLimits.patienceMs,
};

/** A directory of the store, over HTTP. Everything is tried again as the retry policy allows. */
export class StoreFolder implements RemoteFolder {
  readonly top: FilePath;
  readonly #client: DfsClient;
  readonly #mayBeMissing: boolean;
  readonly #say: Say;
  #limits = defaultRetryLimits;

  constructor({ client, top, mayBeMissing, say }: StoreFolderOptions) {
    this.top = top;
    this.#client = client;
    this.#mayBeMissing = mayBeMissing;
    this.#say = say;
  }

  async *walk(): AsyncGenerator<RemoteEntry> {
    let retries = new Retries(this.#retries());
    let last: string | undefined;
    for (;;) {
      try {
        for await (const entry of this.#find()) {
          // A walk that broke is begun anew: what was given is passed over.
          if (last !== undefined && compareTreePaths(entry.path, last) <= 0) continue;
          if (last === undefined) {
            this.#limits = knownStoreLimits;
            retries = new Retries(this.#retries());
          }
          last = entry.path;
          yield entry;
          // The store cuts off a reader that was busy with transfers for long: that is no failure to lose patience with.
          retries.progress();
        }
        return;
      } catch (error) {
        const isMissing = error instanceof StoreError && error.kind === 'not-found';
        if (isMissing && last === undefined && this.#mayBeMissing) return;
        await retries.wait(error);
      }
    }
  }

  async *#find(): AsyncGenerator<RemoteEntry> {
    const skip = this.top === '/' ? 1 : this.top.length + 1;
    for await (const found of this.#client.find(this.top)) {
      const common = { path: found.path.slice(skip), modifiedMs: Date.parse(found.modified) };
      if (found.kind === 'directory') yield { ...common, kind: 'directory' };
      else {
        const { size: sizeBytes = 0, md5 = '' } = found;
        yield { ...common, kind: 'file', sizeBytes, md5 };
      }
    }
  }

  async put(sending: Sending): Promise<string> {
    const { path, local, sizeBytes, modifiedMs, replacedMd5, onBytes } = sending;
    const answer = await putLocalFile(this.#client.api, {
      local,
      path: `/fs${urlPathOf(this.#locate(path))}`,
      headers: {
        // One key for all attempts: an upload whose answer was lost is not stored twice.
        'Idempotency-Key': randomUUID(),
        'X-DFS-Modified': new Date(modifiedMs).toISOString(),
        ...(replacedMd5 === undefined ? { 'If-None-Match': '*' } : ifMatch(replacedMd5)),
      },
      sizeBytes,
      onBytes,
      say: this.#say,
      limits: this.#limits,
    });
    this.#limits = knownStoreLimits;
    return answer.md5;
  }

  download(path: string, sink: Sink, telling: DownloadTelling): Promise<Downloaded> {
    return download(this.#client.api, `/fs${urlPathOf(this.#locate(path))}`, sink, {
      ...telling,
      limits: this.#limits,
    });
  }

  async look(path: string): Promise<RemoteFile | undefined> {
    const found = await this.#unlessMissing(() => this.#client.stat(this.#locate(path)));
    if (found?.kind !== 'file') return undefined;
    const { size: sizeBytes = 0, md5 = '', modified } = found;
    return { path, kind: 'file', sizeBytes, md5, modifiedMs: Date.parse(modified) };
  }

  async makeDirectory(path: string): Promise<void> {
    const directory = this.#locate(path);
    if (directory === '/') return;
    await this.#retried(() => this.#client.makeDirectory(directory, { parents: true }));
  }

  async removeFile(path: string, md5: string): Promise<void> {
    const url = `/fs${urlPathOf(this.#locate(path))}?expect=file`;
    await this.#unlessMissing(() =>
      this.#client.api.send({ method: 'DELETE', path: url, headers: ifMatch(md5) }),
    );
  }

  async removeDirectory(path: string): Promise<boolean> {
    try {
      const directory = this.#locate(path);
      await this.#unlessMissing(() =>
        this.#client.remove(directory, { expect: 'empty-directory' }),
      );
      return true;
    } catch (error) {
      const isOther = error instanceof StoreError && notEmptyKinds.has(error.kind);
      if (isOther) return false;
      throw error;
    }
  }

  async setModified(path: string, modifiedMs: number): Promise<void> {
    const modified = new Date(modifiedMs);
    await this.#retried(() => this.#client.touch(this.#locate(path), { modified, create: false }));
  }

  async #unlessMissing<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#retried(work);
    } catch (error) {
      if (error instanceof StoreError && error.kind === 'not-found') return undefined;
      throw error;
    }
  }

  async #retried<T>(work: () => Promise<T>): Promise<T> {
    const done = await withRetries(work, this.#retries());
    this.#limits = knownStoreLimits;
    return done;
  }

  #retries(): RetriesOptions {
    return { say: this.#say, limits: this.#limits, signal: this.#client.api.signal };
  }

  #locate(path: string): FilePath {
    return path === '' ? this.top : filePathOf([...namesOf(this.top), ...path.split('/')]);
  }
}

const ifMatch = (md5: string) => ({ 'If-Match': `"${md5}"` });

const notEmptyKinds: ReadonlySet<string> = new Set(['conflict', 'not-a-directory']);
