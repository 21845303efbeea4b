import { type FilePath, StoreError } from '@dfs/shared';
import type { Draft } from '../draft/draft.ts';
import type { BindCondition, Entry } from '../metadata-repository.ts';

/**
 * Decides `If-Match` and `If-None-Match` (RFC 9110 section 13.1) on what the name holds. A directory has no ETag. Rejects with `precondition-failed`.
 */
export function checkCondition(
  draft: Draft,
  path: FilePath,
  existing: Entry | null,
  { ifMatch, ifNoneMatch }: BindCondition,
): void {
  if (ifMatch !== undefined && !matches(draft, existing, ifMatch)) {
    throw failed(`${path} is not as the request expects it.`, 'Look at it again and decide anew.');
  }
  if (ifNoneMatch !== undefined && matches(draft, existing, ifNoneMatch)) throw taken(path);
}

export const taken = (path: FilePath) =>
  failed(`${path} exists already.`, 'Choose another name, or allow it to be replaced.');

function matches(draft: Draft, existing: Entry | null, tags: '*' | readonly string[]): boolean {
  if (!existing) return false;
  if (tags === '*') return true;
  if (existing.fileId === undefined) return false;
  const file = draft.files.get(existing.fileId);
  return file !== null && tags.includes(file.md5);
}

const failed = (message: string, hint: string) =>
  new StoreError('precondition-failed', message, { hint });
