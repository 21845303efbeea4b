import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Runs projects of vitest.config.ts and counts the outcomes.
 * @param {{ projects: string[], args?: string[], node?: string }} run `node` is the binary to run on, the current one by default.
 * @returns {{ passed: number, failed: number, skipped: string[] }} skipped tests by name; `failed` counts files that did not load too.
 */
export function runVitest({ projects, args = [], node = process.execPath }) {
  const reportDirectory = mkdtempSync(join(tmpdir(), 'dfs-test-report-'));
  const report = join(reportDirectory, 'report.json');
  try {
    const { status } = spawnSync(
      node,
      [
        join(root, 'node_modules/vitest/vitest.mjs'),
        'run',
        ...projects.flatMap((project) => ['--project', project]),
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${report}`,
        '--passWithNoTests',
        ...args,
      ],
      {
        cwd: root,
        stdio: ['ignore', 'inherit', 'inherit'],
        // What a test starts by name must be the same Node.js.
        env: { ...process.env, PATH: `${dirname(node)}${delimiter}${process.env.PATH}` },
      },
    );
    const outcome = existsSync(report)
      ? count(JSON.parse(readFileSync(report, 'utf8')))
      : { passed: 0, failed: 0, skipped: [] };
    // An error outside any test, or a crash of the runner, fails the run as well.
    if (status !== 0 && outcome.failed === 0) outcome.failed = 1;
    return outcome;
  } finally {
    rmSync(reportDirectory, { recursive: true, force: true });
  }
}

function count({ testResults }) {
  const outcome = { passed: 0, failed: 0, skipped: [] };
  for (const file of testResults) {
    if (file.status === 'failed' && file.assertionResults.length === 0) outcome.failed += 1;
    for (const test of file.assertionResults) {
      if (test.status === 'passed') outcome.passed += 1;
      else if (test.status === 'failed') outcome.failed += 1;
      else outcome.skipped.push(`${relative(root, file.name)}: ${test.fullName}`);
    }
  }
  return outcome;
}
