import { type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import { copies, json } from './arguments.ts';

/** Bytes to the store and back. */
export function addFileCommands(program: Command, session: Session): void {
  program.commandsGroup('Files:');
  program
    .command('put')
    .description('store files')
    .argument(
      '<file...>',
      'local files, or - for standard input; the last one may be the target, see below',
    )
    .option('-t, --to <path>', 'where to: a path of the store, a directory when it ends in a slash')
    .addOption(
      new Option('--on-conflict <what>', 'when the name is taken')
        .choices(['rename', 'replace', 'fail'])
        .default('rename'),
    )
    .option('--public', 'readable without a key')
    .option('--min-copies <n>', 'answer once this many nodes hold it', copies)
    .option('--type <media type>', 'its content type; guessed from the name otherwise')
    .addOption(json())
    .addHelpText(
      'after',
      `
A name that is taken is kept: the new file gets a free one, which is printed.
The last argument is the target when it follows -, or when it starts or ends with a slash and is no local file.

Examples:
  dfs put report.pdf
  dfs put a.jpg b.jpg /photos/
  dfs put report.pdf --to /2026/final.pdf --on-conflict replace
  pg_dump shop | dfs put - /backups/shop.sql`,
    )
    .action(async (files: string[], options) => {
      const { put } = await import('../commands/put.ts');
      await put(session, files, options);
    });
  program
    .command('get')
    .description('read a file')
    .argument('<path>', 'a path of the store, a pattern such as *.jpg, or id:<file id>')
    .argument(
      '[local]',
      'where to: a file, a directory, or - for standard output (default: its name, here)',
    )
    .addOption(json())
    .addHelpText(
      'after',
      "\nExamples:\n  dfs get report.pdf\n  dfs get /photos/a.jpg pictures/\n  dfs get '/photos/*.jpg' pictures/\n  dfs get /backups/shop.sql - | psql shop",
    )
    .action(async (path: string, local: string | undefined, options) => {
      const { get } = await import('../commands/get.ts');
      await get(session, path, local, options);
    });
  program
    .command('cat')
    .description('write files to standard output, one after the other')
    .argument('<path...>', 'paths of the store; patterns such as *.txt are expanded')
    .addHelpText(
      'after',
      "\nExamples:\n  dfs cat notes.txt\n  dfs cat '/logs/2026-*.log' | grep error",
    )
    .action(async (words: string[]) => {
      const { concatenate } = await import('../commands/concatenate.ts');
      await concatenate(session, words);
    });
}
