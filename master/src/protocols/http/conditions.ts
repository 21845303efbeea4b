import type { IncomingHttpHeaders } from 'node:http';
import { type FilePath, StoreError } from '@dfs/shared';
import { dateOf, parseEntityTags, secondsOf } from '@dfs/shared/serving';
import type { FileService } from '../../files/file-types.ts';
import type { BindCondition } from '../../metadata/metadata-repository.ts';

/** Rejects with `precondition-failed` for the `If` of RFC 4918 section 10.4: to change something in spite of a condition that was not judged would be to lie. */
function refuseIf(headers: IncomingHttpHeaders): void {
  if (headers['if'] === undefined) return;
  throw new StoreError('precondition-failed', 'The header If is not judged: nothing is locked.', {
    hint: 'Leave it out, or use If-Match with an entity tag.',
  });
}

/** The entity-tag conditions of a PUT or DELETE, which the store judges in the transaction that binds or removes the name. */
export function readWriteCondition(headers: IncomingHttpHeaders): BindCondition {
  refuseIf(headers);
  const ifMatch = parseEntityTags('If-Match', headers['if-match']);
  const ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match']);
  return {
    ...(ifMatch === undefined
      ? {}
      : {
          // A weak tag matches nothing strongly.
          ifMatch:
            ifMatch === '*' ? '*' : ifMatch.filter((tag) => !tag.isWeak).map((tag) => tag.text),
        }),
    ...(ifNoneMatch === undefined
      ? {}
      : { ifNoneMatch: ifNoneMatch === '*' ? '*' : ifNoneMatch.map((tag) => tag.text) }),
  };
}

/**
 * The conditions of a PUT or DELETE of this path. `If-Unmodified-Since` is turned into `If-Match` with the content that was found not to be modified,
 * so that the store judges it in its transaction too. Rejects with `precondition-failed`.
 */
export async function writeConditionOf(
  headers: IncomingHttpHeaders,
  path: FilePath,
  files: Pick<FileService, 'find'>,
): Promise<BindCondition> {
  const condition = readWriteCondition(headers);
  const unmodifiedSince = dateOf(headers['if-unmodified-since']);
  if (unmodifiedSince === undefined || condition.ifMatch !== undefined) return condition;
  const named = await files.find({ path });
  if (!named) return condition;
  if (secondsOf(named.entry.modifiedAtMs) > unmodifiedSince) {
    throw new StoreError('precondition-failed', `${path} was modified since.`);
  }
  return { ...condition, ifMatch: [named.file.md5] };
}
