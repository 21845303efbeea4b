import { ConfigurationError, StoreError } from '@dfs/shared';
import { CommanderError } from 'commander';
import { exitCodeOf, exitCodes } from '../exit-codes.ts';
import { asksForJson, failureJson, failureText } from '../failure.ts';
import { ToldFailure } from '../messages.ts';
import type { Session } from '../session.ts';
import { createProgram } from './create-program.ts';
import { commandGroups, groupsFor } from './groups.ts';
import type { WholeCommand } from './whole-command.ts';

/**
 * Runs one call of `dfs` to its end and says on standard error what failed. Resolves with the exit code of a failure;
 * undefined when the command came to its end, which may have set `process.exitCode` itself.
 */
export async function runCommand(
  args: readonly string[],
  session: Session,
): Promise<number | undefined> {
  const isJson = asksForJson(args);
  try {
    const program = await createProgram({ session, groups: groupsFor(args), isJson, whole });
    await program.parseAsync(await written(args), { from: 'user' });
    return undefined;
  } catch (error) {
    return report(error, isJson);
  } finally {
    await session.close();
  }
}

export const whole: WholeCommand = {
  run: runCommand,
  create: (session) => createProgram({ session, groups: commandGroups, isJson: false, whole }),
};

/** The call as commander understands it: find has been called in its own way for fifty years. */
async function written(args: readonly string[]): Promise<string[]> {
  if (args[0] !== 'find') return [...args];
  return (await import('./find-arguments.ts')).findArguments(args);
}

/** Says an error in one or two lines, or as JSON, and gives the exit code. */
export function report(error: unknown, isJson: boolean): number {
  if (error instanceof CommanderError) {
    // Without JSON commander said it already.
    if (isJson && error.message.startsWith('error: ')) {
      const message = error.message.replace('error: ', '');
      process.stderr.write(`${failureJson(new StoreError('invalid-request', message))}\n`);
    }
    return error.exitCode === 0 ? 0 : exitCodes.usage;
  }
  if (error instanceof ToldFailure) return error.exitCode;
  process.stderr.write(`${isJson ? failureJson(error) : failureText(error)}\n`);
  const known = error instanceof StoreError || error instanceof ConfigurationError;
  const isLaunch = error instanceof Error && error.name === 'LaunchError';
  if (!known && !isLaunch && process.env['DFS_DEBUG'])
    process.stderr.write(`${(error as Error).stack}\n`);
  return exitCodeOf(error);
}
