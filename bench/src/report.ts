import type { ProcessMemory } from './process-memory.ts';
import type { CaseResult, ServerFigures } from './run-case.ts';

/** The whole of one run, as it is written to `bench/results`. */
export interface BenchReport {
  startedAt: string;
  durationSeconds: number;
  commit: string | undefined;
  machine: {
    processor: string;
    processors: number;
    memoryBytes: number;
    system: string;
    nodeVersion: string;
  };
  settings: {
    rounds: number;
    roundMs: number;
    bigFileBytes: number;
    threadPoolSize: number;
    isSelfCheck: boolean;
  };
  isComplete: boolean;
  cases: CaseResult[];
  /** Of each process, by `copies N` and its name. */
  memory: { servers: string; processes: Record<string, ProcessMemory> }[];
  errorCount: number;
}

const mebibyte = 1024 * 1024;

/** The report for a person at a terminal. */
export function renderText(report: BenchReport): string {
  const nginx = report.cases.some((each) => each.nginx);
  const ratios = [
    ['work', 'ratio', 'rounds', 'at least', 'aim', 'verdict', 'ours', 'reference'].concat(
      nginx ? ['nginx'] : [],
    ),
    ...report.cases.map((each) => [
      each.title,
      ratio(each.ratio),
      spread(each.ratios),
      bound(each, each.atLeast),
      bound(each, each.aim),
      verdictInWords(each),
      amount(each.ours, each),
      amount(each.reference, each),
      ...(each.nginx ? [amount(each.nginx, each)] : []),
    ]),
  ];
  const sections = [
    textTable(ratios),
    textTable(latencyRows(report.cases)),
    ...lagLines(report.cases),
    textTable(memoryRows(report)),
    ...errorLines(report.cases),
    howItWasMade(report),
  ];
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`;
}

/** The table for the README, and one sentence on how it was made. */
export function renderMarkdown(report: BenchReport): string {
  const rows = report.cases.map((each) => {
    const cells = [
      each.title,
      `**${ratio(each.ratio)}**`,
      bound(each, each.atLeast),
      bound(each, each.aim),
      verdictInWords(each),
      amount(each.ours, each),
      `${amount(each.reference, each)}${each.unit === 'ms' ? ` (\`${each.reference.name}\`)` : ''}`,
    ];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '| work | ratio | at least | aim | | dfs | reference |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    howItWasMade(report),
    '',
  ].join('\n');
}

function latencyRows(cases: CaseResult[]): string[][] {
  const header = ['latency in ms', 'server', 'p50', 'p90', 'p99', 'max', 'errors', 'load CPU'];
  return [
    header,
    ...cases.flatMap((each) =>
      [each.ours, each.reference, ...(each.nginx ? [each.nginx] : [])].map((figures) => [
        each.name,
        figures.name,
        milliseconds(figures.latency?.p50),
        milliseconds(figures.latency?.p90),
        milliseconds(figures.latency?.p99),
        milliseconds(figures.latency?.max),
        String(figures.errorCount),
        figures.loadCpuShare === undefined ? '' : `${Math.round(figures.loadCpuShare * 100)} %`,
      ]),
    ),
  ];
}

function lagLines(cases: CaseResult[]): string[] {
  return cases.flatMap((each) => {
    const lag = each.ours.replicationLagMs;
    if (!lag) return [];
    return [
      `${each.name}: the last copy was stored ${milliseconds(lag.median)} ms after the last ` +
        `answer (median; ${milliseconds(lag.max)} ms in the worst round)`,
    ];
  });
}

function memoryRows(report: BenchReport): string[][] {
  const rows = report.memory.flatMap(({ servers, processes }) =>
    Object.entries(processes).map(([name, memory]) => [
      name,
      servers,
      mebibytes(memory.sampledPeakBytes),
      mebibytes(memory.peakBytes),
    ]),
  );
  return rows.length === 0
    ? []
    : [['memory in MiB', 'cluster', 'sampled peak', 'high-water mark'], ...rows];
}

function errorLines(cases: CaseResult[]): string[] {
  return cases.flatMap((each) =>
    [each.ours, each.reference, ...(each.nginx ? [each.nginx] : [])].flatMap((figures) =>
      figures.errorCount === 0
        ? []
        : [
            `${each.name}, ${figures.name}: ${figures.errorCount} errors\n  ` +
              figures.errorSamples.join('\n  '),
          ],
    ),
  );
}

function howItWasMade(report: BenchReport): string {
  const { machine, settings } = report;
  const subject = settings.isSelfCheck ? 'a second bare server' : 'dfs with 3 nodes';
  return (
    `Made on ${report.startedAt.slice(0, 10)} by \`npm run bench\`: ${subject} beside a bare ` +
    `\`node:http\` server on one machine (${machine.processors} × ${machine.processor}, ` +
    `${Math.round(machine.memoryBytes / 1024 ** 3)} GiB, ${machine.system}, ` +
    `Node.js ${machine.nodeVersion}), ${settings.rounds} interleaved rounds after a warm-up, ` +
    `medians of the rounds' ratios; UV_THREADPOOL_SIZE ${settings.threadPoolSize} for both.`
  );
}

function verdictInWords(result: CaseResult): string {
  const words = { aim: 'ok, aim reached', ok: 'ok', below: 'below', errors: 'errors' };
  return words[result.verdict];
}

function ratio(value: number): string {
  return value.toFixed(value >= 10 ? 1 : 2);
}

function spread(ratios: number[]): string {
  return ratios.length === 0 ? '' : `${ratio(Math.min(...ratios))}-${ratio(Math.max(...ratios))}`;
}

function bound(result: CaseResult, value: number): string {
  return result.better === 'higher' ? value.toFixed(2) : `≤ ${value}`;
}

function amount(figures: ServerFigures, result: CaseResult): string {
  return `${figures.value.toFixed(figures.value < 100 ? 1 : 0)} ${result.unit}`;
}

function milliseconds(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-';
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}

function mebibytes(bytes: number): string {
  return (bytes / mebibyte).toFixed(0);
}

/** The first column to the left, the others to the right; the first row is the heading. */
function textTable(rows: string[][]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return lines.length === 0 ? '' : [lines[0], rule, ...lines.slice(1)].join('\n');
}
