import type { IncomingHttpHeaders } from 'node:http';
import { matchesStrongly, matchesWeakly, parseEntityTags } from './etag.ts';

/** What conditions are judged by. */
export interface Validator {
  readonly md5: string;
  readonly modifiedAtMs: number;
}

/** HTTP knows seconds only. */
export const secondsOf = (ms: number) => Math.floor(ms / 1000);

/** The three forms of RFC 9110 section 5.6.7; the last has no zone and means UTC. */
const httpDate =
  /^[A-Z][a-z]{2,8}(?:, \d\d[ -][A-Z][a-z]{2}[ -]\d{2,4} \d\d:\d\d:\d\d GMT|( [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}))$/;

/** The time of an HTTP date in seconds, or undefined for what is none: conditions with such a date are ignored. */
export function dateOf(header: string | undefined): number | undefined {
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
