import type { FileServiceDependencies } from './file-service-dependencies.ts';
import { mustServe, mustServeChanges } from './serving.ts';
import { trashUntil } from './trash-time.ts';
import type { TreeService } from './tree-types.ts';

type Trash = Pick<TreeService, 'listTrash' | 'restoreFromTrash' | 'emptyTrash'>;

/** What was removed or replaced, while it can be brought back. */
export function createTrash(dependencies: FileServiceDependencies): Trash {
  const { metadata, clock } = dependencies;
  return {
    async listTrash(page) {
      mustServe(dependencies);
      return metadata.listTrash({ nowMs: clock.now(), ...page });
    },
    async restoreFromTrash(id, options) {
      mustServeChanges(dependencies);
      const { path } = await metadata.restoreTrashed(id, {
        ...options,
        ...trashUntil(dependencies),
      });
      return path;
    },
    async emptyTrash(selection) {
      mustServeChanges(dependencies);
      const removed = await metadata.emptyTrash('all' in selection ? {} : selection);
      if (removed > 0) dependencies.onTrashExpired();
      return removed;
    },
  };
}
