import { type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import { json, wholeNumber } from './arguments.ts';

const pathsHelp = 'paths of the store; patterns such as *.txt are expanded';
const patternsText = `
Patterns are of names in the store: quote them, so that your shell leaves them alone. ** stands for any number of directories,
and a name that is there as it is written is meant literally.
`;

/** Working in the tree, as with coreutils. */
export function addTreeCommands(program: Command, session: Session): void {
  addLookingAround(program, session);
  addWalking(program, session);
  addMaking(program, session);
  addMoving(program, session);
  addRemoving(program, session);
}

/** Of flags that contradict each other the last one counts; `into` is the option that says which it was. */
function lastCounts(command: Command, into: string, names: readonly string[]): void {
  for (const name of names) {
    command.on(`option:${name}`, () => command.setOptionValue(into, name));
  }
}

function addLookingAround(program: Command, session: Session): void {
  program
    .command('ls')
    .description('list directories')
    // -h is for sizes here.
    .helpOption('--help', 'display help for command')
    .argument('[path...]', `${pathsHelp} (default: the current directory)`)
    .option('-l, --long', 'sizes and times as well')
    .option('-h, --human-readable', 'with -l: sizes such as 1.5 MiB')
    .option('-R, --recursive', 'directories in directories too')
    .option('-d, --directory', 'directories themselves, not what is in them')
    .option('-t, --time', 'newest first')
    .option('-S, --size', 'largest first')
    .option('-r, --reverse', 'in reverse order')
    .option('-a, --all', 'as always: names that start with a dot are never hidden')
    .option('-1, --one', 'as always: one name a line')
    .addOption(json())
    .addHelpText(
      'after',
      `${patternsText}
Examples:
  dfs ls -l /photos
  dfs ls -lh '/photos/*.jpg'
  dfs ls -R`,
    )
    .action(async (words: string[], options) => {
      const { list } = await import('../commands/list.ts');
      await list(session, words.length === 0 ? ['.'] : words, options);
    });
  program
    .command('tree')
    .description('draw directories and what is in them')
    .helpOption('--help', 'display help for command')
    .argument('[path...]', `${pathsHelp} (default: the current directory)`)
    .option('-L, --level <n>', 'only so many levels deep', wholeNumber(1, 4_096))
    .option('-a, --all', 'as always: names that start with a dot are never hidden')
    .option('-d, --only-directories', 'directories alone')
    .option('-s, --size', 'sizes of files as well')
    .option('-h, --human-readable', 'the same, such as 1.5 MiB')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs tree -L 2 /photos\n  dfs tree -d')
    .action(async (words: string[], options) => {
      const { drawTree } = await import('../commands/draw-tree.ts');
      await drawTree(session, words.length === 0 ? ['.'] : words, options);
    });
}

function addWalking(program: Command, session: Session): void {
  const several = (value: string, before: readonly string[] | undefined) => [
    ...(before ?? []),
    value,
  ];
  const repeated = (flags: string, description: string) =>
    new Option(flags, description).argParser<string[]>(several);
  program
    .command('find')
    .description('search for names below directories')
    .argument('[path...]', `${pathsHelp} (default: the current directory)`)
    .addOption(repeated('--name <pattern>', 'the name fits a pattern'))
    .addOption(repeated('--iname <pattern>', 'the same, large and small letters alike'))
    .addOption(repeated('--path <pattern>', 'the whole path fits a pattern, * also over slashes'))
    .addOption(repeated('--type <kind>', 'f: files, d: directories'))
    .addOption(repeated('--size <n>', '+10k: above 10 KiB, -5M: below 5 MiB, 100c: 100 bytes'))
    .addOption(repeated('--mtime <days>', 'modified so many days ago; +7: longer, -7: less'))
    .addOption(repeated('--mmin <minutes>', 'modified so many minutes ago'))
    .option('--newer <path>', 'modified after another file of the store')
    .addOption(repeated('--newermt <date>', 'modified after a date: 2026-11-25, "3 days ago"'))
    .option('--empty', 'files without bytes, directories with nothing in them')
    .option('--maxdepth <n>', 'at most so deep; 0: the paths themselves', wholeNumber(0, 4_096))
    .option('--mindepth <n>', 'at least so deep', wholeNumber(0, 4_096))
    .option('--print', 'as always: print what is found')
    .option('--print0', 'end names with NUL, for xargs -0')
    .addOption(json())
    .addHelpText(
      'after',
      `
All tests have to hold. Tests may be written with one dash, as find has them.

Examples:
  dfs find /photos -name '*.jpg' -size +1M
  dfs find -type d -empty
  dfs find /logs -mtime +30 -print0 | xargs -0 dfs rm`,
    )
    .action(async (words: string[], options) => {
      const { find } = await import('../commands/find.ts');
      await find(session, words.length === 0 ? ['.'] : words, options);
    });
  const du = program
    .command('du')
    .description('sum up the bytes below directories')
    .helpOption('--help', 'display help for command')
    .argument('[path...]', `${pathsHelp} (default: the current directory)`)
    .option('-s, --summarize', 'only the sum of each path; asks for no more, however large it is')
    .option('-h, --human-readable', 'sizes such as 1.5 MiB')
    .option('-b, --bytes', 'as always: in bytes')
    .option('-k, --kibibytes', 'in KiB instead of bytes')
    .option('-d, --max-depth <n>', 'directories so deep', wholeNumber(0, 4_096))
    .option('-a, --all', 'files too')
    .option('-c, --total', 'the sum of all paths at the end')
    .addOption(json());
  lastCounts(du, 'unit', ['bytes', 'kibibytes', 'human-readable']);
  du.addHelpText(
    'after',
    `
Sizes are those of the files, in bytes, each copy of a file counted by its name, replicas not. With -s or -d the store's own sums are
told, which may be seconds late. Of -b, -k and -h the last one counts.

Examples:
  dfs du -sh /photos
  dfs du -h -d 1`,
  ).action(async (words: string[], options) => {
    const { usage } = await import('../commands/usage.ts');
    await usage(session, words.length === 0 ? ['.'] : words, options);
  });
  program
    .command('cd')
    .description('change the current directory, from which paths without a leading slash start')
    .argument('[path]', 'a directory of the store, or - for the one before (default: /)')
    .addHelpText(
      'after',
      '\nIt is remembered, for this user and this store.\n\nExamples:\n  dfs cd /photos\n  dfs cd ..\n  dfs cd -',
    )
    .action(async (word: string | undefined) => {
      const { changeDirectory } = await import('../commands/directory.ts');
      await changeDirectory(session, word);
    });
  program
    .command('pwd')
    .description('print the current directory')
    .addOption(json())
    .addHelpText('after', '\nExample:\n  dfs pwd')
    .action(async (options) => {
      const { printDirectory } = await import('../commands/directory.ts');
      printDirectory(session, options);
    });
}

function addMaking(program: Command, session: Session): void {
  program
    .command('mkdir')
    .description('make directories')
    .argument('<path...>', 'directories of the store')
    .option('-p, --parents', 'the missing ones above too; it is fine when one is there already')
    .option('-v, --verbose', 'tell what is made')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs mkdir photos\n  dfs mkdir -p /photos/2026/summer')
    .action(async (words: string[], options) => {
      const { makeDirectories } = await import('../commands/make.ts');
      await makeDirectories(session, words, options);
    });
  program
    .command('touch')
    .description('set the time of modification; make empty files')
    .argument('<path...>', pathsHelp)
    .option('-c, --no-create', 'make no file where nothing is')
    .option(
      '-d, --date <date>',
      'a time other than now: 2026-11-25T14:30, "3 days ago", @1795617000',
    )
    .option('-r, --reference <path>', 'the time of another file of the store')
    .addOption(json())
    .addHelpText(
      'after',
      "\nAs with put, missing directories above a new file are made.\n\nExamples:\n  dfs touch ready\n  dfs touch -d '2 hours ago' '*.log'",
    )
    .action(async (words: string[], options) => {
      const { touch } = await import('../commands/make.ts');
      await touch(session, words, options);
    });
}

function addMoving(program: Command, session: Session): void {
  const transfer = (command: Command): Command => {
    command
      .argument('<path...>', 'sources, then where to; patterns such as *.txt are expanded')
      .option('-f, --force', 'replace what has the name, as by default')
      .option('-i, --interactive', 'ask before a name is taken over')
      .option('-n, --no-clobber', 'leave what has the name')
      .option('-t, --target-directory <path>', 'into this directory, all paths are sources')
      .option('-T, --no-target-directory', 'the target is the new name itself')
      .option('-v, --verbose', 'tell what is done')
      .addOption(json());
    lastCounts(command, 'onTaken', ['force', 'interactive', 'no-clobber']);
    return command;
  };
  const trashText =
    'What is replaced goes to the trash, unless the store keeps no trash (DFS_TRASH_TTL=0).';
  transfer(program.command('cp'))
    .description('copy files and directories; no byte is moved')
    .option('-r, --recursive', 'directories with all that is in them')
    .addOption(new Option('-R', 'the same').implies({ recursive: true }))
    .addHelpText(
      'after',
      `
A directory is copied into one of its name that is there already. Of -f, -i and -n the last one counts.
${trashText}
${patternsText}
Examples:
  dfs cp report.pdf final.pdf
  dfs cp -r /photos/2026 /backup/
  dfs cp '*.jpg' -t /photos`,
    )
    .action(async (words: string[], options) => {
      const { copy } = await import('../commands/copy.ts');
      await copy(session, words, transferOptions(options));
    });
  transfer(program.command('mv'))
    .description('move or rename files and directories')
    .addHelpText(
      'after',
      `
A directory moves at once, however much is in it. Of -f, -i and -n the last one counts.
${trashText}
${patternsText}
Examples:
  dfs mv draft.pdf final.pdf
  dfs mv '*.jpg' /photos/
  dfs mv -n a b c -t /archive`,
    )
    .action(async (words: string[], options) => {
      const { move } = await import('../commands/move.ts');
      await move(session, words, transferOptions(options));
    });
}

/** Commander takes `--no-target-directory` for the opposite of `-t`. */
function transferOptions<T extends { targetDirectory?: string | boolean }>({
  targetDirectory,
  ...options
}: T): Omit<T, 'targetDirectory'> & { targetDirectory?: string; noTargetDirectory?: boolean } {
  if (typeof targetDirectory === 'string') return { ...options, targetDirectory };
  return targetDirectory === false ? { ...options, noTargetDirectory: true } : options;
}

function addRemoving(program: Command, session: Session): void {
  const rm = program
    .command('rm')
    .description('remove files and directories, to the trash')
    .argument('[path...]', pathsHelp)
    .option('-r, --recursive', 'directories with all that is in them')
    .addOption(new Option('-R', 'the same').implies({ recursive: true }))
    .option('-d, --dir', 'empty directories too')
    .option('-f, --force', 'names that are not there are no failure; ask nothing')
    .option('-i, --interactive', 'ask before each')
    .option('-I, --once', 'ask once, before more than three or before directories')
    .option('-v, --verbose', 'tell what is done')
    .option('--forever', 'past the trash: it cannot be brought back')
    .addOption(json());
  lastCounts(rm, 'asks', ['force', 'interactive', 'once']);
  rm.addHelpText(
    'after',
    `
What is removed goes to the trash: "dfs trash restore PATH" brings it back, for DFS_TRASH_TTL (a day by default),
unless the store keeps no trash (DFS_TRASH_TTL=0).
A directory goes at once, however much is in it. Of -f, -i and -I the last one counts.
${patternsText}
Examples:
  dfs rm report.pdf
  dfs rm -r /photos/2019
  dfs rm -i '*.tmp'
  dfs rm --forever secret.txt
  dfs rm -- -odd-name`,
  ).action(async (words: string[], options) => {
    const { remove } = await import('../commands/remove.ts');
    await remove(session, words, options);
  });
  program
    .command('rmdir')
    .description('remove empty directories')
    .argument('<path...>', pathsHelp)
    .option('-p, --parents', 'the ones above too: a/b and then a')
    .option('--ignore-fail-on-non-empty', 'one that is not empty is no failure')
    .option('-v, --verbose', 'tell what is done')
    .addOption(json())
    .addHelpText('after', '\nExamples:\n  dfs rmdir photos\n  dfs rmdir -p a/b/c')
    .action(async (words: string[], options) => {
      const { removeDirectories } = await import('../commands/remove.ts');
      await removeDirectories(session, words, options);
    });
}
