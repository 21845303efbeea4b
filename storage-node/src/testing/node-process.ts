import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

export interface ReadyNode {
  readonly url: string;
  readonly nodeId: string;
  readonly name: string;
  readonly port: number;
  readonly dataDir: string;
}

/** The storage node as a process of its own, from the build. */
export class NodeProcess {
  readonly child: ChildProcess;
  /** What it printed so far. */
  output = '';
  /** What it told its parent when it was ready; stays pending when it never is. */
  readonly ready: Promise<ReadyNode>;
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | string>;

  constructor(environment: Readonly<Record<string, string>>) {
    const { PATH = '', HOME = '' } = process.env;
    this.child = spawn(process.execPath, [main], {
      env: { PATH, HOME, DFS_HOST: '127.0.0.1', DFS_PORT: '0', ...environment },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
    this.ready = once(this.child, 'message').then(([message]) => message as ReadyNode);
    // 'close' does not come when the IPC channel was closed by hand: the streams' last words are
    // waited for here.
    const streams = [this.child.stdout, this.child.stderr].map(
      (stream) => stream && once(stream, 'close'),
    );
    this.ended = once(this.child, 'exit').then(async ([code, signal]) => {
      await Promise.all(streams);
      return code ?? signal;
    });
  }

  /** Ends it at once, wherever it is. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }
}
