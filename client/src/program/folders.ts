import { type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import { json, wholeNumber } from './arguments.ts';

const transfers = () =>
  new Option('-j, --transfers <n>', 'how many files at a time')
    .argParser(wholeNumber(1, 64))
    .default(8);

const dryRun = () => new Option('-n, --dry-run', 'change nothing: say what would be done');

/** Whole directories to the store and back. */
export function addFolderCommands(program: Command, session: Session): void {
  program
    .command('import')
    .description('store a file or a whole directory of this machine')
    .argument('<host path>', 'a file or a directory on this machine')
    .argument('<path>', 'what it becomes in the store; a directory for a file to go into, too')
    .addOption(transfers())
    .addOption(dryRun())
    .addOption(json())
    .addHelpText(
      'after',
      `
The contents of a directory become the contents of the named one, empty directories and times of modification too.
What is there already with the same MD5 is skipped, so that a second run goes on where the first one stopped; what is there and differs
is replaced (and in the trash). Nothing is deleted. Symbolic links, sockets and devices are skipped, and counted.

Examples:
  dfs import photos /photos
  dfs import report.pdf /2026/
  dfs import --transfers 16 ~/src /backup/src`,
    )
    .action(async (hostPath: string, path: string, options) => {
      const { importPath } = await import('../commands/import-export.ts');
      await importPath(session, hostPath, path, options);
    });
  program
    .command('export')
    .description('write a file or a whole directory of the store to this machine')
    .argument('<path>', 'a file or a directory of the store')
    .argument('<host path>', 'what it becomes here; a directory for a file to go into, too')
    .addOption(transfers())
    .addOption(dryRun())
    .addOption(json())
    .addHelpText(
      'after',
      `
Every file is checked against its MD5 and takes its name when it is whole. What is here already with the same MD5 is skipped; what is here
and differs is replaced. Nothing is deleted, and nothing is written outside of the named directory, through symbolic links neither.

Examples:
  dfs export /photos photos
  dfs export /2026/report.pdf .`,
    )
    .action(async (path: string, hostPath: string, options) => {
      const { exportPath } = await import('../commands/import-export.ts');
      await exportPath(session, path, hostPath, options);
    });
  addSynchroniser(program, {
    name: 'push',
    description: 'make a folder of the store equal to one of this machine',
    target: 'in the store',
    source: 'this machine',
    run: async (path, options) => {
      const { push } = await import('../commands/push-pull.ts');
      await push(session, path, options);
    },
  });
  addSynchroniser(program, {
    name: 'pull',
    description: 'make a folder of this machine equal to one of the store',
    target: 'here',
    source: 'the store',
    run: async (path, options) => {
      const { pull } = await import('../commands/push-pull.ts');
      await pull(session, path, options);
    },
  });
}

interface Synchroniser {
  readonly name: 'push' | 'pull';
  readonly description: string;
  readonly target: string;
  readonly source: string;
  readonly run: (
    path: string,
    options: import('../commands/push-pull.ts').PushPullOptions,
  ) => Promise<void>;
}

function addSynchroniser(program: Command, command: Synchroniser): void {
  const { name, description, target, source, run } = command;
  program
    .command(name)
    .description(description)
    .argument('[local path]', 'the folder, from the current one here and from "dfs cd" there', '.')
    .option('--remote <path>', 'the folder of the store, where it has another path')
    .option('--delete', `delete ${target} what ${source} does not have`)
    .option('--force', `overwrite what changed ${target} since the last push or pull`)
    .addOption(dryRun())
    .addOption(transfers())
    .addOption(json())
    .addHelpText(
      'after',
      `
Files are compared by content, and what both sides held after the last push or pull is remembered (in the state directory of the user).
Left alone, named, and told by exit code 5 is
  - a conflict: what changed on both sides, or differs and was never pushed or pulled before
  - what changed ${target} alone, since ${name} would bring the older content back
unless --force is given. A file that takes a directory's place, or the reverse, needs --delete, as everything does that takes
a name away ${target}. Look first: dfs ${name} --delete --dry-run. What stopped in the middle goes on when it is run again.

Examples:
  dfs ${name}
  dfs ${name} photos --delete --dry-run
  dfs ${name} site --remote /www/site`,
    )
    .action(run);
}
