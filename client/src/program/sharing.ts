import { Argument, type Command } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** Who may read what without a key. */
export function addSharingCommands(program: Command, session: Session): void {
  program.commandsGroup('Who may read:');
  program
    .command('chmod')
    .description('make files and directories public or private')
    .addArgument(
      new Argument('<who>', 'inherit: as the directory above has it').choices([
        'public',
        'private',
        'inherit',
      ]),
    )
    .argument('<path...>', 'files, or directories for all that is in them; patterns are expanded')
    .addOption(json())
    .addHelpText(
      'after',
      `
What is public is read, and a public directory listed, without a key. What is said nearest to a file counts; where nothing is said, it is private.
"dfs stat PATH" shows both, and "dfs ls -l" a p for what is public.

Examples:
  dfs chmod public /photos/2026
  dfs chmod private /photos/2026/passport.jpg
  dfs chmod inherit '/photos/2026/*.jpg'`,
    )
    .action(async (who: 'public' | 'private' | 'inherit', words: string[], options) => {
      const { changeVisibility } = await import('../commands/visibility.ts');
      await changeVisibility(session, who, words, options);
    });
}
