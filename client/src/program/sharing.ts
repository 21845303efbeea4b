import { Argument, type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import { json } from './arguments.ts';

/** Who may do what: without a key, by links and grants, and by keys of their own. */
export function addSharingCommands(program: Command, session: Session): void {
  program.commandsGroup('Who may:');
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
  const duration = () =>
    new Option('--for <time>', 'how long: 90s, 15m, 1h, 7d; a year at most').default('1h');
  program
    .command('share')
    .description('make a link that opens a private file for a time')
    .argument('<path>', 'a file of the store')
    .addOption(duration())
    .option('--download', 'to be saved rather than shown')
    .option('--follow', 'opens whatever content the path has, not only the one of now')
    .addOption(json())
    .addHelpText(
      'after',
      `
Whoever has the link reads that one file, without a key. It counts through every node, and ends when its time is over, when the file gets another
content (but for --follow) or another path, or by "dfs unshare".

Examples:
  dfs share report.pdf
  dfs share /films/a.mp4 --for 7d --download`,
    )
    .action(async (word: string, options) => {
      const { share } = await import('../commands/share.ts');
      await share(session, word, options);
    });
  program
    .command('grant')
    .description('let an address or a network read a private file for a time')
    .argument('<path>', 'a file of the store')
    .argument('<network>', 'IPv4 or IPv6: 172.17.0.1, 10.0.0.0/8, 2001:db8::/32')
    .addOption(duration())
    .addOption(json())
    .addHelpText(
      'after',
      `
It is of the content that the file has now, under whatever path. Behind a proxy the address is the client's own only where DFS_TRUSTED_PROXIES names
that proxy.

Examples:
  dfs grant report.pdf 172.17.0.1
  dfs grant /films/a.mp4 192.168.1.0/24 --for 12h`,
    )
    .action(async (word: string, network: string, options) => {
      const { grant } = await import('../commands/share.ts');
      await grant(session, word, network, options);
    });
  program
    .command('grants')
    .description('list which addresses may read what')
    .argument('[path]', 'only what was granted there, or below it')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs grants\n  dfs grants /films --json')
    .action(async (word: string | undefined, options) => {
      const { listGrants } = await import('../commands/share.ts');
      await listGrants(session, word, options);
    });
  program
    .command('unshare')
    .description('take back a link, or all links and grants of a file')
    .argument('<link or path>', 'a link as it was printed, in quotes, or a file of the store')
    .argument('[network]', 'only what was granted to exactly this network')
    .addOption(json())
    .addHelpText(
      'after',
      `
It counts at once: downloads that run under what is taken back are cut off.

Examples:
  dfs unshare 'http://localhost:7040/fs/report.pdf?signature=...'
  dfs unshare report.pdf
  dfs unshare report.pdf 172.17.0.1`,
    )
    .action(async (word: string, network: string | undefined, options) => {
      const { unshare } = await import('../commands/share.ts');
      await unshare(session, word, network, options);
    });
  addKeyCommands(program, session);
}

function addKeyCommands(program: Command, session: Session): void {
  const key = program
    .command('key')
    .description('make keys that open a part of the store, list them, and end them')
    .addHelpText(
      'after',
      `
A key is given to dfs as DFS_KEY, and to others in the header SHARD-KEY, as "Authorization: Bearer", or as user (its id) and password.

Examples:
  dfs key add --role write --prefix /backups --name nas
  dfs key ls
  dfs key rm dkabcdefghijklmnop234`,
    );
  key
    .command('add')
    .description('make a key, and print it: the only time that it is shown')
    .option('--name <text>', 'for people')
    .addOption(
      new Option('--role <role>', 'what it may do there; each includes the one before')
        .choices(['read', 'write', 'admin'])
        .default('read'),
    )
    .option('--prefix <path>', 'it opens this directory, or file, and what is below', '/')
    .addOption(json())
    .addHelpText(
      'after',
      `
read lists and reads; write also stores, changes, deletes and shares; admin also makes and ends keys for what is below the prefix, and with
the prefix / looks after the store.

Examples:
  dfs key add --prefix /photos
  DFS_KEY=$(dfs key add --role write --prefix /backups) dfs put backup.tar /backups/`,
    )
    .action(async (options) => {
      const { addKey } = await import('../commands/access-keys.ts');
      await addKey(session, options);
    });
  key
    .command('ls')
    .description('list the keys that you may end, without their secrets')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs key ls\n  dfs key ls --json')
    .action(async (options) => {
      const { listKeys } = await import('../commands/access-keys.ts');
      await listKeys(session, options);
    });
  key
    .command('rm')
    .description('end keys at once')
    .argument('<id...>', 'as "dfs key ls" shows them')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs key rm dkabcdefghijklmnop234')
    .action(async (ids: string[], options) => {
      const { removeKeys } = await import('../commands/access-keys.ts');
      await removeKeys(session, ids, options);
    });
}
