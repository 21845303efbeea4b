import { rootPath, StoreError } from '@dfs/shared';
import { namedInMessages, reasonOf } from '../messages.ts';
import { print, printJson, shown } from '../output.ts';
import { isAbsence, sourcesOf } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

/** `dfs cd`: remembers where paths start from. Only a directory that is there is taken; `-` goes back. */
export async function changeDirectory(session: Session, word: string | undefined): Promise<void> {
  const isBack = word === '-';
  if (isBack && session.directory.previous === undefined) {
    throw new StoreError('invalid-request', 'cd: no previous directory');
  }
  const text = isBack ? (session.directory.previous ?? rootPath) : (word ?? rootPath);
  const client = new DfsClient(session.api);
  try {
    const [source, ...others] = await sourcesOf(session, client, text);
    if (!source || others.length > 0) throw new StoreError('invalid-request', 'too many arguments');
    // The root is always there, and "dfs cd /" works without a store.
    if (source.path !== rootPath && (await client.stat(source.path)).kind !== 'directory') {
      throw new StoreError('not-a-directory', `${source.path} is no directory.`);
    }
    session.directory.change(source.path);
    if (isBack) print(shown(source.path));
  } catch (error) {
    const isHere = isAbsence(error) || (error as StoreError).kind === 'invalid-request';
    if (!isHere) throw error;
    const { kind, hint } = error as StoreError;
    const message = `cd: ${namedInMessages(text)}: ${reasonOf(error)}`;
    throw new StoreError(kind, message, hint === undefined ? {} : { hint });
  }
}

/** `dfs pwd`. */
export function printDirectory(session: Session, { json }: { json?: boolean }): void {
  const { path } = session.directory;
  if (json) printJson({ path });
  else print(process.stdout.isTTY ? shown(path) : path);
}
