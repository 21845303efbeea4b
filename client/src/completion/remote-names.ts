import type { FilePath } from '@dfs/shared';
import type { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

/** More would fill a screen, and nobody reads them. */
const candidatesMax = 500;

/**
 * The words that a path of the store which is being typed may become: a directory's ends in a slash. However large the directory, only what starts
 * like the typed name is asked for. Rejects as the store does.
 */
export async function remoteNames(
  session: Session,
  client: DfsClient,
  typed: string,
  { onlyDirectories = false }: { onlyDirectories?: boolean } = {},
): Promise<string[]> {
  const slash = typed.lastIndexOf('/') + 1;
  const folder = typed.slice(0, slash);
  const start = typed.slice(slash);
  const path: FilePath = session.path(folder === '' ? '.' : folder);
  const words: string[] = [];
  for await (const { name, kind } of client.list(path, {
    pageSize: candidatesMax,
    ...(start === '' ? {} : { after: justBefore(start) }),
  })) {
    if (!name.startsWith(start)) {
      // Names come in byte order.
      if (Buffer.compare(Buffer.from(name), Buffer.from(start)) > 0) break;
      continue;
    }
    if (kind === 'file' && onlyDirectories) continue;
    words.push(folder + name + (kind === 'directory' ? '/' : ''));
    if (words.length === candidatesMax) break;
  }
  return words;
}

/** The names of nodes that start like the typed one. */
export async function nodeNames(client: DfsClient, typed: string): Promise<string[]> {
  const names = (await client.nodes.list()).map(({ name }) => name);
  return names.filter((name) => name.startsWith(typed)).toSorted();
}

/** A name in byte order before all that start like this one, and after most others. */
function justBefore(start: string): string {
  const characters = [...start];
  const last = characters.pop()?.codePointAt(0) ?? 0;
  // What lies between is no character by itself.
  const before = last === 0xe000 ? 0xd7ff : last - 1;
  if (before <= 0) return characters.join('');
  return `${characters.join('')}${String.fromCodePoint(before)}\u{10ffff}`;
}
