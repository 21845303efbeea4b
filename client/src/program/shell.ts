import { Argument, type Command, Option } from 'commander';
import type { Session } from '../session.ts';
import type { WholeCommand } from './whole-command.ts';

/** Ways of typing commands. */
export function addShellCommands(program: Command, session: Session, whole: WholeCommand): void {
  program
    .command('shell')
    .description('a prompt for all commands, with history and completion of names in the store')
    .option('-c, --command <lines>', 'run these lines and end')
    .option('-e, --stop-on-failure', 'end when a command fails')
    .addHelpText(
      'after',
      `
At a terminal: Tab completes commands, options and names of the store, Ctrl-C ends the running command, Ctrl-D leaves. The history is
kept in the state directory; a line that starts with a blank is not. Without a terminal the lines of standard input are run.

Words are quoted as in sh: 'one', "two", three\\ four. Several commands on a line are parted by semicolons. There are no pipes and no variables.
lcd and lpwd change and print the directory on this machine, which put and get work in.
The exit code is that of the last command.

Examples:
  dfs shell
  dfs shell -c 'cd /photos; ls -l'
  dfs shell --stop-on-failure < commands.txt`,
    )
    .action(async (options) => {
      const { runShell } = await import('../commands/run-shell.ts');
      process.exitCode = await runShell(session, whole, options);
    });
  program
    .command('completion')
    .description('print a script that lets your shell complete dfs commands and names in the store')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  dfs completion bash > ~/.local/share/bash-completion/completions/dfs
  dfs completion zsh > ~/.zfunc/_dfs        # a directory of your fpath
  dfs completion fish > ~/.config/fish/completions/dfs.fish
  source <(dfs completion bash)             # for this shell alone`,
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { printCompletion } = await import('../commands/completion.ts');
      await printCompletion(await whole.create(session), shell);
    });
  program
    .command('__complete', { hidden: true })
    .description('what the completion scripts ask: names in the store, each ended by NUL')
    .addOption(
      new Option('--line <text>', 'the line up to the cursor, of which the last word counts'),
    )
    .addOption(new Option('--replaced <text>', 'the part of that word that will be replaced'))
    .option('--directories', 'only directories')
    .option('--nodes', 'names of nodes instead')
    .addHelpText('after', "\nExample:\n  dfs __complete --line 'dfs ls /pho'")
    .action(async (options) => {
      const { answerCompletion } = await import('../commands/completion.ts');
      await answerCompletion(session, options);
    });
}
