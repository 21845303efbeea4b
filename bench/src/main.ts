import { runAsProgram } from './bench-program.ts';
import { runBench } from './bench-run.ts';
import { cases } from './cases.ts';
import { type BenchOptions, parseOptions, usage } from './options.ts';
import { type BenchReport, renderMarkdown, renderText } from './report.ts';
import { readLatestResults, writeResults } from './results.ts';

/** The exit code: 0 unless a request failed; a ratio that is missed is said, not punished. */
async function main(argv: string[]): Promise<number> {
  const options = parseOptions(argv);
  if (options === 'help') {
    process.stdout.write(usage);
    return 0;
  }
  if (options === 'list') {
    process.stdout.write(cases.map((each) => `${each.name.padEnd(22)}${each.title}\n`).join(''));
    return 0;
  }
  const report = options.isLastRun ? await readLatestResults() : await runBench(options);
  if (!options.isLastRun) await writeResults(report);
  process.stdout.write(render(report, options.format));
  return report.errorCount === 0 ? 0 : 1;
}

function render(report: BenchReport, format: BenchOptions['format']): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(report, undefined, 2)}\n`;
    case 'markdown':
      return renderMarkdown(report);
    case 'text':
      return `\n${renderText(report)}`;
  }
}

runAsProgram('bench', main);
