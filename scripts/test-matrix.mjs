// `npm run test:matrix [-- options of vitest]`: the tests that fit CI, on the floor version of Node.js and on the
// newest long-term release. Binaries come from npm (the packages node-<platform>-<arch>) and are kept in node_modules/.cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runVitest } from './run-vitest.mjs';
import { reportingSetupErrors, SetupError, setUp } from './setup.mjs';
import { provideCompiler, provideTestServers } from './test-services.mjs';

const versions = ['20.19.0', '24'];
const cache = fileURLToPath(new URL('../node_modules/.cache/node', import.meta.url));

await reportingSetupErrors(() => {
  provideCompiler();
  setUp();
  provideTestServers();
  const summary = versions.map((version) => {
    const node = nodeBinary(version);
    const release = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout.trim();
    process.stdout.write(`\nNode.js ${release}\n`);
    const args = process.argv.slice(2);
    return { release, ...runVitest({ projects: ['unit', 'e2e'], args, node }) };
  });
  for (const { release, passed, failed, skipped } of summary) {
    if (failed > 0 || (skipped.length > 0 && process.env.CI === 'true')) process.exitCode = 1;
    process.stdout.write(
      `${release}: ${passed} passed, ${failed} failed, ${skipped.length} skipped\n`,
    );
  }
});

/** The path of a Node.js of this version, fetched at first use. */
function nodeBinary(version) {
  const directory = join(cache, version);
  const binary = join(directory, 'package/bin/node');
  if (existsSync(binary)) return binary;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const name = `node-${process.platform}-${process.arch}@${version}`;
  run('npm', ['pack', name, '--silent', '--pack-destination', directory]);
  const archive = readdirSync(directory).find((file) => file.endsWith('.tgz'));
  run('tar', ['-xzf', join(directory, archive), '-C', directory]);
  rmSync(join(directory, archive));
  if (!existsSync(binary)) throw new SetupError(`The npm package ${name} holds no bin/node.`);
  return binary;
}

function run(command, args) {
  const { status } = spawnSync(command, args, { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new SetupError(`\`${command} ${args.join(' ')}\` failed.`);
}
