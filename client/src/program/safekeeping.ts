import type { Command } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** What keeps the database of the store, and brings it back. */
export function addSafekeepingCommands(program: Command, session: Session): void {
  program.commandsGroup('Keeping the database:');
  program
    .command('backup')
    .description('write everything that the database knows into a file, while the store runs')
    .argument('<file>', 'a file of this machine; -: standard output')
    .option('-f, --force', 'replace the file when it is there')
    .addOption(json())
    .addHelpText(
      'after',
      '\nIt holds names, not contents: those are on the storage nodes.\n\nExamples:\n  dfs backup /backups/dfs.backup\n  dfs backup - | ssh attic "cat > dfs.backup"',
    )
    .action(async (file: string, options) => {
      const { backup } = await import('../commands/backup.ts');
      await backup(session, file, options);
    });
  program
    .command('restore')
    .description('rebuild the database from the storage nodes')
    .option('--from <file>', 'begin with this backup, then add what the nodes know of later')
    .option('--cluster <id>', 'when the nodes belong to several clusters: which one')
    .option(
      '--into <file>',
      "write a new SQLite file on the master's machine instead, and say how it differs from the database",
    )
    .option(
      '--accept-loss',
      'go on although storage nodes know of later changes that no node which answers can give',
    )
    .addOption(json())
    .addHelpText(
      'after',
      `
For a master that is in recovery: its database is empty or older than its storage nodes ("dfs status" says so). It takes
the journal that the nodes keep, and what their blobs say of themselves beyond it. Nothing on the nodes is changed. When it breaks off, run it again.

Examples:
  dfs restore
  dfs restore --from /backups/dfs.backup
  dfs restore --into /tmp/from-nodes.sqlite`,
    )
    .action(async (options) => {
      const { restore } = await import('../commands/restore.ts');
      await restore(session, options);
    });
}
