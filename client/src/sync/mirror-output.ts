import { StoreError } from '@dfs/shared';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { bytesText, shown } from '../output.ts';
import { compareTreePaths } from '../trees/tree-order.ts';
import type { HeldReason, MirrorReport } from './mirror-report.ts';

/** What is said of a tree that was made equal to another, or would be. */
export interface MirrorOutput {
  /** Such as `imported photos to /2026`. */
  readonly title: string;
  readonly report: MirrorReport;
  readonly isDryRun: boolean;
  readonly isJson: boolean;
  /** Where the target is, in words. */
  readonly target: 'here' | 'in the store';
  /** Whether each path is named, not only counted. */
  readonly namesPaths: boolean;
  /** More members of the JSON object. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The user's. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal?: Terminal;
}

/** Where it is printed; of a stream that is no terminal `isTTY` is not true. */
export interface Terminal {
  readonly out: OutputStream;
  readonly error: OutputStream;
}

type OutputStream = Pick<NodeJS.WritableStream, 'write'> & { readonly isTTY?: boolean };

const ownTerminal = (): Terminal => ({ out: process.stdout, error: process.stderr });

/** Lists longer than this are cut for people. */
const troublesMax = 20;

const heldTexts = (target: MirrorOutput['target']): Readonly<Record<HeldReason, string>> => ({
  'both-changed': 'changed on both sides',
  'target-changed': `changed ${target} only`,
  'never-synchronised': 'different on both sides, and never pushed or pulled',
  'other-kind': 'a file on one side and a directory on the other',
  'changed-meanwhile': `changed ${target} meanwhile`,
  'not-empty': `a directory that is not empty ${target}`,
  'in-the-way': `something else is in the way ${target}`,
});

/** Prints the report and gives the exit code: 0 only when all that should be equal is. */
export function printReport(output: MirrorOutput): number {
  const { report, environment, terminal = ownTerminal() } = output;
  if (output.isJson) {
    const json = { ...output.facts, ...jsonOf(report, output.isDryRun) };
    terminal.out.write(`${JSON.stringify(json, null, 2)}\n`);
  } else {
    // no-color.org: set and not empty.
    const isColoured = !environment['NO_COLOR'];
    new ReportText(terminal, isColoured).print(output);
  }
  return exitCodeOfReport(report);
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

/** The report for people: what was done on standard output, what was not on standard error. */
class ReportText {
  readonly #terminal: Terminal;
  readonly #isColoured: boolean;

  constructor(terminal: Terminal, isColoured: boolean) {
    this.#terminal = terminal;
    this.#isColoured = isColoured;
  }

  print({ title, report, isDryRun, namesPaths, target }: MirrorOutput): void {
    if (namesPaths) {
      this.#group(isDryRun ? 'would be new' : 'new', report.created, colours.green);
      this.#group(isDryRun ? 'would be updated' : 'updated', report.updated, colours.yellow);
      this.#group(isDryRun ? 'would be deleted' : 'deleted', report.deleted, colours.red);
    }
    this.#troubles(report, target);
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
    const sum = `${title}: ${parts.join(', ')}; ${bytesText(report.bytes)}`;
    this.#terminal.out.write(`${isDryRun ? 'Dry run: ' : ''}${sum}\n`);
    if (report.stopped === undefined) return;
    const hint = report.stopped instanceof StoreError ? report.stopped.hint : undefined;
    this.#say(`stopped: ${messageOf(report.stopped)}`, colours.red);
    this.#terminal.error.write(`     ${hint ? `${hint} ` : ''}Run the command again to go on.\n`);
  }

  #group(name: string, paths: readonly string[], colour: number): void {
    const { out } = this.#terminal;
    if (paths.length === 0) return;
    out.write(`${this.#in(colour, `${name}:`, out)}\n`);
    for (const path of paths.toSorted(compareTreePaths))
      out.write(`${this.#in(colour, `  ${shown(path)}`, out)}\n`);
  }

  #troubles({ held, skipped, failed }: MirrorReport, target: MirrorOutput['target']): void {
    const texts = heldTexts(target);
    const reasons = new Map<string, number>();
    for (const { reason } of skipped) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    for (const [reason, count] of reasons) this.#say(`skipped ${count}: ${reason}`);
    const unread = skipped.filter(({ isFailure }) => isFailure);
    this.#list(unread, ({ path, reason }) => `${shown(path)}: skipped, ${reason}`);
    this.#list(held, ({ path, reason, message }) => {
      const why = message === undefined ? texts[reason] : `${texts[reason]}: ${message}`;
      return `${shown(path)}: left alone, ${why}`;
    });
    if (held.some(({ reason }) => forceable.has(reason))) {
      this.#hint('--force overwrites what is left alone; the other direction takes it over.');
    }
    if (held.some(({ reason }) => reason === 'other-kind')) {
      this.#hint(
        'A file takes the place of a directory, or the reverse, with push or pull --delete.',
      );
    }
    this.#list(failed, ({ path, error }) => `${shown(path)}: ${messageOf(error)}`);
  }

  #list<T>(items: readonly T[], textOf: (item: T) => string): void {
    for (const item of items.slice(0, troublesMax)) this.#say(textOf(item), colours.magenta);
    if (items.length > troublesMax) this.#say(`… and ${items.length - troublesMax} more`);
  }

  #say(text: string, colour?: number): void {
    const { error } = this.#terminal;
    const line = `dfs: ${text}`;
    error.write(`${colour === undefined ? line : this.#in(colour, line, error)}\n`);
  }

  #hint(text: string): void {
    this.#terminal.error.write(`     ${text}\n`);
  }

  /** Colours are for terminals, and for people who want them. */
  #in(colour: number, text: string, stream: OutputStream): string {
    const isWanted = this.#isColoured && stream.isTTY === true;
    return isWanted ? `\u001b[${colour}m${text}\u001b[0m` : text;
  }
}

const colours = { red: 31, green: 32, yellow: 33, magenta: 35 } as const;

const countOf = (count: number, what: string) => (count === 0 ? [] : [`${count} ${what}`]);

const forceable: ReadonlySet<HeldReason> = new Set([
  'both-changed',
  'target-changed',
  'never-synchronised',
]);

function exitCodeOfReport({ stopped, failed, held, skipped }: MirrorReport): number {
  const error = stopped ?? failed[0]?.error;
  if (error !== undefined) return exitCodeOf(error);
  if (held.length > 0) return exitCodes.conflict;
  return skipped.some(({ isFailure }) => isFailure) ? exitCodes.failed : 0;
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
