import {
  type ListAnswer,
  type ListAnswerEntry,
  type LogAnswer,
  type ReplicaAnswer,
  type StatAnswer,
  urlPathOf,
} from '@dfs/shared';
import type { StoreApi } from '../api.ts';
import { linesOf } from '../lines.ts';
import { bytesText, print, printJson, printTable, shown, timeText } from '../output.ts';
import type { Session } from '../session.ts';

interface JsonOption {
  readonly json?: boolean;
}

const pageEntries = 1_000;

/** `dfs ls`: a directory's entries, page by page; with `--json` one array, written as it comes. */
export async function list(
  session: Session,
  path: string,
  options: JsonOption & { long?: boolean },
): Promise<void> {
  const urlPath = urlPathOf(session.path(path)).replace(/\/?$/, '/');
  let count = 0;
  for await (const entry of entriesOf(session.api, urlPath)) {
    if (options.json)
      process.stdout.write(`${count === 0 ? '[\n  ' : ',\n  '}${JSON.stringify(entry)}`);
    else print(options.long ? longLine(entry) : nameOf(entry));
    count += 1;
  }
  if (options.json) print(count === 0 ? '[]' : '\n]');
}

async function* entriesOf(api: StoreApi, urlPath: string): AsyncGenerator<ListAnswerEntry> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const query = new URLSearchParams({
      limit: String(pageEntries),
      ...(after === '' ? {} : { after }),
    });
    const page: ListAnswer = await api.getJson(`/fs${urlPath}?${query}`);
    yield* page.entries;
    after = page.next;
  }
}

const nameOf = (entry: ListAnswerEntry) =>
  shown(entry.name) + (entry.kind === 'directory' ? '/' : '');

function longLine(entry: ListAnswerEntry): string {
  const size = entry.size === undefined ? '-' : String(entry.size);
  const kind = `${entry.kind === 'directory' ? 'd' : '-'}${entry.public ? 'p' : '-'}`;
  return `${kind}  ${size.padStart(14)}  ${timeText(entry.modified)}  ${nameOf(entry)}`;
}

/** `dfs stat`: everything known of a name. */
export async function statPath(
  session: Session,
  path: string,
  { json }: JsonOption,
): Promise<void> {
  const answer = await session.api.getJson<StatAnswer>(
    `/api/v1/stat${urlPathOf(session.path(path))}`,
  );
  if (json) return printJson(answer);
  const lines: [string, string | undefined][] = [
    ['path', shown(answer.path)],
    ['kind', answer.kind],
    ['size', answer.size === undefined ? undefined : `${answer.size} (${bytesText(answer.size)})`],
    ['md5', answer.md5],
    ['type', answer.contentType],
    ['id', answer.id],
    ['created', timeText(answer.created)],
    ['modified', timeText(answer.modified)],
    ['public', answer.public === undefined ? undefined : String(answer.public)],
    ['primary', answer.primary?.name],
    ['copies', answer.copies && `${answer.copies.stored} of ${answer.copies.wanted} stored`],
    ['blobs', answer.blobs && String(answer.blobs.length)],
  ];
  for (const [name, value] of lines) {
    if (value !== undefined) print(`${name.padEnd(9)} ${value}`);
  }
}

/** `dfs replicas`: where the copies of a file are. */
export async function replicas(
  session: Session,
  path: string,
  { json }: JsonOption,
): Promise<void> {
  const answer = await session.api.getJson<ReplicaAnswer[]>(
    `/api/v1/replicas${urlPathOf(session.path(path))}`,
  );
  if (json) return printJson(answer);
  printTable(
    ['NODE', 'ROLE', 'STATE', 'PATH'],
    answer.map(({ node, role, state, path: file }) => [node.name, role, state, file]),
  );
}

/** `dfs log`: the attempts at copying, newest last; `--follow` goes on with what comes. */
export async function log(
  session: Session,
  path: string | undefined,
  options: JsonOption & { lines?: number; follow?: boolean },
): Promise<void> {
  const query = new URLSearchParams();
  if (path !== undefined) query.set('path', session.path(path));
  if (options.lines !== undefined) query.set('limit', String(options.lines));
  if (!options.follow) {
    const rows = await session.api.getJson<LogAnswer[]>(`/api/v1/log?${query}`);
    // Rows outlive their file; where there are none, a name that does not exist is said.
    if (rows.length === 0 && path !== undefined) {
      await session.api.getJson<StatAnswer>(`/api/v1/stat${urlPathOf(session.path(path))}`);
    }
    if (options.json) return printJson(rows);
    for (const row of rows) print(logLine(row));
    return;
  }
  query.set('follow', '1');
  const { body } = await session.api.open(`/api/v1/log?${query}`);
  for await (const line of linesOf(body)) {
    print(options.json ? line : logLine(JSON.parse(line) as LogAnswer));
  }
}

function logLine(row: LogAnswer): string {
  const from = row.source === undefined ? '' : `${row.source.name} → `;
  const failure =
    row.error === undefined
      ? ''
      : `  ${row.error}${row.message === undefined ? '' : `: ${row.message}`}`;
  return shown(
    `${timeText(row.time)}  ${row.outcome.padEnd(7)}  ${from}${row.target.name}  ${row.milliseconds} ms  ${row.path}${failure}`,
  );
}
