import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Tells on stderr, behind the name of the measurement, how far it is. */
export const sayAs = (name: string) => (line: string) =>
  void process.stderr.write(`${name}: ${line}\n`);

/** Runs a measurement as this process: ends with the exit code that it gives, or with 1 and its failure in a line. */
export function runAsProgram(name: string, main: (argv: string[]) => Promise<number>): void {
  main(process.argv.slice(2)).then(
    (exitCode) => {
      process.exitCode = exitCode;
    },
    (error: Error) => {
      sayAs(name)(error.message);
      process.exitCode = 1;
    },
  );
}

/** Gives a new directory below `parent` to an action, and removes it when that ended. */
export async function inNewDirectory<T>(
  parent: string,
  name: string,
  action: (directory: string) => Promise<T>,
): Promise<T> {
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, `dfs-${name}-`));
  try {
    return await action(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
