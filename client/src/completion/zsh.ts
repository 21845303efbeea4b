import type { CommandDescription, OptionDescription, ValueDescription } from './describe.ts';

/** A completion script for zsh 5. Commands and options stand in it; only names in the store are asked for. */
export function zshScript(program: CommandDescription): string {
  return `#compdef dfs
# zsh completion for dfs, made by "dfs completion zsh"

# Names in the store for the word at the cursor; zsh quotes them when it puts them in.
__dfs_names() {
  local -a names directories files
  names=("\${(@0)$(dfs __complete "$@" --line "$QIPREFIX$PREFIX" 2>/dev/null; print -n .)}")
  # The dot kept the line ends of the last name.
  names[-1]=()
  directories=(\${(M)names:#*/})
  files=(\${names:#*/})
  (( $#directories )) && compadd -S '' -a directories
  (( $#files )) && compadd -a files
  (( $#names ))
}

# The completion system calls these with arguments of its own.
__dfs_remote() { __dfs_names }
__dfs_remote_directory() { __dfs_names --directories }
__dfs_node() { __dfs_names --nodes }

__dfs_either() {
  _files
  if [[ $PREFIX == /* ]]; then __dfs_names; fi
}

${functionsOf(program, '_dfs').join('\n\n')}

# Read from fpath it is called at once; sourced, it is told to the completion system.
if [[ $funcstack[1] == _dfs ]]; then _dfs "$@"; else compdef _dfs dfs; fi
`;
}

/** One function for each command; those with commands of their own go on to theirs. */
function functionsOf(command: CommandDescription, name: string): string[] {
  const inner = command.commands.flatMap((child) =>
    functionsOf(child, `${name}_${child.name.replace(/\W/g, '_')}`),
  );
  return [...inner, `${name}() {\n${bodyOf(command, name)}\n}`];
}

function bodyOf(command: CommandDescription, name: string): string {
  const options = command.options.flatMap(optionSpecs);
  if (command.commands.length === 0) {
    return `  _arguments -s -S ${[...options, ...command.values.map(argumentSpec)].join(' \\\n    ')}`;
  }
  const commands = command.commands.map(
    (child) => `    ${quoted(`${child.name}:${oneLine(child.description)}`)}`,
  );
  const cases = command.commands.map(
    (child) => `        ${child.name}) ${name}_${child.name.replace(/\W/g, '_')} ;;`,
  );
  return `  local context state state_descr line curcontext="$curcontext"
  local -A opt_args
  local -a commands
  commands=(
${commands.join('\n')}
  )
  _arguments -C ${[...options, "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command) _describe command commands ;;
    rest)
      case $words[1] in
${cases.join('\n')}
      esac ;;
  esac`;
}

function optionSpecs({ short, long, description, value }: OptionDescription): string[] {
  const told = `[${oneLine(description).replace(/[[\]:\\]/g, '\\$&')}]`;
  const flags = [short, long].flatMap((flag) => flag ?? []);
  const action = value ? `:value:${actionOf(value)}` : '';
  return flags.map((flag) => {
    const takes = value && flag.startsWith('--') ? '=' : '';
    return quoted(`*${flag}${takes}${told}${action}`);
  });
}

const argumentSpec = (value: ValueDescription, place: number) =>
  quoted(`${value.isVariadic ? '*' : place + 1}: :${actionOf(value)}`);

function actionOf({ kind, words }: ValueDescription): string {
  switch (kind) {
    case 'words':
      return `(${words.join(' ')})`;
    case 'local':
      return '_files';
    case 'remote':
      return '__dfs_remote';
    case 'remote-directory':
      return '__dfs_remote_directory';
    case 'node':
      return '__dfs_node';
    case 'either':
      return '__dfs_either';
    case 'free':
      return ' ';
  }
}

const oneLine = (text: string) => text.replace(/\s+/g, ' ');
const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
