// `npm test [-- options of vitest]`: set-up of everything, then every test that fits CI.
//   --project NAME   only this project of vitest.config.ts (may be repeated)
//   --prepare        only the set-up
// The last line is `tests: N passed, N failed, N skipped`, also when it did not come to any test.
import { runVitest } from './run-vitest.mjs';
import { reportingSetupErrors, setUp } from './setup.mjs';
import { provideCompiler, provideTestServers } from './test-services.mjs';

const isCi = process.env.CI === 'true';
const { projects, prepareOnly, args } = parseArguments(process.argv.slice(2));

const isReady = await reportingSetupErrors(() => {
  provideCompiler();
  setUp();
  provideTestServers();
  return true;
});
if (!isReady) printCounts({ passed: 0, failed: 1, skipped: [] });
else if (!prepareOnly) runTests();

function runTests() {
  const outcome = runVitest({ projects, args });
  const { failed, skipped } = outcome;
  for (const name of skipped) process.stdout.write(`skipped: ${name}\n`);
  if (isCi && skipped.length > 0) {
    process.stdout.write('With CI=true a skipped test fails the run.\n');
  }
  process.exitCode = failed === 0 && (skipped.length === 0 || !isCi) ? 0 : 1;
  printCounts(outcome);
}

function printCounts({ passed, failed, skipped }) {
  process.stdout.write(`tests: ${passed} passed, ${failed} failed, ${skipped.length} skipped\n`);
}

function parseArguments(words) {
  const parsed = { projects: [], prepareOnly: false, args: [] };
  for (let index = 0; index < words.length; index += 1) {
    if (words[index] === '--prepare') parsed.prepareOnly = true;
    else if (words[index] === '--project') parsed.projects.push(words[++index]);
    else parsed.args.push(words[index]);
  }
  if (parsed.projects.length === 0) parsed.projects.push('unit', 'e2e');
  return parsed;
}
