import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts a built program of this package with a message channel; it prints to our stderr. */
export function forkProgram(name: string, environment: NodeJS.ProcessEnv = {}): ChildProcess {
  const program = fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url));
  return fork(program, [], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 2, 2, 'ipc'],
  });
}

/** Ends a child by `signal`, after `patienceMs` by SIGKILL; resolves when it is gone. */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals,
  patienceMs: number,
): Promise<{ wasKilled: boolean }> {
  if (child.exitCode !== null || child.signalCode !== null) return { wasKilled: false };
  const gone = once(child, 'exit');
  let wasKilled = false;
  const timer = setTimeout(() => {
    wasKilled = true;
    child.kill('SIGKILL');
  }, patienceMs);
  child.kill(signal);
  await gone;
  clearTimeout(timer);
  return { wasKilled };
}
