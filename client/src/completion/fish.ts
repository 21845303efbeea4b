import type { CommandDescription, ValueDescription } from './describe.ts';

/** A completion script for fish 3. Commands and options stand in it; only names in the store are asked for. */
export function fishScript(program: CommandDescription): string {
  return `# fish completion for dfs, made by "dfs completion fish"

# Names in the store for the word at the cursor; fish quotes them when it puts them in.
function __dfs_remote
    dfs __complete $argv --line (commandline -ct | string collect) 2>/dev/null | string split0
end

function __dfs_either
    __fish_complete_path (commandline -ct)
    if string match -q '/*' -- (commandline -ct)
        __dfs_remote
    end
end

# The words before the cursor that are no options: dfs, the command, its arguments.
function __dfs_words
    for word in (commandline -opc)
        string match -q -- '-*' $word; or echo $word
    end
end

# Whether a command is being typed: its words are given, and whether more may follow.
function __dfs_is
    set -l words (__dfs_words)
    set -l count (count $argv)
    test (count $words) -ge $count; and test "$words[1..$count]" = "$argv"
end

# Whether exactly these words stand before the cursor.
function __dfs_is_exactly
    set -l words (__dfs_words)
    test "$words" = "$argv"
end

complete -c dfs -f
${linesOf(program, [program.name]).join('\n')}
`;
}

function linesOf(command: CommandDescription, words: readonly string[]): string[] {
  const call = words.join(' ');
  const commands = command.commands.map(
    ({ name, description }) =>
      `complete -c dfs -n '__dfs_is_exactly ${call}' -a ${quoted(name)} -d ${quoted(description)}`,
  );
  const when = command.commands.length > 0 ? `__dfs_is_exactly ${call}` : `__dfs_is ${call}`;
  const options = command.options.map(({ short, long, description, value }) => {
    const flags = [
      ...(short ? [`-s ${short.slice(1)}`] : []),
      ...(long ? [`-l ${long.slice(2)}`] : []),
    ];
    return [
      `complete -c dfs -n '${when}'`,
      ...flags,
      ...(value ? [`-r ${actionOf(value)}`] : []),
      `-d ${quoted(description.replace(/\s+/g, ' '))}`,
    ].join(' ');
  });
  const values = command.values.flatMap((value, place) => {
    if (value.kind === 'free') return [];
    // The place of an argument is told by the words before it; of the last one, which repeats, by the command alone.
    const isHere = value.isVariadic
      ? `__dfs_is ${call}`
      : `__dfs_is ${call}; and test (count (__dfs_words)) -eq ${words.length + place}`;
    return [`complete -c dfs -n '${isHere}' ${actionOf(value)}`];
  });
  const inner = command.commands.flatMap((child) => linesOf(child, [...words, child.name]));
  return [...commands, ...options, ...values, ...inner];
}

function actionOf({ kind, words }: ValueDescription): string {
  switch (kind) {
    case 'words':
      return `-f -a ${quoted(words.join(' '))}`;
    case 'local':
      return '-F';
    case 'remote':
      return "-f -a '(__dfs_remote)'";
    case 'remote-directory':
      return "-f -a '(__dfs_remote --directories)'";
    case 'node':
      return "-f -a '(__dfs_remote --nodes)'";
    case 'either':
      return "-f -a '(__dfs_either)'";
    case 'free':
      return '-f';
  }
}

const quoted = (text: string) => `'${text.replace(/['\\]/g, '\\$&')}'`;
