import { accessSync, constants } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { temporaryDirectory } from './guard.ts';
import { Program } from './program.ts';
import { freePort } from './separate-programs.ts';

/** Where Redis is installed; undefined where it is not, which is a failure under `CI=true`. */
export function findRedis(): string | undefined {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder || '.', 'redis-server'))
    .find(isExecutable);
  if (found === undefined && process.env['CI'] === 'true') {
    throw new Error('redis-server is not installed, and under CI=true no test may be skipped.');
  }
  return found;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A Redis of the test's own, which keeps its data over `kill` and `restart`. */
export class TestRedis {
  readonly #executable: string;
  readonly #port: number;
  readonly #directory = temporaryDirectory('redis');
  #program: Program;

  private constructor(executable: string, port: number) {
    this.#executable = executable;
    this.#port = port;
    this.#program = this.#launch();
  }

  static async start(executable: string): Promise<TestRedis> {
    const redis = new TestRedis(executable, await freePort());
    await redis.#program.printed(/Ready to accept connections/i);
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  /** As a crash does; it comes back with what it had written. */
  async killAndRestart(): Promise<void> {
    this.#program.kill('SIGKILL');
    // Only when it was waited for, all its threads have let go of the port.
    await this.#program.finished;
    this.#program = this.#launch();
    await this.#program.printed(/Ready to accept connections/i);
  }

  /** Deletes everything in it. */
  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port: this.#port, host: '127.0.0.1' });
      socket.once('error', reject);
      socket.once('data', (answer) => {
        socket.destroy();
        if (answer.toString().startsWith('+OK')) resolve();
        else reject(new Error(`FLUSHALL: ${answer}`));
      });
      socket.write('FLUSHALL\r\n');
    });
  }

  async stop(): Promise<void> {
    if (!this.#program.hasEnded) await this.#program.stop('SIGTERM');
  }

  #launch(): Program {
    const where = ['--port', String(this.#port), '--bind', '127.0.0.1', '--dir', this.#directory];
    const how = ['--save', '', '--appendonly', 'yes', '--maxmemory-policy', 'noeviction'];
    return new Program([this.#executable, ...where, ...how, '--daemonize', 'no'], {
      environment: { PATH: process.env['PATH'], LC_ALL: 'C' },
    });
  }
}
