import { type FilePath, rootPath, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { Entry } from '../metadata-repository.ts';
import type { RemoveRequest } from '../tree-changes.ts';
import { checkCondition } from './conditions.ts';
import { findChain } from './directories.ts';
import { giveUp } from './placing.ts';

/** What `removeEntry` promises is decided here. */
export function decideRemoval(draft: Draft, path: FilePath, request: RemoveRequest): void {
  if (path === rootPath) {
    throw new StoreError('conflict', 'The root directory cannot be removed.');
  }
  const entry = findChain(draft, path)?.at(-1);
  if (!entry) throw new StoreError('not-found', `There is nothing at ${path}.`);
  checkCondition(draft, path, entry, request);
  checkExpected(draft, path, entry, request.expect);
  giveUp(draft, entry, { path, reason: 'deleted', trashUntilMs: request.trashUntilMs });
}

function checkExpected(
  draft: Draft,
  path: FilePath,
  entry: Entry,
  expected: RemoveRequest['expect'],
): void {
  if (expected === 'file' && entry.kind === 'directory') {
    throw new StoreError('is-a-directory', `${path} is a directory.`, {
      hint: 'Say that a directory is to be removed.',
    });
  }
  if (expected !== 'empty-directory') return;
  if (entry.kind === 'file') {
    throw new StoreError('not-a-directory', `${path} is a file.`, {
      hint: 'Say that a file is to be removed.',
    });
  }
  if (draft.children.get(entry.id) > 0) {
    throw new StoreError('conflict', `The directory ${path} is not empty.`, {
      hint: 'Remove what is in it first, or it with all that is in it.',
    });
  }
}
