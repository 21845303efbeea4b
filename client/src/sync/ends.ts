import { StoreError } from '@dfs/shared';
import type { Progress } from '../progress.ts';
import { codeOf } from '../retry.ts';
import { ChangedWhileRead } from '../trees/hash-cache.ts';
import type { LocalFolder } from '../trees/local-folder.ts';
import { isSameStamp } from '../trees/local-tree.ts';
import type { RemoteFolder } from '../trees/store-folder.ts';
import type { LocalEntry, LocalFile, RemoteEntry, RemoteFile } from '../trees/tree-entry.ts';
import type { TransferProgress } from './transfer-progress.ts';

export type AnyEntry = LocalEntry | RemoteEntry;
export type AnyFile = LocalFile | RemoteFile;

/** From where to where a tree is made equal. What is done at the target is refused with `precondition-failed` when the target is not as it was found. */
export interface Ends {
  source(): AsyncIterable<AnyEntry>;
  target(): AsyncIterable<AnyEntry>;
  md5Of(file: AnyFile): Promise<string>;
  /** Resolves with the MD5 of what was written; to another path where one is given. */
  write(file: AnyFile, replaced: AnyFile | undefined, as?: string): Promise<string>;
  makeDirectory(path: string): Promise<void>;
  removeFile(file: AnyFile): Promise<void>;
  /** False when it is not empty. */
  removeDirectory(path: string): Promise<boolean>;
  setModified(path: string, modifiedMs: number): Promise<void>;
  /** Whether it failed since what the walk found is not there any more. */
  isSourceGone(error: unknown): boolean;
}

export interface EndsOptions {
  readonly local: LocalFolder;
  readonly remote: RemoteFolder;
  readonly progress: TransferProgress;
}

const isLocal = (file: AnyFile): file is LocalFile => 'stamp' in file;

const md5OfAny =
  (local: LocalFolder) =>
  async (file: AnyFile): Promise<string> =>
    isLocal(file) ? local.md5Of(file) : file.md5;

/** From this machine to the store. */
export function endsOfPush({ local, remote, progress }: EndsOptions): Ends {
  const md5Of = md5OfAny(local);
  return {
    source: () => local.walk(),
    target: () => remote.walk(),
    md5Of,
    async write(file, replaced, as = file.path) {
      const { path, sizeBytes, modifiedMs } = file;
      const startedAtMs = Date.now();
      const onBytes = (count: number) => progress.bytes(count);
      const replacedMd5 = replaced === undefined ? undefined : await md5Of(replaced);
      const at = local.locate(path);
      try {
        const md5 = await remote.put({
          path: as,
          local: at,
          sizeBytes,
          modifiedMs,
          replacedMd5,
          onBytes,
        });
        const now = await local.look(path);
        if (now === undefined || !isSameStamp(now.stamp, (file as LocalFile).stamp))
          throw new ChangedWhileSent(md5);
        local.remember(now, md5, startedAtMs);
        return md5;
      } catch (error) {
        // The answer to an earlier try may have been lost, or somebody else stored the same.
        const there = isRefused(error) ? await remote.look(as) : undefined;
        if (there?.sizeBytes === sizeBytes && there.md5 === (await md5Of(file))) return there.md5;
        throw error;
      }
    },
    makeDirectory: (path) => remote.makeDirectory(path),
    removeFile: async (file) => remote.removeFile(file.path, await md5Of(file)),
    removeDirectory: (path) => remote.removeDirectory(path),
    setModified: (path, modifiedMs) => remote.setModified(path, modifiedMs),
    isSourceGone: (error) => codeOf(error) === 'ENOENT',
  };
}

/** From the store to this machine. */
export function endsOfPull({ local, remote, progress }: EndsOptions): Ends {
  return {
    source: () => remote.walk(),
    target: () => local.walk(),
    md5Of: md5OfAny(local),
    async write(file, replaced, as = file.path) {
      const { path, modifiedMs } = file;
      const receipt = { path: as, replaced: replaced as LocalFile | undefined, modifiedMs };
      let countedBytes = 0;
      const counted: Progress = {
        at: (bytes) => {
          progress.bytes(bytes - countedBytes);
          countedBytes = bytes;
        },
        say: (line) => progress.say(line),
        stop: () => {},
      };
      const telling = { progressOf: () => counted, say: progress.sayRetry };
      const got = await local.receive(receipt, (sink) => remote.download(path, sink, telling));
      return got.md5;
    },
    makeDirectory: (path) => local.makeDirectory(path),
    removeFile: (file) => local.removeFile(file as LocalFile),
    removeDirectory: (path) => local.removeDirectory(path),
    setModified: (path, modifiedMs) => local.setModified(path, modifiedMs),
    isSourceGone: (error) => kindOf(error) === 'not-found',
  };
}

/** What was stored is of a moment that is over, or of several. */
export class ChangedWhileSent extends ChangedWhileRead {
  readonly md5: string;

  constructor(md5: string) {
    super();
    this.md5 = md5;
  }
}

const kindOf = (error: unknown) => (error instanceof StoreError ? error.kind : undefined);
const isRefused = (error: unknown) => kindOf(error) === 'precondition-failed';
