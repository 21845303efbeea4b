import { baseNameOf, childOf, type FilePath, rootPath, StoreError } from '@dfs/shared';
import { type Failures, namedInMessages, reasonOf } from '../messages.ts';
import { isPattern } from '../remote-paths/name-pattern.ts';
import { allSources, kindOf, type Source, sourcesOf } from '../remote-paths/sources.ts';
import type { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

/** What `mv` and `cp` have in common: which source goes where, and what is refused before anything is touched. */

export interface TransferOptions {
  readonly targetDirectory?: string;
  readonly noTargetDirectory?: boolean;
  /** The last of `-f`, `-i` and `-n`. */
  readonly onTaken?: 'force' | 'interactive' | 'no-clobber';
  readonly verbose?: boolean;
  readonly json?: boolean;
}

export type Kind = 'file' | 'directory';

/** One source and the very name that it shall have. */
export interface Transfer {
  readonly from: Source;
  readonly to: Source;
}

/** What a transfer meets at both ends. */
export interface TransferEnds {
  readonly fromKind: Kind;
  readonly toKind: Kind | undefined;
}

/**
 * Whether this transfer is not to be done because an earlier one of the same call made the name (`made`: from new name to old). That is told as a failure, but
 * not with `-n`, which leaves whatever is there.
 */
export function refuseJustMade(
  made: ReadonlyMap<FilePath, FilePath>,
  { from, to }: Transfer,
  { failures, options }: Pick<Asked, 'failures' | 'options'>,
): boolean {
  if (!made.has(to.path)) return false;
  if (options.onTaken !== 'no-clobber') {
    const text = `will not overwrite just-created ${namedInMessages(to.text)} with ${namedInMessages(from.text)}`;
    failures.refuse('conflict', text);
  }
  return true;
}

interface Asked {
  readonly session: Session;
  readonly client: DfsClient;
  readonly failures: Failures;
  readonly command: 'mv' | 'cp';
  readonly words: readonly string[];
  readonly options: TransferOptions;
}

/** The transfers that the words ask for. Throws when they make no sense as a whole; single sources that are not there are told and left out. */
export async function transfersOf(asked: Asked): Promise<Transfer[]> {
  const { session, client, failures, options } = asked;
  const { sourceWords, targetWord } = splitWords(asked);
  const sources = await allSources(session, client, sourceWords, (error, word) => {
    failures.add(error, `cannot stat ${namedInMessages(word)}: ${reasonOf(error)}`);
  });
  const target = await targetOf(asked, targetWord);
  if (options.noTargetDirectory) {
    if (sourceWords.length > 1 || sources.length > 1) {
      throw usage(
        asked.command,
        `extra operand ${namedInMessages(sources[1]?.text ?? sourceWords[1] ?? '')}`,
      );
    }
    return sources.map((from) => ({ from, to: target }));
  }
  const kind = await kindOf(client, target.path);
  const mustBeDirectory =
    options.targetDirectory !== undefined || sourceWords.length > 1 || sources.length > 1;
  if (kind === 'directory') return sources.map((from) => ({ from, to: inside(target, from) }));
  if (!mustBeDirectory) return sources.map((from) => ({ from, to: target }));
  const isThere = kind !== undefined;
  throw new StoreError(
    isThere ? 'not-a-directory' : 'not-found',
    `${asked.command}: target ${namedInMessages(target.text)}: ${isThere ? 'Not a directory' : 'No such file or directory'}`,
    isThere ? {} : { hint: `Make it first: dfs mkdir ${namedInMessages(target.text)}` },
  );
}

function splitWords({ command, words, options }: Asked): {
  sourceWords: string[];
  targetWord: string;
} {
  const last = words.at(-1);
  if (last === undefined) throw usage(command, 'missing file operand');
  if (options.targetDirectory !== undefined) {
    if (options.noTargetDirectory) throw usage(command, '-t and -T cannot be combined');
    return { sourceWords: [...words], targetWord: options.targetDirectory };
  }
  if (words.length === 1) {
    throw usage(command, `missing destination file operand after ${namedInMessages(last)}`);
  }
  return { sourceWords: words.slice(0, -1), targetWord: last };
}

const usage = (command: string, message: string) =>
  new StoreError('invalid-request', `${command}: ${message}`, {
    hint: 'Add --help to see how it is called.',
  });

/** A target may be a pattern for one name, to save typing. */
async function targetOf({ session, client, command }: Asked, word: string): Promise<Source> {
  if (!isPattern(word)) return { text: word, path: session.path(word) };
  const [target, ...others] = await sourcesOf(session, client, word);
  if (target && others.length === 0) return target;
  throw usage(command, `target ${namedInMessages(word)} matches several names`);
}

/** The name that a source gets in a directory. Its own: of `.` and `..` too, which are resolved by now. */
function inside(target: Source, from: Source): Source {
  const name = baseNameOf(from.path);
  // The root has no name; it is refused as a source, in words of its own.
  if (name === '') return target;
  return { text: `${target.text.replace(/\/$/, '')}/${name}`, path: childOf(target.path, name) };
}

/** Looks at both ends of a transfer. Throws what makes it impossible, worded as the end of a line. */
export async function endsOf(
  client: DfsClient,
  { from, to }: Transfer,
  verb: 'move' | 'copy',
): Promise<TransferEnds> {
  const fromName = namedInMessages(from.text);
  const toName = namedInMessages(to.text);
  const fromKind = await kindOf(client, from.path);
  if (fromKind === undefined) {
    throw new StoreError('not-found', `cannot stat ${fromName}: No such file or directory`);
  }
  if (fromKind === 'file' && from.text.endsWith('/')) {
    throw new StoreError('not-a-directory', `cannot stat ${fromName}: Not a directory`);
  }
  if (from.path === to.path) {
    throw new StoreError('conflict', `${fromName} and ${toName} are the same file`);
  }
  if (fromKind === 'directory' && isBelow(to.path, from.path)) {
    const message =
      verb === 'move'
        ? `cannot move ${fromName} to a subdirectory of itself, ${toName}`
        : `cannot copy a directory, ${fromName}, into itself, ${toName}`;
    throw new StoreError('conflict', message);
  }
  const toKind = await kindOf(client, to.path);
  if (toKind === 'directory' && fromKind === 'file') {
    throw new StoreError(
      'is-a-directory',
      `cannot overwrite directory ${toName} with non-directory ${fromName}`,
    );
  }
  if (toKind === 'file' && fromKind === 'directory') {
    throw new StoreError(
      'not-a-directory',
      `cannot overwrite non-directory ${toName} with directory ${fromName}`,
    );
  }
  if (toKind === undefined && fromKind === 'file' && to.text.endsWith('/')) {
    throw new StoreError(
      'not-a-directory',
      `cannot ${verb === 'move' ? `move ${fromName} to` : 'create regular file'} ${toName}: Not a directory`,
    );
  }
  return { fromKind, toKind };
}

export const isBelow = (path: FilePath, directory: FilePath) =>
  path !== directory && (directory === rootPath || path.startsWith(`${directory}/`));

/** The store's answer to a transfer as the reason in a line: 409 is a parent that is missing (RFC 4918 sections 9.8.5 and 9.9.4). */
export const whyNotTransferred = (error: unknown) =>
  error instanceof StoreError && error.kind === 'conflict'
    ? 'No such file or directory'
    : reasonOf(error);
