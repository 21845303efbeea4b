import type { Command } from 'commander';
import { exitCodes } from '../exit-codes.ts';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** Looking after what is stored. */
export function addCareCommands(program: Command, session: Session): void {
  program
    .command('scrub')
    .description('have the nodes read every blob again, and wait for it')
    .argument('[node]', 'the name or id of one node; all of them by default')
    .option('--no-wait', 'begin, and do not wait for the end')
    .option('--status', 'begin nothing, and show how each node stands')
    .addOption(json())
    .addHelpText(
      'after',
      `
Nodes do so by themselves within DFS_SCRUB_EVERY. A damaged copy is replaced from a good one and read again.
The exit code is 7 when a damaged copy could not be replaced, or a node could not be asked.

Examples:
  dfs scrub
  dfs scrub attic --no-wait
  dfs scrub --status`,
    )
    .action(async (node: string | undefined, options) => {
      const { scrub } = await import('../commands/care.ts');
      if (!(await scrub(session.api, node, options))) process.exitCode = exitCodes.damaged;
    });
  program
    .command('fsck')
    .description('compare the database with what the nodes hold')
    .option('--repair', 'mend what differs; without it nothing is changed')
    .addOption(json())
    .addHelpText(
      'after',
      `
missing    a copy that the database counts on is not there
wrong      a copy is damaged, or has other bytes
uncounted  a whole copy that the database does not count on
surplus    more copies than wanted
orphaned   a node holds a blob that the database does not know
lost       no stored copy is known of a blob that files need
The exit code is 7 when something is wrong and was not mended, or a node could not be asked.

Examples:
  dfs fsck
  dfs fsck --repair`,
    )
    .action(async (options) => {
      const { fsck } = await import('../commands/care.ts');
      if (!(await fsck(session.api, options))) process.exitCode = exitCodes.damaged;
    });
}
