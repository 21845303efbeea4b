import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { accessSync, constants, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { listen } from '../listen.ts';

/** A real server started for a test, on 127.0.0.1 and a port of its own. */
export interface TestServer {
  readonly url: string;
  /** Ends it in order and deletes its data. */
  stop(): Promise<void>;
  /** Ends it as a crash does; its data stay for `restart`. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same port and data. */
  restart(): Promise<void>;
}

/** A new Redis that keeps its data over `kill` and `restart`, or undefined where none is installed; throws then when `CI` is `true`. */
export async function startRedis(): Promise<TestServer | undefined> {
  const program = findProgram('redis-server');
  if (program === undefined) return missing('redis-server');
  return startServer({
    directory: await mkdtemp(join(tmpdir(), 'dfs-redis-')),
    owner: {},
    command: (directory, port) => [
      program,
      ...['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', ''],
      ...['--appendonly', 'yes', '--maxmemory-policy', 'noeviction', '--daemonize', 'no'],
    ],
    readyLine: /Ready to accept connections/i,
    stopSignal: 'SIGTERM',
    crashSignal: 'SIGKILL',
    urlOf: (port) => `redis://127.0.0.1:${port}`,
  });
}

/** A new PostgreSQL cluster (UTF-8, locale C), or undefined where none is installed; throws then when `CI` is `true`. */
export async function startPostgres(): Promise<TestServer | undefined> {
  const program = findProgram('postgres', debianPostgresFolders());
  const makeCluster =
    program && findProgram('initdb', [dirname(program), dirname(realpathSync(program))]);
  if (!program || !makeCluster) return missing('postgres');
  const owner = ownerOfPostgres();
  const directory = await mkdtemp(join(tmpdir(), 'dfs-postgres-'));
  if ('uid' in owner) await chown(directory, owner.uid, owner.gid);
  await promisify(execFile)(
    makeCluster,
    [
      ...['-D', directory, '-U', 'postgres', '--auth=trust'],
      ...['--encoding=UTF8', '--locale=C', '--no-sync'],
    ],
    { ...owner, cwd: directory, env: plainEnvironment },
  );
  return startServer({
    directory,
    owner,
    command: (_, port) => [
      program,
      ...['-D', directory, '-p', String(port), '-c', 'listen_addresses=127.0.0.1'],
      ...[
        '-c',
        'unix_socket_directories=',
        '-c',
        'shared_buffers=32MB',
        '-c',
        'max_connections=100',
      ],
      // Only a crash of the machine would need these; a crash of the server loses nothing that was committed.
      ...['-c', 'fsync=off', '-c', 'full_page_writes=off'],
    ],
    readyLine: /database system is ready to accept connections/,
    stopSignal: 'SIGINT',
    // Immediate shutdown: no checkpoint, so the next start recovers from the log. SIGKILL would leave children behind that stop it from starting.
    crashSignal: 'SIGQUIT',
    urlOf: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
  });
}

/** Empty: whoever runs the test. */
type Owner = { readonly uid: number; readonly gid: number } | Record<string, never>;

interface ServerRecipe {
  readonly directory: string;
  readonly owner: Owner;
  readonly command: (directory: string, port: number) => readonly string[];
  readonly readyLine: RegExp;
  readonly stopSignal: NodeJS.Signals;
  readonly crashSignal: NodeJS.Signals;
  readonly urlOf: (port: number) => string;
}

const plainEnvironment = { PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' };
const startsMax = 3;

async function startServer(recipe: ServerRecipe): Promise<TestServer> {
  let running: { readonly port: number; readonly process: ChildProcess } | undefined;
  for (let start = 1; running === undefined; start += 1) {
    const port = await freePort();
    try {
      running = { port, process: await launch(recipe, port) };
    } catch (error) {
      // Another program can take the port between the two steps.
      if (start === startsMax) {
        await rm(recipe.directory, { recursive: true, force: true });
        throw error;
      }
    }
  }
  const { port } = running;
  let server = running.process;
  return {
    url: recipe.urlOf(port),
    kill: () => end(server, recipe.crashSignal),
    restart: async () => {
      server = await launch(recipe, port);
    },
    stop: async () => {
      await end(server, recipe.stopSignal);
      await rm(recipe.directory, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** Resolves when the server says that it is ready; rejects with its last words when it ends before. */
async function launch(recipe: ServerRecipe, port: number): Promise<ChildProcess> {
  const [program = '', ...parameters] = recipe.command(recipe.directory, port);
  const server = spawn(program, parameters, {
    ...recipe.owner,
    cwd: recipe.directory,
    env: plainEnvironment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const words: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const heed = (line: string) => {
      words.push(line);
      if (words.length > 20) words.shift();
      if (recipe.readyLine.test(line)) resolve();
    };
    for (const output of [server.stdout, server.stderr]) {
      createInterface({ input: output }).on('line', heed);
    }
    server.once('error', reject);
    server.once('exit', (code, signal) => {
      reject(new Error(`${program} ended with ${signal ?? code}:\n${words.join('\n')}`));
    });
    if (server.pid !== undefined) guard(server, recipe);
  });
  for (const output of [server.stdout, server.stderr]) unreference(output);
  server.unref();
  return server;
}

/** Outlives this process, to end the server and delete its data when this process dies without doing so. */
const guardScript = `
  read -r word
  [ "$word" = over ] && exit 0
  kill -s "$1" "$2" 2>/dev/null
  rounds=0
  while kill -0 "$2" 2>/dev/null && [ "$rounds" -lt 50 ]; do sleep 0.1; rounds=$((rounds + 1)); done
  rm -rf "$3"
`;

function guard(server: ChildProcess, { crashSignal, directory }: ServerRecipe): void {
  const signalName = crashSignal.replace(/^SIG/, '');
  const watcher = spawn(
    '/bin/sh',
    ['-c', guardScript, 'sh', signalName, String(server.pid), directory],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  );
  watcher.stdin.on('error', () => undefined);
  server.once('exit', () => watcher.stdin.end('over\n'));
  unreference(watcher.stdin);
  watcher.unref();
}

/** Pipes of child processes are sockets, whatever their type says. */
const unreference = (stream: unknown) => (stream as { unref?: () => void }).unref?.();

function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    server.ref();
    server.once('exit', () => resolve());
    server.kill(signal);
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server, { host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function findProgram(name: string, folders: readonly string[] = []): string | undefined {
  const searched = [...(process.env['PATH'] ?? '').split(delimiter), ...folders];
  return searched.map((folder) => join(folder || '.', name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Where Debian keeps the programs of each version, newest first. */
function debianPostgresFolders(): string[] {
  const root = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
    return versions.map((version) => join(root, version, 'bin'));
  } catch {
    return [];
  }
}

/** PostgreSQL refuses to run as root: another user must own it then. */
function ownerOfPostgres(): Owner {
  if (process.getuid?.() !== 0) return {};
  const lines = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'));
  const user = ['postgres', 'nobody'].flatMap((name) =>
    lines.filter((fields) => fields[0] === name),
  )[0];
  if (!user)
    throw new Error('PostgreSQL needs a user other than root: there is no postgres and no nobody.');
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

function missing(program: string): undefined {
  if (process.env['CI'] === 'true') {
    throw new Error(`${program} is not installed, and under CI=true no test may be skipped.`);
  }
  return undefined;
}
