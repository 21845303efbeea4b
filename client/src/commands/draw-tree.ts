import { childOf, type FilePath, type ListAnswerEntry, StoreError } from '@dfs/shared';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import { bytesText, Lines, shown } from '../output.ts';
import { allSources } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

export interface DrawTreeOptions {
  readonly level?: number;
  readonly onlyDirectories?: boolean;
  readonly size?: boolean;
  readonly humanReadable?: boolean;
  readonly json?: boolean;
}

interface Drawing {
  readonly client: DfsClient;
  readonly options: DrawTreeOptions;
  readonly lines: Lines;
  directories: number;
  files: number;
}

/** `dfs tree`: directories as a drawing, level by level; with `--json` nested as they are. */
export async function drawTree(
  session: Session,
  words: readonly string[],
  options: DrawTreeOptions,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('tree', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `${namedInMessages(text)}: ${reasonOf(error)}`);
  const drawing: Drawing = { client, options, lines: new Lines(), directories: 0, files: 0 };
  const { lines } = drawing;
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  let drawn = 0;
  for (const { text, path } of sources) {
    try {
      if ((await client.stat(path)).kind !== 'directory') {
        throw new StoreError('not-a-directory', `${path} is no directory.`);
      }
      if (options.json) {
        lines.write(
          `${drawn === 0 ? '[' : ','}\n{"path":${JSON.stringify(path)},"kind":"directory","entries":[`,
        );
        await writeJson(drawing, path, 1);
        lines.write(']}');
      } else {
        lines.write(`${shown(text)}\n`);
        await draw(drawing, path, { prefix: '', level: 1 });
      }
      drawn += 1;
    } catch (error) {
      failed(text, error);
    }
  }
  if (options.json && drawn > 0) lines.write('\n]\n');
  else if (drawn > 0) lines.write(`\n${countsText(drawing)}\n`);
  lines.flush();
  failures.end();
}

function countsText({ directories, files, options }: Drawing): string {
  const folders = `${directories} ${directories === 1 ? 'directory' : 'directories'}`;
  return options.onlyDirectories
    ? folders
    : `${folders}, ${files} ${files === 1 ? 'file' : 'files'}`;
}

async function draw(
  drawing: Drawing,
  directory: FilePath,
  { prefix, level }: { prefix: string; level: number },
): Promise<void> {
  const { lines, options } = drawing;
  for await (const { entry, isLast } of withLast(entriesOf(drawing, directory))) {
    const facts = entry.kind === 'file' ? sizeOf(entry, options) : '';
    lines.write(`${prefix}${isLast ? '└── ' : '├── '}${facts}${shown(entry.name)}\n`);
    if (entry.kind === 'directory' && level < (options.level ?? Number.POSITIVE_INFINITY)) {
      const below = { prefix: `${prefix}${isLast ? '    ' : '│   '}`, level: level + 1 };
      await draw(drawing, childOf(directory, entry.name), below);
    }
  }
}

function sizeOf({ size = 0 }: ListAnswerEntry, options: DrawTreeOptions): string {
  if (options.humanReadable) return `[${bytesText(size).padStart(9)}]  `;
  return options.size ? `[${String(size).padStart(11)}]  ` : '';
}

async function writeJson(drawing: Drawing, directory: FilePath, level: number): Promise<void> {
  const { lines, options } = drawing;
  let count = 0;
  for await (const entry of entriesOf(drawing, directory)) {
    const text = JSON.stringify(entry);
    lines.write(count === 0 ? '\n' : ',\n');
    count += 1;
    if (entry.kind === 'file') lines.write(text);
    else {
      lines.write(`${text.slice(0, -1)},"entries":[`);
      if (level < (options.level ?? Number.POSITIVE_INFINITY)) {
        await writeJson(drawing, childOf(directory, entry.name), level + 1);
      }
      lines.write(']}');
    }
  }
}

async function* entriesOf(
  drawing: Drawing,
  directory: FilePath,
): AsyncGenerator<ListAnswerEntry, void, undefined> {
  for await (const entry of drawing.client.list(directory)) {
    if (entry.kind === 'directory') drawing.directories += 1;
    else if (drawing.options.onlyDirectories) continue;
    else drawing.files += 1;
    yield entry;
  }
}

/** The branch to the last one bends. */
async function* withLast<T>(
  items: AsyncIterable<T>,
): AsyncGenerator<{ entry: T; isLast: boolean }, void, undefined> {
  let held: { entry: T } | undefined;
  for await (const entry of items) {
    if (held) yield { entry: held.entry, isLast: false };
    held = { entry };
  }
  if (held) yield { entry: held.entry, isLast: true };
}
