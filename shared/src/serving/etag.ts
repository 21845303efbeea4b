import { StoreError } from '../errors.ts';

/** The tag of a content: its MD5 in quotes, strong, since equal tags mean equal bytes. */
export const etagOf = (md5: string) => `"${md5}"`;

/** One entity tag as a client wrote it. */
export interface EntityTag {
  readonly isWeak: boolean;
  /** Without the quotes. */
  readonly text: string;
}

const tagsMax = 100;

/**
 * Parses `If-Match` or `If-None-Match` (RFC 9110 section 13.1.1). Undefined when the header is absent. Rejects with `invalid-request` for anything else.
 */
export function parseEntityTags(
  name: string,
  header: string | undefined,
): '*' | EntityTag[] | undefined {
  if (header === undefined) return undefined;
  if (header.trim() === '*') return '*';
  const tags: EntityTag[] = [];
  const tag = /\s*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(,|$)/gy;
  let isMore = true;
  while (isMore) {
    const match = tags.length < tagsMax ? tag.exec(header) : null;
    if (!match) {
      throw new StoreError('invalid-request', `The header ${name} holds no list of entity tags.`, {
        hint: 'Write "*" or tags in quotes with commas between them, as the header ETag gave them.',
      });
    }
    tags.push({ isWeak: match[1] !== undefined, text: match[2] ?? '' });
    isMore = match[3] === ',';
  }
  return tags;
}

/** Equal as bytes: what a weak tag never promises (RFC 9110 section 8.8.3.2). */
export const matchesStrongly = (tags: '*' | readonly EntityTag[], md5: string) =>
  tags === '*' || tags.some((tag) => !tag.isWeak && tag.text === md5);

export const matchesWeakly = (tags: '*' | readonly EntityTag[], md5: string) =>
  tags === '*' || tags.some((tag) => tag.text === md5);
