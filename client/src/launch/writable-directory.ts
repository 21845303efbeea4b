import { access, constants } from 'node:fs/promises';
import { makeDirectories, whyNotMade } from '@dfs/shared';
import { LaunchError } from './program.ts';

/**
 * Makes a directory where it is missing and sees that it can be written. Rejects with `LaunchError` that says what the directory is for, why it does not do, and what to do.
 */
export async function makeWritable(
  path: string,
  { what, advice }: { readonly what: string; readonly advice: string },
): Promise<void> {
  const refuse = (verb: string) => (error: unknown) => {
    throw new LaunchError(`The ${what} ${path} cannot be ${verb}: ${whyNotMade(error)}. ${advice}`);
  };
  await makeDirectories(path).catch(refuse('made'));
  await access(path, constants.W_OK | constants.X_OK).catch(refuse('written'));
}
