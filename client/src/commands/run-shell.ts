import { Readable } from 'node:stream';
import { stateDirOf } from '../client-config.ts';
import type { WholeCommand } from '../program/whole-command.ts';
import type { Session } from '../session.ts';
import { History, historyMax } from '../shell/history.ts';
import { PipedLines, TerminalLines } from '../shell/line-source.ts';
import { Shell } from '../shell/shell.ts';

export interface RunShellOptions {
  /** Lines to run instead of those of standard input. */
  readonly command?: string;
  readonly stopOnFailure?: boolean;
}

/** `dfs shell`: a prompt at a terminal, else the lines of standard input. Resolves with the exit code. */
export async function runShell(
  session: Session,
  whole: WholeCommand,
  { command, stopOnFailure = false }: RunShellOptions,
): Promise<number> {
  if (command !== undefined || !process.stdin.isTTY) {
    const input = command === undefined ? process.stdin : Readable.from([Buffer.from(command)]);
    const shell = new Shell({
      session,
      whole,
      source: () => new PipedLines(input, process.stderr),
      isInteractive: false,
      stopsOnFailure: stopOnFailure,
    });
    return shell.run();
  }
  const history = new History(stateDirOf(session.environment));
  process.stdout.write('Type help for the commands; Tab completes, Ctrl-D or exit leaves.\n');
  const shell = new Shell({
    session,
    whole,
    source: (self) =>
      new TerminalLines({
        input: process.stdin,
        output: process.stdout,
        history: history.read(),
        historyMax,
        complete: (line) => self.complete(line),
        onInterrupt: () => self.interrupt(),
      }),
    isInteractive: true,
    stopsOnFailure: stopOnFailure,
    onLine: (line) => history.add(line),
  });
  return shell.run();
}
