import { type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** What is kept of what was removed, and in how many copies. */
export function addKeepingCommands(program: Command, session: Session): void {
  addTrash(program, session);
  program
    .command('copies')
    .description('set how many copies of files are kept')
    .argument('<n>', 'a whole number from 1 to 16, or "inherit": as the directory above has it')
    .argument('<path...>', 'files, or directories for all that is in them; patterns are expanded')
    .addOption(json())
    .addHelpText(
      'after',
      `
What is set nearest to a file counts; where nothing is set, DFS_COPIES of the master. Copies are made and removed in the background:
"dfs stat PATH" shows what is set and what is stored.

Examples:
  dfs copies 3 /photos
  dfs copies 1 /photos/thumbnails
  dfs copies inherit /photos/thumbnails`,
    )
    .action(async (asked: string, words: string[], options) => {
      const { setCopies } = await import('../commands/copies.ts');
      await setCopies(session, asked, words, options);
    });
}

function addTrash(program: Command, session: Session): void {
  const trash = program
    .command('trash')
    .description('look at what was removed or replaced, bring it back, or delete it for good')
    .addHelpText(
      'after',
      `
What is removed or replaced stays in the trash for DFS_TRASH_TTL (a day by default).

Examples:
  dfs trash ls -l
  dfs trash restore /photos/2019
  dfs trash restore report.pdf --to old-report.pdf
  dfs trash empty --yes`,
    );
  trash
    .command('ls')
    .description('list it, newest first')
    .argument('[path]', 'only what was there, or below it')
    .option('-l, --long', 'when, why, how large, and the id')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs trash ls -l\n  dfs trash ls /photos --json')
    .action(async (word: string | undefined, options) => {
      const { listTrash } = await import('../commands/trash.ts');
      await listTrash(session, word, options);
    });
  trash
    .command('restore')
    .description('bring one back, by default to where it was')
    .argument(
      '<path or id>',
      'a path, of which the newest comes back, or an id of "dfs trash ls -l"',
    )
    .option('--to <path>', 'to another place')
    .addOption(
      new Option('--on-conflict <what>', 'when the name is taken')
        .choices(['fail', 'rename', 'replace'])
        .default('fail'),
    )
    .addOption(json())
    .addHelpText(
      'after',
      '\nExamples:\n  dfs trash restore report.pdf\n  dfs trash restore report.pdf --to old-report.pdf\n  dfs trash restore /photos --on-conflict rename',
    )
    .action(async (word: string, options) => {
      const { restoreTrash } = await import('../commands/trash.ts');
      await restoreTrash(session, word, options);
    });
  trash
    .command('empty')
    .description('delete for good, after asking')
    .argument('[path or id]', 'only what was there or below it, or one item (default: everything)')
    .option('-y, --yes', 'do not ask')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs trash empty\n  dfs trash empty /photos --yes')
    .action(async (word: string | undefined, options) => {
      const { emptyTrash } = await import('../commands/trash.ts');
      await emptyTrash(session, word, options);
    });
}
