import {
  childOf,
  type FilePath,
  type ListAnswerEntry,
  namesOf,
  parentOf,
  StoreError,
} from '@dfs/shared';
import { namedInMessages } from '../messages.ts';
import type { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { isPattern, type NamePattern, namePattern, unescaped } from './name-pattern.ts';

/** A name of the store that a command is to work on, and how the user wrote it. */
export interface Source {
  readonly text: string;
  readonly path: FilePath;
}

/**
 * What a word of the command line names: itself, or, when it holds `*`, `?` or `[…]`, all that it matches, in byte order. A name that is there as
 * it is written is meant literally: `report [1].pdf` needs no escaping. `**` stands for any number of directories. As in the shell, a star does not
 * match a leading dot. Rejects with `not-found` when a pattern matches nothing.
 */
export async function sourcesOf(
  session: Session,
  client: DfsClient,
  word: string,
): Promise<Source[]> {
  if (session.literals.has(word) || !isPattern(word)) {
    return [{ text: word, path: session.path(word) }];
  }
  if (await exists(client, session.path(word))) return [{ text: word, path: session.path(word) }];
  const found: Source[] = [];
  const start = startOf(word);
  const base = { text: start.text, path: session.path(start.text || '.') };
  await expand({ client, onlyDirectories: word.endsWith('/'), found }, base, start.rest);
  if (found.length > 0) return found;
  throw new StoreError('not-found', `no match: ${namedInMessages(word)}`, {
    hint: 'Look at what is there with "dfs ls".',
  });
}

/** The same of several words, one after the other. What names nothing is told to `onFailure`, and the rest goes on. */
export async function allSources(
  session: Session,
  client: DfsClient,
  words: readonly string[],
  onFailure: (error: unknown, word: string) => void,
): Promise<Source[]> {
  const sources: Source[] = [];
  for (const word of words) {
    try {
      sources.push(...(await sourcesOf(session, client, word)));
    } catch (error) {
      onFailure(error, word);
    }
  }
  return sources;
}

interface Expansion {
  readonly client: DfsClient;
  readonly onlyDirectories: boolean;
  readonly found: Source[];
}

/** The part of a word before its first pattern, without backslashes, and the segments from there on. */
function startOf(word: string): { text: string; rest: string[] } {
  const segments = word.replace(/\/+$/, '').split('/');
  const first = segments.findIndex(isPattern);
  const text = segments.slice(0, first).map(unescaped).join('/');
  return { text: text === '' && word.startsWith('/') ? '/' : text, rest: segments.slice(first) };
}

async function expand(
  expansion: Expansion,
  base: Source,
  [segment, ...rest]: readonly string[],
): Promise<void> {
  if (segment === undefined) {
    expansion.found.push(base);
    return;
  }
  if (segment === '' || segment === '.') return expand(expansion, base, rest);
  if (segment === '..') {
    const above = { text: joined(base.text, segment), path: parentOf(base.path) };
    return expand(expansion, above, rest);
  }
  if (segment === '**') return expandDeep(expansion, base, rest);
  if (!isPattern(segment)) {
    const next = childSource(base, unescaped(segment));
    const isWanted = rest.length > 0 || (await exists(expansion.client, next.path));
    return isWanted ? expand(expansion, next, rest) : undefined;
  }
  const pattern = namePattern(segment);
  for await (const { name, kind } of listed(expansion.client, base.path)) {
    if (!pattern.matches(name)) continue;
    if (kind === 'file' && (rest.length > 0 || expansion.onlyDirectories)) continue;
    await expand(expansion, childSource(base, name), rest);
  }
}

/** `**`: one search over all that is below. */
async function expandDeep(
  { client, found, onlyDirectories }: Expansion,
  base: Source,
  rest: readonly string[],
): Promise<void> {
  const patterns = ['**', ...rest].map((segment) =>
    segment === '**' ? ('**' as const) : namePattern(segment),
  );
  const depth = namesOf(base.path).length;
  const kind = onlyDirectories ? { kind: 'directory' as const } : {};
  for await (const entry of nothingIfAbsent(client.find(base.path, kind))) {
    const names = namesOf(entry.path as FilePath).slice(depth);
    if (fitsAll(patterns, names)) {
      found.push({ text: joined(base.text, names.join('/')), path: entry.path as FilePath });
    }
  }
}

/** Whether names fit patterns one by one, where `**` takes any number of names without a leading dot. */
function fitsAll(patterns: readonly (NamePattern | '**')[], names: readonly string[]): boolean {
  // reachable[n]: the patterns so far can take exactly the first n names.
  let reachable = [true, ...names.map(() => false)];
  for (const [index, pattern] of patterns.entries()) {
    const isLast = index === patterns.length - 1;
    const next = names.map(() => false).concat(false);
    for (const [taken, canTake] of reachable.entries()) {
      if (!canTake) continue;
      if (pattern !== '**') {
        if (taken < names.length && pattern.matches(names[taken] ?? '')) next[taken + 1] = true;
        continue;
      }
      // At the end it stands for what is below, and for something.
      if (!isLast) next[taken] = true;
      for (let end = taken; end < names.length && !names[end]?.startsWith('.'); end += 1) {
        next[end + 1] = true;
      }
    }
    reachable = next;
  }
  return reachable[names.length] ?? false;
}

const joined = (text: string, name: string) =>
  text === '' || text.endsWith('/') ? `${text}${name}` : `${text}/${name}`;

const childSource = (base: Source, name: string): Source => ({
  text: joined(base.text, name),
  path: childOf(base.path, name),
});

const listed = (client: DfsClient, path: FilePath): AsyncIterable<ListAnswerEntry> =>
  nothingIfAbsent(client.list(path));

/** Where there is no such directory nothing matches. */
async function* nothingIfAbsent<T>(items: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* items;
  } catch (error) {
    if (!isAbsence(error)) throw error;
  }
}

async function exists(client: DfsClient, path: FilePath): Promise<boolean> {
  return (await kindOf(client, path)) !== undefined;
}

/** What a name stands for; undefined when nothing has it. */
export async function kindOf(
  client: DfsClient,
  path: FilePath,
): Promise<'file' | 'directory' | undefined> {
  try {
    return (await client.stat(path)).kind;
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
}

export const isAbsence = (error: unknown) =>
  error instanceof StoreError && (error.kind === 'not-found' || error.kind === 'not-a-directory');
