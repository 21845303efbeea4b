import type { Command } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** Which files are read often, and what nodes keep for readers. */
export function addCachingCommands(program: Command, session: Session): void {
  program.commandsGroup('Copies where readers are:');
  program
    .command('hot')
    .description('show the files that are read often, and the nodes that cache them')
    .addOption(json())
    .addHelpText(
      'after',
      `
A file that is read more often per minute than DFS_HOT_READS of the master says is cached on further nodes until it has cooled.

Example:
  dfs hot`,
    )
    .action(async (options) => {
      const { listHot } = await import('../commands/caching.ts');
      await listHot(session.api, options);
    });
  program
    .command('cache')
    .description('have nodes keep files in their caches, or let go of them')
    .argument('<path...>', 'files of the store; patterns such as *.mp4 are expanded')
    .option('--on <nodes>', 'all, how many nodes, or the name or id of one', 'all')
    .option('--priority <p>', 'from -20 to 20: the higher, the longer it is kept', '10')
    .option('--drop', 'let go of them instead, on every node')
    .addOption(json())
    .addHelpText(
      'after',
      `
Nodes fetch in the background, and evict what was read least when DFS_CACHE_BYTES is reached. A cached file is no copy: "dfs copies" sets those.

Examples:
  dfs cache /films/new.mp4
  dfs cache /films/new.mp4 --on 3 --priority 20
  dfs cache /films/new.mp4 --drop`,
    )
    .action(async (words: string[], options) => {
      const { cachePaths } = await import('../commands/caching.ts');
      await cachePaths(session, words, options);
    });
}
