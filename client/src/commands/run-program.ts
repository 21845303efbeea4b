import { LaunchedProgram, type ProgramName } from '../launch/program.ts';

/**
 * `dfs master|node|replicator`: runs one program in the foreground with these settings laid over the environment, and gives its exit code.
 * The program stops when this process is killed, since it holds a channel to it.
 */
export async function runOneProgram(
  program: ProgramName,
  settings: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  const environment = { ...process.env, ...Object.fromEntries(given) };
  const launched = new LaunchedProgram({ program, environment });
  process.on('SIGTERM', () => launched.kill('SIGTERM'));
  process.on('SIGHUP', () => launched.kill('SIGTERM'));
  process.on('SIGINT', () => launched.kill('SIGINT'));
  const { code, signal } = await launched.exited;
  return code ?? (signal === 'SIGINT' ? 130 : 143);
}
