import { StoreError } from '@dfs/shared';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { bytesText, print, printJson, shown } from '../output.ts';
import type { HeldReason, MirrorReport } from './mirror-report.ts';

/** What is said of a tree that was made equal to another, or would be. */
export interface MirrorOutput {
  /** Such as `imported photos to /2026`. */
  readonly title: string;
  readonly report: MirrorReport;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  /** Whether each path is named, not only counted. */
  readonly namesPaths: boolean;
  /** More members of the JSON object. */
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Lists longer than this are cut for people. */
const troublesMax = 20;

const heldTexts: Readonly<Record<HeldReason, string>> = {
  'both-changed': 'changed on both sides',
  'target-changed': 'changed at the target only',
  'never-synchronised': 'different on both sides, and never pushed or pulled',
  'other-kind': 'a file on one side and a directory on the other; replaced with --delete',
  'changed-meanwhile': 'changed meanwhile',
  'not-empty': 'a directory that is not empty',
  'in-the-way': 'something else is in the way',
};

/** Prints the report and gives the exit code: 0 only when all that should be equal is. */
export function printReport(output: MirrorOutput): number {
  if (output.isJson) printJson({ ...output.facts, ...jsonOf(output.report, output.isDryRun) });
  else printText(output);
  return exitCodeOfReport(output.report);
}

function jsonOf(report: MirrorReport, isDryRun: boolean) {
  return {
    dryRun: isDryRun,
    new: report.created,
    updated: report.updated,
    deleted: report.deleted,
    unchanged: report.unchanged,
    kept: report.kept,
    bytes: report.bytes,
    conflicts: report.held,
    skipped: report.skipped.map(({ path, reason }) => ({ path, reason })),
    failed: report.failed.map(({ path, error }) => ({ path, ...errorJson(error) })),
    ...(report.stopped === undefined ? {} : { stopped: errorJson(report.stopped) }),
  };
}

const errorJson = (error: unknown) => ({
  code: error instanceof StoreError ? error.kind : 'internal',
  message: messageOf(error),
});

function printText(output: MirrorOutput): void {
  const { title, report, isDryRun, namesPaths } = output;
  if (namesPaths) {
    printGroup(isDryRun ? 'would be new' : 'new', report.created, green);
    printGroup(isDryRun ? 'would be updated' : 'updated', report.updated, yellow);
    printGroup(isDryRun ? 'would be deleted' : 'deleted', report.deleted, red);
  }
  printTroubles(report);
  const files = (paths: readonly string[]) => paths.filter((path) => !path.endsWith('/')).length;
  const parts = [
    `${files(report.created)} new`,
    `${files(report.updated)} updated`,
    `${report.unchanged} unchanged`,
    `${files(report.deleted)} deleted`,
    ...countOf(report.kept, 'only there and kept'),
    ...countOf(report.held.length, 'left alone'),
    ...countOf(report.skipped.length, 'skipped'),
    ...countOf(report.failed.length, 'failed'),
  ];
  print(`${isDryRun ? 'Dry run: ' : ''}${title}: ${parts.join(', ')}; ${bytesText(report.bytes)}`);
  if (report.stopped === undefined) return;
  const hint = report.stopped instanceof StoreError ? report.stopped.hint : undefined;
  say(red(`dfs: stopped: ${messageOf(report.stopped)}`));
  say(`     ${hint ? `${hint} ` : ''}Run the command again to go on.`);
}

const countOf = (count: number, what: string) => (count === 0 ? [] : [`${count} ${what}`]);

function printGroup(name: string, paths: readonly string[], colour: Colour): void {
  if (paths.length === 0) return;
  print(colour(`${name}:`, process.stdout));
  for (const path of [...paths].sort()) print(colour(`  ${shown(path)}`, process.stdout));
}

function printTroubles({ held, skipped, failed }: MirrorReport): void {
  const reasons = new Map<string, number>();
  for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  for (const [reason, count] of reasons) say(`dfs: skipped ${count}: ${reason}`);
  const unread = skipped.filter(({ isFailure }) => isFailure);
  sayLines(unread, ({ path, reason }) => `${shown(path)}: skipped, ${reason}`);
  sayLines(held, ({ path, reason, message }) => {
    const why = message === undefined ? heldTexts[reason] : `${heldTexts[reason]}: ${message}`;
    return `${shown(path)}: left alone, ${why}`;
  });
  if (held.some(({ reason }) => forceable.has(reason))) {
    say('     --force overwrites what is left alone; the other direction takes it over.');
  }
  sayLines(failed, ({ path, error }) => `${shown(path)}: ${messageOf(error)}`);
}

const forceable: ReadonlySet<HeldReason> = new Set([
  'both-changed',
  'target-changed',
  'never-synchronised',
]);

function sayLines<T>(items: readonly T[], textOf: (item: T) => string): void {
  for (const item of items.slice(0, troublesMax)) say(magenta(`dfs: ${textOf(item)}`));
  if (items.length > troublesMax) say(`dfs: … and ${items.length - troublesMax} more`);
}

function exitCodeOfReport({ stopped, failed, held, skipped }: MirrorReport): number {
  const error = stopped ?? failed[0]?.error;
  if (error !== undefined) return exitCodeOf(error);
  if (held.length > 0) return exitCodes.conflict;
  return skipped.some(({ isFailure }) => isFailure) ? exitCodes.failed : 0;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

const say = (line: string) => void process.stderr.write(`${line}\n`);

type Colour = (text: string, stream?: { isTTY?: boolean }) => string;

/** Colours are for terminals, and for people who want them (no-color.org). */
const colour =
  (code: number): Colour =>
  (text, stream = process.stderr) =>
    stream.isTTY && !process.env['NO_COLOR'] ? `\u001b[${code}m${text}\u001b[0m` : text;
const red = colour(31);
const green = colour(32);
const yellow = colour(33);
const magenta = colour(35);
