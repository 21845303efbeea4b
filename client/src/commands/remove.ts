import { type FilePath, parentOf, rootPath, StoreError } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { print, printJson, shown } from '../output.ts';
import { isYes } from '../questions.ts';
import { allSources, isAbsence, type Source } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

export interface RemoveOptions {
  readonly recursive?: boolean;
  readonly dir?: boolean;
  /** The last of `-f`, `-i` and `-I`. */
  readonly asks?: 'force' | 'interactive' | 'once';
  readonly force?: boolean;
  readonly verbose?: boolean;
  /** Past the trash. */
  readonly forever?: boolean;
  readonly json?: boolean;
}

interface Removal {
  readonly session: Session;
  readonly client: DfsClient;
  readonly options: RemoveOptions;
  readonly failures: Failures;
  readonly removed: { path: FilePath }[];
}

/** `dfs rm`: removes files, and with `-r` directories whole, to the trash. Goes on after a failure. */
export async function remove(
  session: Session,
  words: readonly string[],
  options: RemoveOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('rm', options);
  const isForced = options.asks === 'force';
  if (words.length === 0 && !isForced) {
    throw new StoreError('invalid-request', 'rm: missing operand', {
      hint: 'Name what to remove: dfs rm report.pdf',
    });
  }
  const sources = await allSources(session, client, words, (error, word) => {
    if (!isForced || !isAbsence(error)) failures.add(error, cannot(word, error));
  });
  const removal = { session, client, options, failures, removed: [] };
  if (!(await isAgreed(session, sources, options))) return failures.end();
  for (const source of sources) await removeOne(removal, source);
  if (options.json) printJson(removal.removed);
  failures.end();
}

const cannot = (text: string, error: unknown) =>
  `cannot remove ${namedInMessages(text)}: ${reasonOf(error)}`;

/** `-I`: one question for many, or for whole directories. */
async function isAgreed(
  session: Session,
  sources: readonly Source[],
  { asks, recursive }: RemoveOptions,
): Promise<boolean> {
  if (asks !== 'once' || (sources.length <= 3 && !recursive)) return true;
  const what = sources.length === 1 ? '1 argument' : `${sources.length} arguments`;
  return isYes(await session.ask(`dfs rm: remove ${what}${recursive ? ' recursively' : ''}? `));
}

async function removeOne(removal: Removal, source: Source): Promise<void> {
  const { failures, options } = removal;
  if (/(^|\/)\.{1,2}\/?$/.test(source.text)) {
    const text = `refusing to remove '.' or '..' directory: skipping ${namedInMessages(source.text)}`;
    return failures.refuse('invalid-request', text);
  }
  if (source.path === rootPath) {
    const text = "it is dangerous to operate recursively on '/': the whole store would go";
    return failures.refuse('invalid-request', text);
  }
  try {
    await removeAsked(removal, source);
  } catch (error) {
    if (options.asks === 'force' && isAbsence(error)) return;
    failures.add(error, cannot(source.text, error));
  }
}

async function removeAsked(removal: Removal, source: Source): Promise<void> {
  const { client, options } = removal;
  const needsKind = options.verbose || options.asks === 'interactive' || source.text.endsWith('/');
  const kind = needsKind ? (await client.stat(source.path)).kind : undefined;
  if (kind === 'file' && source.text.endsWith('/')) {
    throw new StoreError('not-a-directory', `${source.path} is no directory.`);
  }
  if (kind === 'directory' && !options.recursive && !options.dir) {
    throw new StoreError('is-a-directory', `${source.path} is a directory.`);
  }
  if (options.asks !== 'interactive') return removeNow(removal, source, kind);
  await removeInteractively(removal, source, kind ?? 'file');
}

/** Asks about each name by itself, as `rm -ri` does. */
async function removeInteractively(
  removal: Removal,
  source: Source,
  kind: 'file' | 'directory',
): Promise<void> {
  const { session, client, options } = removal;
  const name = namedInMessages(source.text);
  if (kind === 'file') {
    if (isYes(await session.ask(`dfs rm: remove file ${name}? `)))
      await removeNow(removal, source, kind);
    return;
  }
  const isEmpty = (await client.list(source.path, { pageSize: 1 }).next()).done;
  if (!isEmpty && options.recursive) {
    if (!isYes(await session.ask(`dfs rm: descend into directory ${name}? `))) return;
    for await (const entry of client.list(source.path)) {
      const text = `${source.text.replace(/\/$/, '')}/${entry.name}`;
      const path = `${source.path}/${entry.name}` as FilePath;
      try {
        await removeInteractively(removal, { text, path }, entry.kind);
      } catch (error) {
        removal.failures.add(error, cannot(text, error));
      }
    }
    // What was kept keeps its directory.
    if (!(await client.list(source.path, { pageSize: 1 }).next()).done) return;
  }
  if (!isYes(await session.ask(`dfs rm: remove directory ${name}? `))) return;
  await removeNow(
    { ...removal, options: { ...options, recursive: false, dir: true } },
    source,
    kind,
  );
}

async function removeNow(
  { client, options, removed }: Removal,
  source: Source,
  kind: 'file' | 'directory' | undefined,
): Promise<void> {
  const trash = { trash: !options.forever };
  if (options.recursive) await client.remove(source.path, trash);
  else if (!options.dir) await client.remove(source.path, { expect: 'file', ...trash });
  else await removeFileOrEmpty(client, source.path, trash);
  removed.push({ path: source.path });
  if (options.verbose && !options.json) {
    print(`removed ${kind === 'directory' ? 'directory ' : ''}${namedInMessages(source.text)}`);
  }
}

async function removeFileOrEmpty(
  client: DfsClient,
  path: FilePath,
  trash: { trash: boolean },
): Promise<void> {
  try {
    await client.remove(path, { expect: 'file', ...trash });
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'is-a-directory') throw error;
    await removeEmpty(client, path, trash);
  }
}

async function removeEmpty(
  client: DfsClient,
  path: FilePath,
  { trash }: { trash: boolean },
): Promise<void> {
  try {
    await client.remove(path, { expect: 'empty-directory', trash });
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== 'conflict') throw error;
    throw new StoreError('conflict', notEmpty, { cause: error });
  }
}

const notEmpty = 'Directory not empty';

export interface RemoveDirectoryOptions {
  readonly parents?: boolean;
  readonly ignoreFailOnNonEmpty?: boolean;
  readonly verbose?: boolean;
  readonly json?: boolean;
}

/** `dfs rmdir`: removes directories that are empty; with `-p` the ones above them too. */
export async function removeDirectories(
  session: Session,
  words: readonly string[],
  options: RemoveDirectoryOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('rmdir', options);
  const failed = (text: string, error: unknown) => {
    const isFull = error instanceof StoreError && error.message === notEmpty;
    if (isFull && options.ignoreFailOnNonEmpty) return;
    failures.add(error, `failed to remove ${namedInMessages(text)}: ${reasonOf(error)}`);
  };
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  const removed: { path: FilePath }[] = [];
  for (const source of sources) {
    for (const { text, path } of options.parents ? withParents(source) : [source]) {
      if (options.verbose && !options.json) print(`removing directory, ${namedInMessages(text)}`);
      try {
        if (/(^|\/)\.\/?$/.test(text)) throw new StoreError('invalid-request', 'Invalid argument');
        await removeEmpty(client, path, { trash: true });
        removed.push({ path });
      } catch (error) {
        failed(shown(text), error);
        break;
      }
    }
  }
  if (options.json) printJson(removed);
  failures.end();
}

/** `a/b/c`, `a/b`, `a`: those that the user wrote. */
function withParents({ text, path }: Source): Source[] {
  const sources: Source[] = [];
  let at: Source = { text: text.replace(/\/+$/, ''), path };
  while (at.text !== '' && at.path !== rootPath) {
    sources.push(at);
    at = { text: at.text.replace(/\/?[^/]+$/, ''), path: parentOf(at.path) };
  }
  return sources;
}
