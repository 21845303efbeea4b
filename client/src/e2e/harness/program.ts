import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { forgetProcess, watchProcess } from './guard.ts';
import { InVain, waitUntil } from './wait-until.ts';

/** The command as it is installed: the committed launcher of the client. */
export const dfsCommand = fileURLToPath(new URL('../../../bin/dfs.js', import.meta.url));

export interface StartOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly stdin?: Readable | Uint8Array | string;
}

/** What a process left behind. */
export interface Finished {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Buffer;
  /** Standard output, which must be JSON. */
  json<T>(): T;
}

/** A process of the tests, with all that it prints. Ends at the latest with the tests. */
export class Program {
  readonly #child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly finished: Promise<Finished>;
  hasEnded = false;

  constructor(command: readonly string[], options: StartOptions = {}) {
    const [file = '', ...args] = command;
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...options.environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child = child;
    if (child.pid !== undefined) watchProcess(child.pid);
    child.stdout.on('data', (chunk: Buffer) => this.#stdout.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    this.finished = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.hasEnded = true;
        if (child.pid !== undefined) forgetProcess(child.pid);
        resolve(this.#finish(code, signal));
      });
    });
    this.finished.catch(() => undefined);
    // A program that reads nothing breaks the pipe, which is its right.
    child.stdin.on('error', () => undefined);
    const { stdin } = options;
    if (stdin === undefined || typeof stdin === 'string' || stdin instanceof Uint8Array) {
      child.stdin.end(stdin ?? '');
    } else {
      pipeline(stdin, child.stdin).catch(() => undefined);
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** All that it printed so far, on both outputs. */
  get output(): string {
    return Buffer.concat([...this.#stdout, ...this.#stderr]).toString();
  }

  /** Resolves with the match once it printed something like this; rejects when it ends before. */
  async printed(pattern: RegExp, withinMs = 60_000): Promise<RegExpExecArray> {
    return waitUntil(
      `${pattern} in the output of process ${this.pid}, which was:\n${this.output}`,
      () => {
        const match = pattern.exec(this.output);
        if (!match && this.hasEnded) throw new InVain(`It ended with:\n${this.output}`);
        return match;
      },
      { withinMs },
    );
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Asks it to stop and waits; ends it by force when that takes too long, and rejects then. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', withinMs = 40_000): Promise<Finished> {
    if (!this.hasEnded) this.kill(signal);
    let isForced = false;
    const timer = setTimeout(() => {
      isForced = true;
      this.kill('SIGKILL');
    }, withinMs);
    const finished = await this.finished;
    clearTimeout(timer);
    if (isForced) throw new Error(`It did not stop on ${signal}; it printed:\n${this.output}`);
    return finished;
  }

  #finish(code: number | null, signal: NodeJS.Signals | null): Finished {
    const bytes = Buffer.concat(this.#stdout);
    const stderr = Buffer.concat(this.#stderr).toString();
    const json = <T>() => {
      try {
        return JSON.parse(bytes.toString()) as T;
      } catch (cause) {
        throw new Error(`No JSON, exit code ${code}:\n${bytes.subarray(0, 2_000)}\n${stderr}`, {
          cause,
        });
      }
    };
    return { code, signal, stdout: bytes.toString(), stderr, bytes, json };
  }
}

/** Starts the `dfs` command. */
export const startDfs = (args: readonly string[], options: StartOptions) =>
  new Program([process.execPath, dfsCommand, ...args], options);

/** The environment of a user who has never used dfs: neither their settings nor those of a test runner leak in. */
export function userEnvironment(home: string): Record<string, string | undefined> {
  const foreign =
    /^(DFS_|SHARD_KEY$|INSTANCE_NAME$|GOSSIP_INSTANCE$|XDG_|npm_|VITEST|NODE_ENV$|NODE_OPTIONS$|UV_THREADPOOL_SIZE$|HOME$|https?_proxy$|HTTPS?_PROXY$)/;
  const kept = Object.entries(process.env).filter(([name]) => !foreign.test(name));
  return { ...Object.fromEntries(kept), HOME: home, XDG_CONFIG_HOME: `${home}/.config` };
}

/** Whether a process runs: one that ended and was not waited for yet does not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const state = statOf(pid)?.[0];
  // Without /proc it is taken for running.
  return process.platform !== 'linux' || (state !== undefined && !/[ZX]/.test(state));
}

/** The processes that this one started and that still run; from /proc. */
export const childrenOf = (pid: number): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((child) => statOf(child)?.[1] === String(pid) && isAlive(child));

/** State, parent and so on; undefined when there is no such process. */
function statOf(pid: number): string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name before may hold blanks and brackets.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

/** Resolves when none of these processes runs any more. */
export const waitForEnd = (pids: readonly number[], withinMs = 30_000) =>
  waitUntil(`the end of processes ${pids.join(', ')}`, () => !pids.some(isAlive), { withinMs });

/** The most memory that a process ever had resident, in bytes; undefined where the system does not tell. */
export function peakMemoryBytes(pid: number): number | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
  } catch {
    return undefined;
  }
}
