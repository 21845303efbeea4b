import type { IncomingHttpHeaders } from 'node:http';
import { type FilePath, StoreError } from '@dfs/shared';
import type { FileService } from '../../files/file-types.ts';
import type { BindCondition } from '../../metadata/metadata-repository.ts';
import { matchesStrongly, matchesWeakly, parseEntityTags } from './etag.ts';

/** What conditions are judged by. */
export interface Validator {
  readonly md5: string;
  readonly modifiedAtMs: number;
}

/** HTTP knows seconds only. */
const secondsOf = (ms: number) => Math.floor(ms / 1000);

/** The three forms of RFC 9110 section 5.6.7; the last has no zone and means UTC. */
const httpDate =
  /^[A-Z][a-z]{2,8}(?:, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT|( [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}))$/;

/** The time of an HTTP date in seconds, or undefined for what is none: conditions with such a date are ignored. */
function dateOf(header: string | undefined): number | undefined {
  const match = header === undefined ? null : httpDate.exec(header.trim());
  if (!match) return undefined;
  const ms = Date.parse(match[1] === undefined ? match[0] : `${match[0]} GMT`);
  return Number.isNaN(ms) ? undefined : secondsOf(ms);
}

/**
 * Judges the conditions of a GET or HEAD in the order of RFC 9110 section 13.2.2: `failed` is 412, `not-modified` 304. Pure.
 * Rejects with `invalid-request` for a header that is no list of tags.
 */
export function judgeRead(
  headers: IncomingHttpHeaders,
  validator: Validator,
): 'send' | 'not-modified' | 'failed' {
  const modified = secondsOf(validator.modifiedAtMs);
  const ifMatch = parseEntityTags('If-Match', headers['if-match']);
  if (ifMatch) {
    if (!matchesStrongly(ifMatch, validator.md5)) return 'failed';
  } else {
    const unmodifiedSince = dateOf(headers['if-unmodified-since']);
    if (unmodifiedSince !== undefined && modified > unmodifiedSince) return 'failed';
  }
  const ifNoneMatch = parseEntityTags('If-None-Match', headers['if-none-match']);
  if (ifNoneMatch) return matchesWeakly(ifNoneMatch, validator.md5) ? 'not-modified' : 'send';
  const modifiedSince = dateOf(headers['if-modified-since']);
  return modifiedSince !== undefined && modified <= modifiedSince ? 'not-modified' : 'send';
}

/**
 * Whether `Range` counts: without `If-Range`, or when that names exactly the content that there is (RFC 9110 section 13.1.5). A date proves it only when
 * the content is at least a second older than now, as it could have changed twice within that second. Pure.
 */
export function isRangeWanted(
  ifRange: string | undefined,
  validator: Validator,
  nowMs: number,
): boolean {
  if (ifRange === undefined) return true;
  const text = ifRange.trim();
  if (text === `"${validator.md5}"`) return true;
  const modified = secondsOf(validator.modifiedAtMs);
  return dateOf(text) === modified && secondsOf(nowMs) - modified >= 1;
}

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
