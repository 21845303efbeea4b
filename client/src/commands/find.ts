import { baseNameOf, childOf, type FilePath, type FoundEntry } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { JsonList, Lines, shown } from '../output.ts';
import { allSources, type Source } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import { type Candidate, type FindTest, type FindTestOptions, findTest } from './find-tests.ts';

export interface FindOptions extends Omit<FindTestOptions, 'newer'> {
  readonly newer?: string;
  readonly empty?: boolean;
  readonly maxdepth?: number;
  readonly mindepth?: number;
  readonly print0?: boolean;
  readonly json?: boolean;
}

/** A name below a starting point and how many names deep; 0: the starting point itself. */
interface Walked {
  readonly entry: FoundEntry;
  readonly depth: number;
}

/** `dfs find`: the names below the starting points for which all tests hold, as they come: memory does not grow with the tree. */
export async function find(
  session: Session,
  words: readonly string[],
  options: FindOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('find', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `${namedInMessages(text)}: ${reasonOf(error)}`);
  const { newer, ...others } = options;
  const test = findTest(
    newer === undefined
      ? others
      : { ...others, newer: new Date((await client.stat(session.path(newer))).modified) },
    new Date(),
  );
  const printer = printerOf(options);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  for (const source of sources) {
    try {
      await findBelow(client, source, { options, test, print: printer.print });
    } catch (error) {
      // What was found before the failure is still told.
      failed(source.text, error);
    }
  }
  printer.end();
  failures.end();
}

async function findBelow(
  client: DfsClient,
  source: Source,
  { options, test, print }: { options: FindOptions; test: FindTest; print: Printer['print'] },
): Promise<void> {
  const { mindepth = 0, maxdepth, empty = false } = options;
  const prefixLength = source.path === '/' ? 0 : source.path.length;
  const textOf = (path: string) =>
    path === source.path ? source.text : source.text.replace(/\/$/, '') + path.slice(prefixLength);
  for await (const { entry, depth, isEmpty } of withEmptiness(walk(client, source, options))) {
    if (depth < mindepth) continue;
    if (empty && !(isEmpty && (await isSurelyEmpty(client, entry, depth === maxdepth)))) continue;
    const text = textOf(entry.path);
    const name = depth === 0 ? nameIn(source) : baseNameOf(entry.path as FilePath);
    const candidate: Candidate = { ...entry, text, name };
    if (test(candidate)) print(text, entry);
  }
}

/** The name of a starting point: what was written last, as find has it. */
const nameIn = ({ text }: Source) => text.replace(/\/+$/, '').replace(/^.*\//s, '') || '/';

/** The starting point, then all below it, depth first; to a depth that is limited by listings, so that nothing deeper is read. */
async function* walk(
  client: DfsClient,
  { path }: Source,
  { maxdepth }: FindOptions,
): AsyncGenerator<Walked, void, undefined> {
  const start = await client.stat(path);
  yield { entry: start as FoundEntry, depth: 0 };
  if (start.kind === 'file') return;
  if (maxdepth !== undefined) return yield* listedBelow(client, path, { depth: 1, maxdepth });
  const ownDepth = depthOf(path);
  for await (const entry of client.find(path)) {
    yield { entry, depth: depthOf(entry.path) - ownDepth };
  }
}

async function* listedBelow(
  client: DfsClient,
  directory: FilePath,
  { depth, maxdepth }: { depth: number; maxdepth: number },
): AsyncGenerator<Walked, void, undefined> {
  if (depth > maxdepth) return;
  for await (const { name, public: _public, contentType: _type, ...facts } of client.list(
    directory,
  )) {
    const path = childOf(directory, name);
    yield { entry: { path, ...facts }, depth };
    if (facts.kind === 'directory') {
      yield* listedBelow(client, path, { depth: depth + 1, maxdepth });
    }
  }
}

const depthOf = (path: string) => (path === '/' ? 0 : path.split('/').length - 1);

/** At the limit of the depth nothing below a directory was looked at. */
async function isSurelyEmpty(
  client: DfsClient,
  { kind, path }: FoundEntry,
  isAtLimit: boolean,
): Promise<boolean> {
  if (kind === 'file' || !isAtLimit) return true;
  return (await client.list(path, { pageSize: 1 }).next()).done === true;
}

/** A file is empty by its size, a directory when what comes next is not below it. */
async function* withEmptiness(
  walked: AsyncIterable<Walked>,
): AsyncGenerator<Walked & { isEmpty: boolean }, void, undefined> {
  let held: Walked | undefined;
  for await (const next of walked) {
    if (held) yield { ...held, isEmpty: next.depth <= held.depth };
    held = undefined;
    if (next.entry.kind === 'directory') held = next;
    else yield { ...next, isEmpty: next.entry.size === 0 };
  }
  if (held) yield { ...held, isEmpty: true };
}

interface Printer {
  readonly print: (text: string, entry: FoundEntry) => void;
  readonly end: () => void;
}

/** For programs names are as they are; a terminal does not obey them. */
function printerOf({ json, print0 }: FindOptions): Printer {
  if (json) {
    const list = new JsonList();
    const facts = ({ path, kind, modified, id, size, md5 }: FoundEntry) => ({
      path,
      kind,
      modified,
      id,
      size,
      md5,
    });
    return { print: (_, entry) => list.add(facts(entry)), end: () => list.end() };
  }
  const lines = new Lines();
  const end = print0 ? '\0' : '\n';
  const isSafe = !process.stdout.isTTY || print0;
  return {
    print: (text) => lines.write((isSafe ? text : shown(text)) + end),
    end: () => lines.flush(),
  };
}
