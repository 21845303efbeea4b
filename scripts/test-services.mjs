// The real servers that some tests start for themselves, Redis and PostgreSQL, what others test WebDAV with, shells, a browser and what makes videos for it.
// They are found, or installed where that is allowed, and never started as services of the machine.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { missingCompilerTools } from './setup.mjs';

/** The names of a browser that tests can drive: any of them will do. */
const browsers = [
  'chromium-headless-shell',
  'chromium',
  'chromium-browser',
  'google-chrome-stable',
];

/** Makes redis-server, PostgreSQL's tools and the rest reachable through PATH; says which are not there and what that means. */
export function provideTestServers() {
  if (missingServers().length > 0) installDebianPackages(missingServers().map((one) => one.debian));
  for (const { name } of missingServers()) {
    const consequence =
      process.env.CI === 'true' ? 'this run will fail' : 'tests that need it are skipped';
    say(`${name} is not installed and cannot be installed from here: ${consequence}`);
  }
}

/** Installs the compiler for native modules where it is missing and may be installed. */
export function provideCompiler() {
  const missing = missingCompilerTools();
  if (missing.length > 0) installDebianPackages(missing);
}

function missingServers() {
  addPostgresToPath();
  const missing = [];
  if (!isThere('redis-server')) missing.push({ name: 'Redis', debian: 'redis-server' });
  if (!isThere('pg_ctl') || !isThere('initdb')) {
    missing.push({ name: 'PostgreSQL', debian: 'postgresql' });
  }
  // The WebDAV test suite of others, and shells that complete the command.
  for (const name of ['litmus', 'zsh', 'fish']) {
    if (!isThere(name)) missing.push({ name, debian: name });
  }
  if (!browsers.some((name) => isThere(name))) {
    missing.push({ name: 'Chromium', debian: 'chromium-headless-shell' });
  }
  if (!isThere('ffmpeg', '-version')) missing.push({ name: 'ffmpeg', debian: 'ffmpeg' });
  return missing;
}

/** Debian keeps the server's tools of each version apart, outside PATH. */
function addPostgresToPath() {
  const base = '/usr/lib/postgresql';
  if (isThere('pg_ctl') || !existsSync(base)) return;
  const newest = readdirSync(base).sort((a, b) => Number(b) - Number(a))[0];
  if (newest) process.env.PATH = `${process.env.PATH}${delimiter}${base}/${newest}/bin`;
}

function isThere(program, question = '--version') {
  return spawnSync(program, [question]).status === 0;
}

function installDebianPackages(packages) {
  const admin = administratorPrefix();
  if (!admin || !isThere('apt-get')) return;
  say(`installing ${packages.join(', ')}`);
  const run = (...command) => {
    const [program, ...args] = [...admin, ...command];
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    return spawnSync(program, args, { stdio: ['ignore', 2, 2], env }).status === 0;
  };
  const letServicesStart = forbidServices();
  try {
    const install = (...names) =>
      run('apt-get', '-qq', 'install', '-y', '--no-install-recommends', ...names);
    const isDone = run('apt-get', '-qq', 'update') && install(...packages);
    // One that this system does not know keeps the others out.
    const left = isDone ? [] : packages.filter((name) => !install(name));
    if (left.length > 0) say(`could not install ${left.join(', ')}`);
  } finally {
    letServicesStart();
  }
}

/** Root needs no prefix; a CI machine usually lets its user become root without a password. */
function administratorPrefix() {
  if (process.getuid?.() === 0) return [];
  const maySudo = process.env.CI === 'true' && spawnSync('sudo', ['-n', 'true']).status === 0;
  return maySudo ? ['sudo', '-n', '--preserve-env=DEBIAN_FRONTEND'] : undefined;
}

/** Debian starts a service when its package is installed, unless this policy says no. */
function forbidServices() {
  const policy = '/usr/sbin/policy-rc.d';
  if (process.getuid?.() !== 0 || existsSync(policy)) return () => {};
  writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  return () => rmSync(policy, { force: true });
}

function say(line) {
  process.stderr.write(`test: ${line}\n`);
}
