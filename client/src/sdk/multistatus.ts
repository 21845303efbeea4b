import { type FilePath, parseUrlPath, StoreError } from '@dfs/shared';

/** A part of a recursive copy that failed. */
export interface CopyFailure {
  readonly path: string;
  readonly error: string;
}

/**
 * The failures that a 207 answer (RFC 4918 section 13) tells, as this project's store writes it: one at least, each with its path and the reason. Throws `internal` when it cannot be
 * read, or names no part: some failed, and nobody must take the copy for whole.
 */
export function copyFailuresOf(xml: string): CopyFailure[] {
  const parts = [...xml.matchAll(/<(?:\w+:)?response\b[^>]*>(.*?)<\/(?:\w+:)?response>/gs)];
  if (parts.length === 0) throw unreadable();
  return parts.map(([, response = '']) => {
    const error = textOf(response, 'responsedescription') ?? textOf(response, 'status') ?? '';
    return { path: pathOf(response), error: error.replace(/^HTTP\/\S+ /, '') };
  });
}

function pathOf(response: string): FilePath {
  const target = textOf(response, 'href')?.replace(/^https?:\/\/[^/]*/, '');
  if (!target?.startsWith('/fs/')) throw unreadable();
  try {
    return parseUrlPath(target.slice('/fs'.length)).path;
  } catch (cause) {
    throw unreadable(cause);
  }
}

const unreadable = (cause?: unknown) =>
  new StoreError('internal', 'The store copied only a part, and its answer does not tell which.', {
    hint: 'Compare the copy with its source, and look into the log of the master.',
    ...(cause === undefined ? {} : { cause }),
  });

const textOf = (xml: string, name: string) => {
  const text = new RegExp(`<(?:\\w+:)?${name}\\b[^>]*>(.*?)</(?:\\w+:)?${name}>`, 's').exec(
    xml,
  )?.[1];
  return text === undefined ? undefined : unescaped(text.trim());
};

const entities: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  amp: '&',
};

const unescaped = (text: string) =>
  text.replace(/&(lt|gt|quot|apos|amp|#\d+|#x[0-9a-f]+);/gi, (whole, name: string) => {
    if (!name.startsWith('#')) return entities[name.toLowerCase()] ?? whole;
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return String.fromCodePoint(code);
  });
