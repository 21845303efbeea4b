import { readdirSync, statSync } from 'node:fs';
import { isPattern, namePattern, unescaped } from './name-pattern.ts';

/**
 * The files of this machine that a word matches, for where no shell did it before; the word itself when it is no pattern or matches nothing, as in
 * the shell.
 */
export function localSourcesOf(word: string): string[] {
  if (!isPattern(word) || isThere(word)) return [word];
  const [first = '', ...rest] = word.split('/');
  // Of an absolute path the first segment is empty.
  const found = first === '' ? expand('/', rest) : expand('', [first, ...rest]);
  return found.length === 0 ? [word] : found;
}

function expand(folder: string, [segment, ...rest]: readonly string[]): string[] {
  if (segment === undefined) return [folder.replace(/(.)\/$/, '$1')];
  const next = (name: string) => (rest.length > 0 ? `${folder}${name}/` : `${folder}${name}`);
  if (!isPattern(segment)) {
    const name = next(unescaped(segment));
    return rest.length > 0 || isThere(name) ? expand(name, rest) : [];
  }
  const pattern = namePattern(segment);
  const names = namesIn(folder).filter((name) => pattern.matches(name));
  return names.toSorted(byBytes).flatMap((name) => expand(next(name), rest));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder === '' ? '.' : folder);
  } catch {
    // No folder, or one that may not be read: nothing in it matches.
    return [];
  }
}

const isThere = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined;
const byBytes = (one: string, other: string) =>
  Buffer.compare(Buffer.from(one), Buffer.from(other));
