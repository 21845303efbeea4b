import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import {
  errorOfAnswer,
  type RestoredPaths,
  type RestoreLine,
  type RestoreProgress,
  type RestoreReport,
  StoreError,
} from '@dfs/shared';
import { linesOf } from '../lines.ts';
import { bytesText, print, printJson, shown, timeText } from '../output.ts';
import type { Session } from '../session.ts';

export interface RestoreOptions {
  readonly from?: string;
  readonly cluster?: string;
  readonly into?: string;
  readonly acceptLoss?: boolean;
  readonly json?: boolean;
}

/** `dfs restore`: has the master rebuild its database, and says what came of it. */
export async function restore({ api }: Session, options: RestoreOptions): Promise<void> {
  const query = new URLSearchParams({
    ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    ...(options.into === undefined ? {} : { into: options.into }),
    ...(options.acceptLoss ? { acceptLoss: '1' } : {}),
  });
  const backup = options.from === undefined ? undefined : await backupOf(options.from);
  const { body } = await api.openPost(`/api/v1/restore?${query}`, backup);
  const report = await reportOf(body, progressLine(options.json === true)).catch((error) => {
    throw error instanceof StoreError ? error : api.failure(error);
  });
  if (options.json) printJson(report);
  else for (const line of restoreLines(report)) print(line);
}

async function backupOf(file: string) {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    throw new StoreError('not-found', `There is no backup ${shown(file)}.`, {
      hint: 'Name a file that "dfs backup" wrote.',
    });
  }
  return { bytes: createReadStream(file), sizeBytes: found.size, type: 'application/gzip' };
}

/** The last line of the answer; what comes before it goes to `tell`. */
async function reportOf(
  body: Readable,
  { tell, stop }: ReturnType<typeof progressLine>,
): Promise<RestoreReport> {
  try {
    for await (const text of linesOf(body)) {
      const line = JSON.parse(text) as RestoreLine;
      if ('report' in line) return line.report;
      if ('error' in line) throw errorOfAnswer(500, text);
      tell(line.progress);
    }
  } finally {
    stop();
  }
  throw new StoreError('unavailable', 'The master broke off the restore.', {
    hint: 'Look into its log, and run "dfs restore" again: it begins anew.',
  });
}

/** One line on a terminal that tells where it is; a line for each step elsewhere. */
function progressLine(isQuiet: boolean) {
  const stream = process.stderr;
  let step = '';
  return {
    tell: (progress: RestoreProgress) => {
      if (isQuiet) return;
      if (stream.isTTY) stream.write(`\r\u001b[K${progressText(progress)}`);
      else if (progress.step !== step) stream.write(`${progress.message}\n`);
      step = progress.step;
    },
    stop: () => {
      if (!isQuiet && stream.isTTY && step !== '') stream.write('\r\u001b[K');
    },
  };
}

const progressText = ({ message, done, of }: RestoreProgress) =>
  `${message}${done > 0 ? `  ${done}${of === undefined ? '' : ` of ${of}`}` : ''}`;

const baseTexts: Readonly<Record<RestoreReport['base'], string>> = {
  snapshot: 'a snapshot that the nodes keep',
  backup: 'the backup',
  database: 'the database as it was',
  journal: 'the journal from its beginning',
  blobs: 'what the blobs say of themselves',
};

/** The report for people, a line each. */
export function restoreLines(report: RestoreReport): string[] {
  const { journal } = report;
  const records = journal.records > 0 ? `, and ${journal.records} later changes` : '';
  const until = journal.at === undefined ? '' : `, up to ${timeText(journal.at)}`;
  return [
    report.into === undefined
      ? `The database is rebuilt: cluster ${report.clusterId}, epoch ${report.epoch}.`
      : `Written into ${shown(report.into)}; the database was left as it is.`,
    `files       ${report.files} in ${report.directories} directories, ${bytesText(report.bytes)}`,
    `took        ${report.seconds} s`,
    `from        ${baseTexts[report.base]}${records}${until}`,
    ...report.nodes.map(nodeLine),
    ...pathLines('No copy found yet of', report.withoutCopy),
    ...(report.base === 'blobs'
      ? []
      : pathLines(
          'Newer than the journal, known from their blobs alone: each may have been moved or deleted since',
          report.found,
        )),
    ...pathLines('Had several contents, the others are in the trash', report.contested),
    ...doubtfulLines(report.doubtful),
    ...unknownLines(report.unknownBlobs),
    ...differenceLines(report.differences),
    ...(report.warnings.length > 0 ? ['', 'To know:'] : []),
    ...report.warnings.map((warning) => `  ${shown(warning)}`),
  ];
}

const nodeLine = ({ name, url, blobs, problem }: RestoreReport['nodes'][number]) =>
  `node        ${shown(name)} at ${shown(url)}: ${problem === undefined ? `${blobs} blobs` : shown(problem)}`;

const unknownLines = (blobs: number) =>
  blobs === 0
    ? []
    : [
        '',
        `${blobs} blobs of deleted files and unfinished uploads were left as they are on the nodes.`,
      ];

const differenceLines = (differences: RestoreReport['differences']) =>
  differences === undefined
    ? []
    : [
        ...pathLines('Only in the database', differences.onlyInDatabase),
        ...pathLines('Only on the nodes', differences.onlyOnNodes),
        ...pathLines('Different', differences.different),
      ];

const doubtfulLines = ({ count, files }: RestoreReport['doubtful']) =>
  listedLines(
    'Put below /.restored/',
    count,
    files.map(({ path, why }) => `${shown(path)}  ${shown(why)}`),
  );

const pathLines = (what: string, { count, paths }: RestoredPaths) =>
  listedLines(what, count, paths.map(shown));

const listedMax = 20;

/** A heading and the first of so many; nothing of none. */
function listedLines(what: string, count: number, items: readonly string[]): string[] {
  if (count === 0) return [];
  return [
    '',
    `${what} (${count}):`,
    ...items.slice(0, listedMax).map((item) => `  ${item}`),
    ...(count > listedMax ? [`  … and ${count - listedMax} more (--json shows more)`] : []),
  ];
}
