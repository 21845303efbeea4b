import { type FilePath, StoreError } from '@dfs/shared';
import { momentOf } from '../dates.ts';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { print, printJson } from '../output.ts';
import { isAbsence, kindOf, type Source, sourcesOf } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

export interface MakeDirectoryOptions {
  readonly parents?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

/** `dfs mkdir`: makes directories; with `-p` the missing ones above them too. */
export async function makeDirectories(
  session: Session,
  words: readonly string[],
  options: MakeDirectoryOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('mkdir', options);
  const made: { path: FilePath }[] = [];
  for (const word of words) {
    try {
      const path = session.path(word);
      const isTold = options.verbose && !options.json;
      if (options.parents && isTold) await makeEach(session, client, word);
      else {
        const { isNew } = await client.makeDirectory(path, { parents: options.parents ?? false });
        if (isNew) made.push({ path });
        if (isNew && isTold) print(`created directory ${namedInMessages(word)}`);
      }
    } catch (error) {
      const reason = whyNotMade(error, options);
      failures.add(error, `cannot create directory ${namedInMessages(word)}: ${reason}`);
    }
  }
  if (options.json) printJson(made);
  failures.end();
}

/** One after the other, to tell those that were missing. */
async function makeEach(session: Session, client: DfsClient, word: string): Promise<void> {
  const segments = word.replace(/\/+$/, '').split('/');
  for (let length = 1; length <= segments.length; length += 1) {
    const text = segments.slice(0, length).join('/');
    if (text === '') continue;
    const { isNew } = await client.makeDirectory(session.path(text), { parents: true });
    if (isNew) print(`created directory ${namedInMessages(text)}`);
  }
}

/** The store answers as RFC 4918 section 9.3 has it; people know the words of mkdir. */
function whyNotMade(error: unknown, { parents }: MakeDirectoryOptions): string {
  const kind = error instanceof StoreError ? error.kind : undefined;
  if (kind === 'method-not-allowed') return 'File exists';
  // A file may stand where -p needs a directory.
  if (kind === 'conflict') return parents ? 'Not a directory' : 'No such file or directory';
  return reasonOf(error);
}

export interface TouchOptions {
  /** False with `-c`. */
  readonly create: boolean;
  readonly date?: string;
  readonly reference?: string;
  readonly json?: boolean;
}

/** `dfs touch`: sets the time of modification; makes an empty file where nothing is. */
export async function touch(
  session: Session,
  words: readonly string[],
  options: TouchOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('touch', options);
  const failed = (word: string, error: unknown) =>
    failures.add(error, `cannot touch ${namedInMessages(word)}: ${whyNotTouched(error)}`);
  const modified = await timeFor(session, client, options);
  const touched: { path: FilePath }[] = [];
  const sources: Source[] = [];
  for (const word of words) {
    try {
      sources.push(...(await touchedBy(session, client, word)));
    } catch (error) {
      failed(word, error);
    }
  }
  for (const { text, path } of sources) {
    try {
      if (text.endsWith('/') && (await kindOf(client, path)) !== 'directory') {
        throw new StoreError('not-a-directory', `${path} is no directory.`);
      }
      await client.touch(path, { create: options.create, ...(modified ? { modified } : {}) });
      touched.push({ path });
    } catch (error) {
      if (options.create || !isAbsence(error)) failed(text, error);
    }
  }
  if (options.json) printJson(touched);
  failures.end();
}

/** A pattern that matches nothing is the name of a new file, as in the shell. */
async function touchedBy(session: Session, client: DfsClient, word: string): Promise<Source[]> {
  try {
    return await sourcesOf(session, client, word);
  } catch (error) {
    if (!isAbsence(error)) throw error;
    return [{ text: word, path: session.path(word) }];
  }
}

const whyNotTouched = (error: unknown) =>
  error instanceof StoreError && error.kind === 'conflict'
    ? 'No such file or directory'
    : reasonOf(error);

async function timeFor(
  session: Session,
  client: DfsClient,
  { date, reference }: TouchOptions,
): Promise<Date | undefined> {
  if (reference !== undefined) {
    return new Date((await client.stat(session.path(reference))).modified);
  }
  return date === undefined ? undefined : momentOf(date, new Date());
}
