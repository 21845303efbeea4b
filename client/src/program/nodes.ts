import type { Command } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

const nodeArgument = ['<node>', "a node's name, or its id where two have one name"] as const;

/** Whether the data is safe, and the nodes that it lies on. */
export function addNodeCommands(program: Command, session: Session): void {
  program.commandsGroup('The nodes:');
  program
    .command('status')
    .description('say whether the data is safe, what is missing and how long that takes')
    .addOption(json())
    .addHelpText(
      'after',
      '\nExit codes for cron: 0 all is whole, 8 copies are missing and on their way, 9 something cannot be read now,\n6 the store does not answer or waits for its database. A node counts as away after DFS_NODE_TIMEOUT of silence.\n\nExample:\n  dfs status || mail -s "dfs" admin@example.org',
    )
    .action(async (options) => {
      const { status } = await import('../commands/status.ts');
      process.exitCode = await status(session.api, options);
    });
  const nodes = program
    .command('nodes')
    .description('show the storage nodes, or take one out')
    .option(
      '-v, --verbose',
      'also what is cached there, the public address and where the data lies',
    )
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs nodes\n  dfs nodes --verbose\n  dfs nodes rm attic')
    .action(async (options) => {
      const { listNodes } = await import('../commands/nodes.ts');
      await listNodes(session.api, options);
    });
  nodes
    .command('rm')
    .description('take a node out for good: it is refused from then on')
    .argument(...nodeArgument)
    .option('--force', 'also when it holds the only copy of something, which is lost then')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs drain attic\n  dfs nodes rm attic')
    .action(async (node: string, _options, command: Command) => {
      const { removeNode } = await import('../commands/nodes.ts');
      await removeNode(session.api, node, command.optsWithGlobals());
    });
  program
    .command('drain')
    .description('make the copies of a node elsewhere and drop them there, to take it out')
    .argument(...nodeArgument)
    .option('--cancel', 'let it take blobs again')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs drain attic\n  dfs drain attic --cancel')
    .action(async (node: string, options) => {
      const { drainNode } = await import('../commands/nodes.ts');
      await drainNode(session.api, node, options);
    });
  program
    .command('rebalance')
    .description('spread copies over zones, and move them from fuller nodes to emptier ones')
    .option('--cancel', 'stop that')
    .addOption(json())
    .addHelpText(
      'after',
      `
First, where nodes are in several zones (DFS_ZONE), copies of one file that share a zone move to zones that have none. Then copies move
until the fullest and the emptiest node differ by 5 % of their room at most. A restart of the master ends it: ask again then.

Examples:
  dfs rebalance
  dfs rebalance --cancel
  dfs status`,
    )
    .action(async (options) => {
      const { rebalance } = await import('../commands/nodes.ts');
      await rebalance(session.api, options);
    });
}
