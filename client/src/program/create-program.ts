import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { exitCodesText } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import type { CommandGroup } from './groups.ts';
import type { WholeCommand } from './whole-command.ts';

/** Read when asked: only `--version` needs it. */
const version = () =>
  (
    JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    }
  ).version;

export interface ProgramOptions {
  readonly session: Session;
  readonly groups: readonly CommandGroup[];
  /** Whether failures are said as JSON, by whoever catches them. */
  readonly isJson: boolean;
  readonly whole: WholeCommand;
}

/** The `dfs` command with these groups of commands. Parsing rejects with `CommanderError` when it is called wrongly, and never ends the process. */
export async function createProgram(options: ProgramOptions): Promise<Command> {
  const { session, groups, isJson, whole } = options;
  const program = new Command('dfs')
    .description('A replicated file store on the machines you already have.')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      `
The store's address and key come from DFS_URL and DFS_KEY (or DFS_KEY_FILE), else from the file that "dfs up" writes.

Exit codes:
${exitCodesText}

Examples:
  dfs up                          run a store on this machine
  dfs put report.pdf              store a file
  tar c photos | dfs put - photos.tar
  dfs get report.pdf              read it back
  dfs replicas report.pdf         see where its copies are`,
    );
  // Handled by the caller, so that a wrong call has an exit code of its own.
  program.exitOverride();
  if (isJson) program.configureOutput({ outputError: () => {} });
  program.option('-V, --version', 'print the version');
  program.on('option:version', () => {
    process.stdout.write(`${version()}\n`);
    throw new CommanderError(0, 'commander.version', 'The version was printed.');
  });
  for (const { heading, load } of groups) {
    program.commandsGroup(heading);
    (await load())(program, session, whole);
  }
  return program;
}
