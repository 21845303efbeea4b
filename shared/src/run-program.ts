import { ConfigurationError } from './environment.ts';
import { StoreError } from './errors.ts';
import { createLogger } from './logger.ts';

/** A started program, as `runProgram` holds it. */
export interface RunningProgram {
  /** Ends it in order: no new work, running work to its end, then sockets, queues, files. */
  stop(): Promise<void>;
}

export interface ProgramContext {
  /** Tells a parent that started this program with an IPC channel that it serves now; `info` goes along. Without a parent: nothing. */
  ready(info?: Readonly<Record<string, unknown>>): void;
  /** Aborted when the program shall stop, also while it still starts. */
  readonly stopping: AbortSignal;
}

export interface ProgramOptions {
  readonly name: string;
  readonly start: (context: ProgramContext) => Promise<RunningProgram>;
}

/** A program that did not stop by then is ended as it stands. */
const stopWithinMs = 20_000;

/**
 * The frame of every program's `main`: starts it, stops it in order on SIGINT, SIGTERM or when the parent that holds its IPC channel goes away
 * (so that a killed launcher leaves no orphan), and ends at once on a second signal. Exit codes: 0 stopped, 1 failed, 2 wrong configuration.
 */
export async function runProgram({ name, start }: ProgramOptions): Promise<void> {
  const fail = (message: string) => (error: unknown) => {
    createLogger({ program: name }).error(message, { error });
    process.exit(1);
  };
  process.on('unhandledRejection', fail('a failure that nobody handled'));
  process.on('uncaughtException', fail('a failure that nobody handled'));
  // Whoever read the output may go away first; that is no reason not to stop in order.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);

  const stopping = new AbortController();
  const stopAsked = new Promise<void>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const askToStop = () => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    const late = new StoreError('internal', `Still running after ${stopWithinMs} ms.`);
    setTimeout(() => fail('did not stop in time')(late), stopWithinMs).unref();
  };
  const heedSignal = (signal: NodeJS.Signals) => {
    if (stopping.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143);
    askToStop();
  };
  process.on('SIGINT', heedSignal);
  process.on('SIGTERM', heedSignal);
  if (process.send) {
    process.once('disconnect', askToStop);
    if (!process.connected) askToStop();
  }

  const context: ProgramContext = {
    stopping: stopping.signal,
    ready: (info) => {
      // The parent may be gone by now, which is told by `disconnect`.
      if (process.connected) process.send?.({ ready: true, ...info }, () => undefined);
    },
  };
  try {
    const program = await start(context);
    await stopAsked;
    await program.stop().catch(fail('could not stop in order'));
  } catch (error) {
    endOfFailedStart(name, error);
  }
  process.exit(0);
}

function endOfFailedStart(name: string, error: unknown): never {
  if (error instanceof ConfigurationError) {
    for (const line of error.message.split('\n')) process.stderr.write(`${name}: ${line}\n`);
    process.exit(2);
  }
  if (error instanceof StoreError) {
    // A refusal in our own words needs no stack: the line says what happened and what to do.
    process.stderr.write(`${name}: ${error.message}${error.hint ? ` ${error.hint}` : ''}\n`);
    process.exit(1);
  }
  createLogger({ program: name }).error('could not start', { error });
  process.exit(1);
}
