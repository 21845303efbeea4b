import {
  type LogAnswer,
  type ReplicaAnswer,
  type StatAnswer,
  type UsageAnswer,
  urlPathOf,
} from '@dfs/shared';
import { linesOf } from '../lines.ts';
import { Failures, namedInMessages, reasonOf } from '../messages.ts';
import {
  bytesText,
  print,
  printJson,
  printJsonAnswers,
  printTable,
  shown,
  timeText,
} from '../output.ts';
import { allSources, isAbsence } from '../remote-paths/sources.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';

interface JsonOption {
  readonly json?: boolean;
}

/** `dfs stat`: everything known of names. */
export async function statPaths(
  session: Session,
  words: readonly string[],
  options: JsonOption,
): Promise<void> {
  const client = new DfsClient(session.api);
  const failures = new Failures('stat', options);
  const failed = (text: string, error: unknown) =>
    failures.add(error, `cannot stat ${namedInMessages(text)}: ${reasonOf(error)}`);
  const sources = await allSources(session, client, words, (error, word) => failed(word, error));
  const answers: StatAnswer[] = [];
  for (const { text, path } of sources) {
    try {
      const answer = await client.stat(path);
      answers.push(answer);
      if (options.json) continue;
      if (answers.length > 1) print('');
      printStat(answer, await usageOf(client, answer));
    } catch (error) {
      // One alone is said in the store's own words.
      if (words.length === 1 && sources.length === 1) throw error;
      failed(text, error);
    }
  }
  if (options.json) printJsonAnswers(answers, { words, sources });
  failures.end();
}

/** It may go between the two questions, and is told as it was. */
async function usageOf(client: DfsClient, { kind, path }: StatAnswer) {
  if (kind === 'file') return undefined;
  return client.usage(path).catch((error: unknown) => {
    if (isAbsence(error)) return undefined;
    throw error;
  });
}

function printStat(answer: StatAnswer, usage: UsageAnswer | undefined): void {
  const { copies, copiesSet } = answer;
  const setText = copiesSet === undefined ? '' : `${copiesSet} set here`;
  const lines: [string, string | undefined][] = [
    ['path', shown(answer.path)],
    ['kind', answer.kind],
    ['size', answer.size === undefined ? undefined : `${answer.size} (${bytesText(answer.size)})`],
    ['holds', usage && usageText(usage)],
    ['md5', answer.md5],
    ['type', answer.contentType],
    ['id', answer.id],
    ['created', timeText(answer.created)],
    ['modified', timeText(answer.modified)],
    ['public', publicText(answer)],
    ['primary', answer.primary?.name],
    [
      'copies',
      [copies && `${copies.stored} of ${copies.wanted} stored`, setText].filter(Boolean).join(', '),
    ],
    ['blobs', answer.blobs && String(answer.blobs.length)],
  ];
  for (const [name, value] of lines) {
    if (value) print(`${name.padEnd(9)} ${value}`);
  }
}

const publicText = ({ public: isPublic, visibility }: StatAnswer) =>
  `${isPublic ? 'yes' : 'no'}${visibility === undefined ? '' : ', set here'}`;

const usageText = ({ bytes, files, directories }: UsageAnswer) =>
  `${bytesText(bytes)} in ${files} files and ${directories} directories`;

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
  try {
    for await (const line of linesOf(body)) {
      print(options.json ? line : logLine(JSON.parse(line) as LogAnswer));
    }
  } catch (error) {
    throw session.api.failure(error);
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
