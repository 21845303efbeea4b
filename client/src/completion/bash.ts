import type { CommandDescription, ValueDescription } from './describe.ts';

/** A completion script for bash 4.2 and later. Commands and options stand in it; only names in the store are asked for. */
export function bashScript(program: CommandDescription): string {
  const calls = callsOf(program);
  return `# bash completion for dfs, made by "dfs completion bash"

# Names in the store for the word at the cursor; bash quotes them when it puts them in.
_dfs_remote() {
  local name replaced=$cur
  # After a colon nothing is replaced, not the colon.
  if [[ $cur == [:=] ]]; then replaced=; fi
  while IFS= read -r -d '' name; do
    COMPREPLY+=("$name")
  done < <(dfs __complete "$@" --line "\${COMP_LINE:0:COMP_POINT}" --replaced "$replaced" 2>/dev/null)
  compopt -o filenames 2>/dev/null
  # A directory is a way, not yet a target.
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace 2>/dev/null; fi
}

# Names on this machine: where nothing else is offered, bash does it best.
_dfs_local() {
  compopt -o default -o bashdefault 2>/dev/null
}

_dfs_words() {
  local word
  for word in "$@"; do
    if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
  done
}

_dfs_value() {
  case $1 in
    remote) _dfs_remote ;;
    remote-directory) _dfs_remote --directories ;;
    node) _dfs_remote --nodes ;;
    local) _dfs_local ;;
    either) _dfs_local; if [[ $cur == /* ]]; then _dfs_remote; fi ;;
    words) shift; _dfs_words "$@" ;;
  esac
}

_dfs() {
  local cur=\${COMP_WORDS[COMP_CWORD]} call=dfs taken=0 literal= at word options values valued
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    # Parts of one word, at which bash splits.
    if [[ $word == [:=] || \${COMP_WORDS[at - 1]} == [:=] ]]; then continue; fi
    _dfs_describe "$call"
    if [[ -z $literal && $word == -- ]]; then literal=1
    elif [[ -z $literal && $word == -?* ]]; then
      if [[ " $valued " == *" $word "* ]]; then
        if ((at == COMP_CWORD - 1)); then _dfs_option "$call" "$word"; return; fi
        ((at++))
      fi
    elif ((taken == 0)) && [[ " $commands " == *" $word "* ]]; then call="$call $word"
    else ((taken++))
    fi
  done
  _dfs_describe "$call"
  if [[ -z $literal && $cur == -* && $cur != - ]]; then _dfs_words $options; return; fi
  if ((taken == 0)); then _dfs_words $commands; fi
  _dfs_argument "$call" "$taken"
}

# Sets what can follow a command.
_dfs_describe() {
  commands= options= valued=
  case $1 in
${calls.map(describeCase).join('\n')}
  esac
}

# Completes the value of an option.
_dfs_option() {
  case "$1 $2" in
${calls.flatMap(optionCases).join('\n')}
  esac
}

# Completes an argument by its place.
_dfs_argument() {
  case "$1 $2" in
${calls.flatMap(argumentCases).join('\n')}
  esac
}

complete -F _dfs dfs
`;
}

interface Call {
  readonly words: string;
  readonly command: CommandDescription;
}

function callsOf(command: CommandDescription, before = ''): Call[] {
  const words = before === '' ? command.name : `${before} ${command.name}`;
  return [{ words, command }, ...command.commands.flatMap((inner) => callsOf(inner, words))];
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

function describeCase({ words, command }: Call): string {
  const flags = command.options.map(({ long, short }) => long ?? short ?? '');
  const valued = command.options
    .filter(({ value }) => value)
    .flatMap(({ long, short }) => [long ?? [], short ?? []].flat());
  const commands = command.commands.map(({ name }) => name);
  return `    ${quoted(words)}) commands=${quoted(commands.join(' '))} options=${quoted(flags.join(' '))} valued=${quoted(valued.join(' '))} ;;`;
}

const optionCases = ({ words, command }: Call) =>
  command.options.flatMap(({ long, short, value }) => {
    if (!value || value.kind === 'free') return [];
    const patterns = [long, short].flatMap((flag) => (flag ? [quoted(`${words} ${flag}`)] : []));
    return [`    ${patterns.join(' | ')}) ${valueCall(value)} ;;`];
  });

const argumentCases = ({ words, command }: Call) =>
  command.values.flatMap((value, place) => {
    if (value.kind === 'free') return [];
    const pattern = value.isVariadic ? `${quoted(`${words} `)}*` : quoted(`${words} ${place}`);
    return [`    ${pattern}) ${valueCall(value)} ;;`];
  });

const valueCall = ({ kind, words }: ValueDescription) =>
  ['_dfs_value', kind, ...words.map(quoted)].join(' ');
