import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ProgramName = 'master' | 'storage-node' | 'replicator';

/** What a program says once it serves; each fills what it has. */
export interface ReadyInfo {
  readonly url?: string;
  readonly managementUrl?: string;
  readonly port?: number;
  readonly managementPort?: number;
  readonly publicPort?: number;
  readonly nodeId?: string;
  readonly name?: string;
  readonly dataDir?: string;
}

/** A failure to say in one line, without a stack. */
export class LaunchError extends Error {
  override readonly name = 'LaunchError';
}

/** The libuv pool is shared by disk, database driver and DNS; it is sized when a process starts, hence here. */
const threadPoolSize = '16';

/** Path of a program's main module, by package. Throws `LaunchError` naming the package when it is not installed. */
export function mainModuleOf(program: ProgramName): string {
  const packageName = `@dfs/${program}`;
  try {
    return fileURLToPath(import.meta.resolve(`${packageName}/main`));
  } catch {
    throw new LaunchError(
      `The program ${program} is not installed here: npm install ${packageName}`,
    );
  }
}

export interface LaunchOptions {
  readonly program: ProgramName;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where its output is appended; absent: it shares the terminal. */
  readonly logFile?: string;
}

/**
 * One program as a child process. The channel between the two ends when either dies, by which the child knows that it is an
 * orphan and stops. It has a process group of its own, so that Ctrl-C reaches the launcher alone, which passes it on in order.
 */
export class LaunchedProgram {
  readonly #child: ChildProcess;
  readonly #logFile: string | undefined;
  readonly #logStart: number;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  hasExited = false;

  constructor({ program, environment, logFile }: LaunchOptions) {
    const log = logFile === undefined ? undefined : openSync(logFile, 'a');
    this.#logFile = logFile;
    this.#logStart = logFile === undefined ? 0 : statSync(logFile).size;
    const output = log ?? 'inherit';
    this.#child = spawn(process.execPath, [mainModuleOf(program)], {
      stdio: ['ignore', output, output, 'ipc'],
      detached: true,
      env: { UV_THREADPOOL_SIZE: threadPoolSize, ...environment },
    });
    if (log !== undefined) closeSync(log);
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null) => {
        this.hasExited = true;
        resolve({ code, signal });
      };
      this.#child.once('error', () => end(1, null));
      this.#child.once('exit', end);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the program serves. Rejects with `LaunchError` and the program's own last words when it ends before. */
  async ready(): Promise<ReadyInfo> {
    const answer = await new Promise<ReadyInfo | undefined>((resolve) => {
      this.#child.on('message', (message: { ready?: true } & ReadyInfo) => {
        if (message.ready) resolve(message);
      });
      void this.exited.then(() => resolve(undefined));
    });
    if (answer) return answer;
    const { code, signal } = await this.exited;
    throw new LaunchError(this.#lastWords() || `It ended at once (${signal ?? `exit ${code}`}).`);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Asks it to stop and waits; ends it by force after `patienceMs`. Gives whether it went by itself. */
  async stop(patienceMs: number): Promise<boolean> {
    if (this.hasExited) return true;
    this.#child.kill('SIGTERM');
    let wasForced = false;
    const timer = setTimeout(() => {
      wasForced = true;
      this.#child.kill('SIGKILL');
    }, patienceMs);
    await this.exited;
    clearTimeout(timer);
    return !wasForced;
  }

  /** Plain lines that it wrote since its start: programs say in plain words why they do not start, all else is JSON. */
  #lastWords(): string {
    if (this.#logFile === undefined) return '';
    const written = readFileSync(this.#logFile).subarray(this.#logStart).toString();
    const lines = written.split('\n').filter((line) => line !== '' && !line.startsWith('{'));
    return lines.slice(-20).join('\n');
  }
}
