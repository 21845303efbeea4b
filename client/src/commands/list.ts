import { childOf, type FilePath, type ListAnswerEntry, StoreError } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { bytesText, JsonList, Lines, shown, timeText } from '../output.ts';
import { allSources, type Source } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

export interface ListOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
  /** Directories themselves instead of what is in them. */
  readonly directory?: boolean;
  readonly humanReadable?: boolean;
  /** By time or by size instead of by name; such a listing is held in memory. */
  readonly time?: boolean;
  readonly size?: boolean;
  readonly reverse?: boolean;
  readonly json?: boolean;
}

interface Listing {
  readonly client: DfsClient;
  readonly options: ListOptions;
  readonly failures: Failures;
  readonly lines: Lines;
  readonly json: JsonList;
}

/** An entry under the name that is shown, and its path. */
type Shown = Omit<ListAnswerEntry, 'public'> & {
  readonly path: FilePath;
  readonly public?: boolean;
};

/** `dfs ls`: files as they are, then directories with what is in them, page by page; with `--json` all in one array. */
export async function list(
  session: Session,
  words: readonly string[],
  options: ListOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('ls', options);
  const listing: Listing = { client, options, failures, lines: new Lines(), json: new JsonList() };
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot access ${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  sources.sort((one, other) => Buffer.compare(Buffer.from(one.text), Buffer.from(other.text)));
  const directories: Source[] = [];
  const own: Shown[] = [];
  for (const source of sources) {
    try {
      const entry = await client.stat(source.path);
      if (entry.kind === 'directory' && !options.directory) directories.push(source);
      else own.push({ ...entry, name: nameAs(source, entry.kind), path: source.path });
    } catch (error) {
      failed(source.text, error);
    }
  }
  for (const entry of sorted(own, options)) show(listing, entry);
  const isHeaded = sources.length > 1 || words.length > 1 || (options.recursive ?? false);
  let isFirst = own.length === 0;
  for (const directory of directories) {
    await listDirectory(listing, directory, { isHeaded, isFirst });
    isFirst = false;
  }
  // A failure of everything leaves standard output empty.
  if (options.json && (failures.count === 0 || sources.length > 0)) listing.json.end();
  listing.lines.flush();
  failures.end();
}

function nameAs({ text, path }: Source, kind: 'file' | 'directory'): string {
  if (kind === 'file' && text.endsWith('/')) {
    throw new StoreError('not-a-directory', `${path} is no directory.`);
  }
  return kind === 'directory' && text !== '/' ? text.replace(/\/$/, '') : text;
}

async function listDirectory(
  listing: Listing,
  { text, path }: Source,
  { isHeaded, isFirst }: { isHeaded: boolean; isFirst: boolean },
): Promise<void> {
  const { client, options, lines, failures } = listing;
  if (isHeaded && !options.json) lines.write(`${isFirst ? '' : '\n'}${shown(text)}:\n`);
  const below: string[] = [];
  try {
    for await (const entry of inOrder(client.list(path), options)) {
      show(listing, { ...entry, path: childOf(path, entry.name) });
      if (options.recursive && entry.kind === 'directory') below.push(entry.name);
    }
  } catch (error) {
    // It may go while it is listed.
    failures.add(error, `reading directory ${namedInMessages(text)}: ${reasonOf(error)}`);
  }
  for (const name of below) {
    const source = { text: `${text.replace(/\/$/, '')}/${name}`, path: childOf(path, name) };
    await listDirectory(listing, source, { isHeaded, isFirst: false });
  }
}

async function* inOrder(
  entries: AsyncIterable<ListAnswerEntry>,
  options: ListOptions,
): AsyncGenerator<ListAnswerEntry, void, undefined> {
  if (!options.time && !options.size && !options.reverse) return yield* entries;
  const all: ListAnswerEntry[] = [];
  for await (const entry of entries) all.push(entry);
  yield* sorted(all, options);
}

/** Newest first, largest first, else as they come. */
function sorted<T extends { readonly modified: string; readonly size?: number }>(
  entries: readonly T[],
  options: ListOptions,
): T[] {
  const order = (one: T, other: T) => {
    if (options.size) return (other.size ?? 0) - (one.size ?? 0);
    return options.time ? other.modified.localeCompare(one.modified) : 0;
  };
  const inOrder = entries.toSorted(order);
  return options.reverse ? inOrder.toReversed() : inOrder;
}

function show({ options, lines, json }: Listing, entry: Shown): void {
  if (options.json) json.add(entry);
  else lines.write(`${options.long ? longLine(entry, options) : nameOf(entry)}\n`);
}

const nameOf = ({ name, kind }: Shown) =>
  shown(name) + (kind === 'directory' && !name.endsWith('/') ? '/' : '');

function longLine(entry: Shown, { humanReadable }: ListOptions): string {
  const sizeText = humanReadable ? bytesText : String;
  const size = entry.size === undefined ? '-' : sizeText(entry.size);
  const kind = `${entry.kind === 'directory' ? 'd' : '-'}${entry.public ? 'p' : '-'}`;
  const width = humanReadable ? 9 : 14;
  return `${kind}  ${size.padStart(width)}  ${timeText(entry.modified)}  ${nameOf(entry)}`;
}
