import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BenchReport } from './report.ts';

/** Not under version control; the table that the README shows is made from the latest. */
export const resultsDirectory = fileURLToPath(new URL('../results', import.meta.url));

const latestPath = join(resultsDirectory, 'latest.json');

/** Writes `<time>.json`, and `latest.json` when the run was complete. */
export async function writeResults(report: BenchReport): Promise<void> {
  await mkdir(resultsDirectory, { recursive: true });
  const text = `${JSON.stringify(report, undefined, 2)}\n`;
  await writeFile(join(resultsDirectory, `${report.startedAt.replaceAll(':', '-')}.json`), text);
  // Part of a table must not take the place of a whole one.
  if (report.isComplete) await writeFile(latestPath, text);
}

/** The last complete run; rejects when there is none. */
export async function readLatestResults(): Promise<BenchReport> {
  const text = await readFile(latestPath, 'utf8').catch((cause: Error) => {
    throw new Error('There is no complete run yet; npm run bench makes one.', { cause });
  });
  return JSON.parse(text) as BenchReport;
}

/** The commit that was measured; undefined outside a repository. */
export async function currentCommit(): Promise<string | undefined> {
  const options = { cwd: fileURLToPath(new URL('.', import.meta.url)) };
  return promisify(execFile)('git', ['describe', '--always', '--dirty'], options).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}
