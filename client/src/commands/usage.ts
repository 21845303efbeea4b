import { childOf, type FilePath, parentOf } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { bytesText, JsonList, Lines, shown } from '../output.ts';
import { allSources, type Source } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

export interface UsageOptions {
  readonly summarize?: boolean;
  /** The last of `-b`, `-k` and `-h`. */
  readonly unit?: 'bytes' | 'kibibytes' | 'human-readable';
  readonly maxDepth?: number;
  readonly all?: boolean;
  readonly total?: boolean;
  readonly json?: boolean;
}

/** All that is in a directory, or one file. */
export interface Usage {
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
  readonly directories: number;
}

interface Told {
  readonly text: string;
  readonly usage: Usage;
}

/**
 * `dfs du`: bytes below directories. How deep it goes is limited with `-d`, or to nothing with `-s`: the store keeps the sums of every directory, so that
 * this costs no reading of what is below. Without a limit each directory is told after those in it, from one search.
 */
export async function usage(
  session: Session,
  words: readonly string[],
  options: UsageOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('du', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot access ${namedInMessages(text)}: ${reasonOf(error)}`);
  const list = new JsonList();
  const lines = new Lines();
  const tell = ({ text, usage: { path, bytes, files, directories } }: Told) => {
    if (options.json) list.add({ path, bytes, files, directories });
    else lines.write(`${sizeText(bytes, options)}\t${shown(text)}\n`);
  };
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  let totalBytes = 0;
  for (const source of sources) {
    try {
      let last: Told | undefined;
      for await (const told of usagesOf(client, source, options)) {
        tell(told);
        last = told;
      }
      // The starting point comes last.
      totalBytes += last?.usage.bytes ?? 0;
    } catch (error) {
      failed(source.text, error);
    }
  }
  if (options.total && !options.json) lines.write(`${sizeText(totalBytes, options)}\ttotal\n`);
  if (options.json && (failures.count === 0 || sources.length > 0)) list.end();
  lines.flush();
  failures.end();
}

function sizeText(bytes: number, { unit }: UsageOptions): string {
  if (unit === 'human-readable') return bytesText(bytes);
  return String(unit === 'kibibytes' ? Math.ceil(bytes / 1024) : bytes);
}

async function* usagesOf(
  client: DfsClient,
  source: Source,
  options: UsageOptions,
): AsyncGenerator<Told, void, undefined> {
  const { kind, size = 0 } = await client.stat(source.path);
  if (kind === 'file') return yield { text: source.text, usage: ofFile(source.path, size) };
  const depth = options.summarize ? 0 : options.maxDepth;
  if (depth !== undefined) yield* limited(client, source, { depth, all: options.all ?? false });
  else yield* unlimited(client, source, options.all ?? false);
}

const ofFile = (path: string, bytes: number): Usage => ({ path, bytes, files: 1, directories: 0 });

async function* limited(
  client: DfsClient,
  source: Source,
  { depth, all }: { depth: number; all: boolean },
): AsyncGenerator<Told, void, undefined> {
  if (depth > 0) {
    for await (const { name, kind, size = 0 } of client.list(source.path)) {
      const child = {
        text: `${source.text.replace(/\/$/, '')}/${name}`,
        path: childOf(source.path, name),
      };
      if (kind === 'directory') yield* limited(client, child, { depth: depth - 1, all });
      else if (all) yield { text: child.text, usage: ofFile(child.path, size) };
    }
  }
  yield { text: source.text, usage: await client.usage(source.path) };
}

/** Sums of the directories between the starting point and where the search is: memory grows with the depth alone. */
async function* unlimited(
  client: DfsClient,
  source: Source,
  all: boolean,
): AsyncGenerator<Told, void, undefined> {
  const prefixLength = source.path === '/' ? 0 : source.path.length;
  const textOf = (path: string) =>
    path === source.path ? source.text : source.text.replace(/\/$/, '') + path.slice(prefixLength);
  const open = [{ path: source.path as string, bytes: 0, files: 0, directories: 0 }];
  const close = (): Told => {
    const closed = open.pop() ?? { path: '', bytes: 0, files: 0, directories: 0 };
    const above = open.at(-1);
    if (above) {
      above.bytes += closed.bytes;
      above.files += closed.files;
      above.directories += closed.directories + 1;
    }
    return { text: textOf(closed.path), usage: closed };
  };
  for await (const { path, kind, size = 0 } of client.find(source.path)) {
    const parent = parentOf(path as FilePath);
    while (open.length > 1 && open.at(-1)?.path !== parent) yield close();
    const current = open.at(-1);
    if (kind === 'directory') open.push({ path, bytes: 0, files: 0, directories: 0 });
    else {
      if (current) {
        current.bytes += size;
        current.files += 1;
      }
      if (all) yield { text: textOf(path), usage: ofFile(path, size) };
    }
  }
  while (open.length > 0) yield close();
}
