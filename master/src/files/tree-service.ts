import { Readable } from 'node:stream';
import { type FilePath, StoreError } from '@dfs/shared';
import type { BindCondition } from '../metadata/metadata-repository.ts';
import type { TrashTime } from '../metadata/tree-changes.ts';
import type { CachedFile, FileServiceDependencies } from './file-service-dependencies.ts';
import type { FileService } from './file-types.ts';
import { mustServe, mustServeChanges } from './serving.ts';
import { trashUntil } from './trash-time.ts';
import type { TouchOptions, TreeService } from './tree-types.ts';

type Tree = Omit<TreeService, 'listTrash' | 'restoreFromTrash' | 'emptyTrash'>;

/** What people do in a tree: each call is one of the repository's, which decides; what has to be uploaded for it goes through `put`. */
export function createTree(
  dependencies: FileServiceDependencies,
  { put }: Pick<FileService, 'put'>,
): Tree {
  const { metadata, clock, caching } = dependencies;

  return {
    async list(path, page) {
      mustServe(dependencies);
      return metadata.listDirectory(path, page);
    },

    async makeDirectory(path, { parents = false } = {}) {
      mustServeChanges(dependencies);
      const { isNew } = await metadata.makeDirectory(path, { parents });
      return { isNew };
    },

    async remove(path, { skipTrash = false, ...options } = {}) {
      mustServeChanges(dependencies);
      const time = skipTrash ? {} : trashUntil(dependencies);
      const cached = await cachedFileAt(path);
      await metadata.removeEntry(path, { ...options, ...time });
      gaveUp(time);
      if (cached) caching?.nameWent(cached);
    },

    async move({ from, to, overwrite, ...rest }) {
      mustServeChanges(dependencies);
      const time = trashUntil(dependencies);
      const source = conditionOf(rest);
      const { isNew } = await metadata.moveEntry({ from, to, overwrite, source, ...time });
      if (!isNew) gaveUp(time);
      return { isNew };
    },

    async copy({ from, to, overwrite, depth, signal, ...rest }) {
      mustServeChanges(dependencies);
      const time = trashUntil(dependencies);
      const condition = conditionOf(rest);
      const request = { from, to, overwrite, depth, condition, signal, ...time };
      const outcome = await metadata.copyEntry(request);
      if (!outcome.isNew) gaveUp(time);
      return outcome;
    },

    async touch(path, options) {
      mustServeChanges(dependencies);
      const modifiedAtMs = options.modifiedAtMs ?? clock.now();
      if (await metadata.touchEntry(path, modifiedAtMs)) return { isNew: false };
      if (!options.create) throw nothingAt(path);
      if (await makeEmptyFile(path, modifiedAtMs, options)) return { isNew: true };
      // Somebody else made it in between.
      if (await metadata.touchEntry(path, modifiedAtMs)) return { isNew: false };
      throw new StoreError('conflict', `${path} comes and goes: it could not be touched.`);
    },

    async setCopies(path, copies) {
      mustServeChanges(dependencies);
      await metadata.setCopies(path, copies);
    },

    async setVisibility(path, visibility) {
      mustServeChanges(dependencies);
      await metadata.setVisibility(path, visibility);
    },

    async usage(path) {
      mustServe(dependencies);
      return metadata.usageOf(path);
    },

    async *walk(path, options) {
      mustServe(dependencies);
      yield* metadata.walkTree(path, options);
    },
  };

  /** What went without a time is to be taken apart now. */
  function gaveUp({ trashUntilMs }: TrashTime): void {
    if (trashUntilMs === undefined) dependencies.onTrashExpired();
  }

  /** The file there when some node caches it; those in a directory are let go when they are collected. */
  async function cachedFileAt(path: FilePath): Promise<CachedFile | undefined> {
    if (!caching) return undefined;
    // A directory, or nothing there: what to say of it is for the removal.
    const named = await metadata.findFile(path).catch(() => undefined);
    return named && caching.isCached(named.file) ? named.file : undefined;
  }

  /** False when something has the name. */
  async function makeEmptyFile(
    path: FilePath,
    modifiedAtMs: number,
    { signal }: Pick<TouchOptions, 'signal'>,
  ): Promise<boolean> {
    try {
      await put({
        path,
        body: Readable.from([]),
        sizeBytes: 0,
        onConflict: 'fail',
        modifiedAtMs,
        signal,
      });
      return true;
    } catch (error) {
      const isTaken = error instanceof StoreError && takenKinds.has(error.kind);
      if (isTaken) return false;
      throw error;
    }
  }
}

const takenKinds: ReadonlySet<string> = new Set(['precondition-failed', 'is-a-directory']);

const conditionOf = ({ ifMatch, ifNoneMatch }: BindCondition): BindCondition => ({
  ...(ifMatch === undefined ? {} : { ifMatch }),
  ...(ifNoneMatch === undefined ? {} : { ifNoneMatch }),
});

const nothingAt = (path: FilePath) =>
  new StoreError('not-found', `There is nothing at ${path}.`, {
    hint: 'List the directory above it to see which names there are.',
  });
