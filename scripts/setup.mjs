// Brings a fresh clone, or one that was updated, to a state where everything runs: dependencies installed,
// the native database driver loadable, sources built. Uses nothing but Node.js: it runs before node_modules exists.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (path) => `${root}${path}`;
const markerPath = at('node_modules/.dfs-setup');
const compilerTools = ['python3', 'make', 'g++'];

/** What a person can act on: printed as it is, without a stack. */
export class SetupError extends Error {}

/**
 * Installs what is missing or outdated, then builds what changed. Says what it does on stderr; a second run says nothing.
 * @throws {SetupError} with one line that names the cure.
 */
export function setUp() {
  requireNodeVersion();
  if (!isInstalled()) install();
  build();
}

/** The tools missing for compiling the SQLite driver where no ready-made binary fits. */
export function missingCompilerTools() {
  return compilerTools.filter((tool) => spawnSync(tool, ['--version']).status !== 0);
}

function requireNodeVersion() {
  const floor = JSON.parse(readFileSync(at('package.json'), 'utf8')).engines.node.replace('>=', '');
  const [major, minor = 0] = floor.split('.').map(Number);
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number);
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return;
  throw new SetupError(`Node.js ${floor} or newer is needed; this is ${process.versions.node}.`);
}

function isInstalled() {
  if (!existsSync(at('node_modules/.package-lock.json'))) return false;
  if (existsSync(markerPath) && readFileSync(markerPath, 'utf8') === fingerprint()) return true;
  // Installed by hand: npm writes its own copy of the lock file last.
  if (modifiedAtMs('node_modules/.package-lock.json') < modifiedAtMs('package-lock.json'))
    return false;
  requireSqlite();
  writeFileSync(markerPath, fingerprint());
  return true;
}

function install() {
  say('installing dependencies (a minute or two, once)');
  // With NODE_ENV=production npm would leave out the compiler.
  if (runNpm(['ci', '--include=dev', '--no-audit', '--no-fund']) !== 0) {
    throw new SetupError(`\`npm ci\` failed; its output is above. ${compilerHint()}`);
  }
  requireSqlite();
  writeFileSync(markerPath, fingerprint());
}

function requireSqlite() {
  if (sqliteLoads()) return;
  say('the SQLite driver does not load; building it');
  // A ready-made binary that does not load would only be fetched again.
  if (runNpm(['rebuild', 'sqlite3', '--build-from-source']) === 0 && sqliteLoads()) return;
  throw new SetupError(
    `The SQLite driver does not load. ${compilerHint()} Then run \`npm rebuild sqlite3\`.`,
  );
}

function sqliteLoads() {
  return spawnSync(process.execPath, ['-e', "require('sqlite3')"], { cwd: root }).status === 0;
}

function compilerHint() {
  const missing = missingCompilerTools();
  if (missing.length === 0) return 'The compiler for native modules is there (python3, make, g++).';
  return (
    `The SQLite driver is compiled here, and ${missing.join(', ')} cannot be found: ` +
    'on Debian and Ubuntu `apt-get install python3 make g++`, on macOS `xcode-select --install`.'
  );
}

function build() {
  const isFirst = !existsSync(at('client/dist/main.js'));
  if (isFirst) say('building');
  const compiler = at('node_modules/typescript/bin/tsc');
  // Its own record of what changed makes this a fraction of a second when nothing did.
  const { status } = spawnSync(process.execPath, [compiler, '-b'], { cwd: root, stdio: stdioOut });
  if (status !== 0) throw new SetupError('The build failed; its output is above.');
}

// What the tools print is progress, not a result: it must not end up in a pipe.
const stdioOut = ['ignore', 2, 2];

function runNpm(args) {
  const npm = process.env.npm_execpath;
  const [command, ...first] = npm ? [process.execPath, npm] : ['npm'];
  const env = { ...headersEnvironment(), ...process.env };
  return spawnSync(command, [...first, ...args], { cwd: root, stdio: stdioOut, env }).status;
}

/**
 * Lets the SQLite driver be compiled with the headers that came with this Node.js, where there are any: others are fetched, which takes long and, behind a
 * firewall, for ever.
 */
function headersEnvironment() {
  const prefix = dirname(dirname(process.execPath));
  const headers = join(prefix, 'include/node');
  if (!existsSync(join(headers, 'node_version.h')) || !existsSync(join(headers, 'common.gypi'))) {
    return {};
  }
  const text = readFileSync(join(headers, 'node_version.h'), 'utf8');
  const version = ['MAJOR', 'MINOR', 'PATCH'].map(
    (part) => text.match(new RegExp(`#define NODE_${part}_VERSION (\\d+)`))?.[1],
  );
  return version.join('.') === process.versions.node ? { npm_config_nodedir: prefix } : {};
}

/** Changes when other packages, or packages for another machine, have to be installed. */
function fingerprint() {
  const lock = createHash('sha256')
    .update(readFileSync(at('package-lock.json')))
    .digest('hex');
  return `${lock} ${process.platform}-${process.arch}\n`;
}

function modifiedAtMs(path) {
  return statSync(at(path)).mtimeMs;
}

function say(line) {
  process.stderr.write(`set-up: ${line}\n`);
}

/** Runs `work` and turns a SetupError into one line and exit status 1. */
export async function reportingSetupErrors(work) {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    say(error.message);
    process.exitCode = 1;
    return undefined;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await reportingSetupErrors(() => setUp());
}
