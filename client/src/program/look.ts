import type { Command } from 'commander';
import type { Session } from '../session.ts';
import { json, wholeNumber } from './arguments.ts';

/** What is known of files and copies. */
export function addLookCommands(program: Command, session: Session): void {
  program.commandsGroup('Looking:');
  program
    .command('stat')
    .description('show what is known of a file or directory')
    .argument('<path...>', 'paths of the store; patterns such as *.txt are expanded')
    .addOption(json())
    .addHelpText(
      'after',
      "\nExamples:\n  dfs stat report.pdf\n  dfs stat /photos '/photos/*.jpg' --json",
    )
    .action(async (words: string[], options) => {
      const { statPaths } = await import('../commands/look.ts');
      await statPaths(session, words, options);
    });
  program
    .command('replicas')
    .description('show where the copies of a file are')
    .argument('<path>')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs replicas report.pdf')
    .action(async (path: string, options) => {
      const { replicas } = await import('../commands/look.ts');
      await replicas(session, path, options);
    });
  program
    .command('log')
    .description('show every attempt at making a copy, newest last')
    .argument('[path]', 'only of this file, all of them')
    .option(
      '-n, --lines <n>',
      'the last n (default: 100, all with a path)',
      wholeNumber(1, 1_000_000),
    )
    .option('-f, --follow', 'go on with what comes')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs log -n 20\n  dfs log report.pdf\n  dfs log --follow')
    .action(async (path: string | undefined, options) => {
      const { log } = await import('../commands/look.ts');
      await log(session, path, options);
    });
}
