import type { Argument, Command, Option } from 'commander';

/** What can be typed after `dfs`, as the completion scripts and the shell need it: drawn from the commands themselves. */
export interface CommandDescription {
  readonly name: string;
  readonly description: string;
  readonly commands: readonly CommandDescription[];
  readonly options: readonly OptionDescription[];
  readonly values: readonly ValueDescription[];
}

export interface OptionDescription {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly description: string;
  /** Undefined: it takes none. */
  readonly value: ValueDescription | undefined;
}

/** What a value is: names in the store, on this machine, both, of nodes, some words, or anything else. */
export interface ValueDescription {
  readonly kind: 'remote' | 'remote-directory' | 'local' | 'either' | 'node' | 'words' | 'free';
  readonly words: readonly string[];
  readonly isVariadic: boolean;
}

export function describeCommand(command: Command): CommandDescription {
  return {
    name: command.name(),
    description: command.description(),
    commands: command.commands.filter(isShown).map(describeCommand),
    options: [
      ...command.options.filter(({ hidden }) => !hidden).map(describeOption),
      { short: helpFlag(command), long: '--help', description: 'display help', value: undefined },
    ],
    values: command.registeredArguments.map((argument) => describeArgument(command, argument)),
  };
}

/** What is hidden from help is not offered either. */
const isShown = (command: Command) => !command.name().startsWith('__');

/** Some use -h for sizes. */
const helpFlag = (command: Command) =>
  command.options.some(({ short }) => short === '-h') ? undefined : '-h';

function describeOption(option: Option): OptionDescription {
  const placeholder = /[<[]([^>\]]*)[>\]]/.exec(option.flags)?.[1];
  return {
    short: option.short,
    long: option.long,
    description: option.description,
    value:
      placeholder === undefined
        ? undefined
        : describeValue(placeholder, option.argChoices, { isVariadic: option.variadic }),
  };
}

function describeArgument(command: Command, argument: Argument): ValueDescription {
  const isVariadic = argument.variadic;
  const name = command.name();
  if (name === 'cd' || name === 'rmdir') {
    return { kind: 'remote-directory', words: [], isVariadic };
  }
  // The last of several may be the target.
  if (name === 'put') return { kind: 'either', words: [], isVariadic };
  return describeValue(argument.name(), argument.argChoices, { isVariadic });
}

function describeValue(
  placeholder: string,
  words: readonly string[] | undefined,
  { isVariadic }: { isVariadic: boolean },
): ValueDescription {
  if (words) return { kind: 'words', words, isVariadic };
  if (/host|local|file|dir/i.test(placeholder)) return { kind: 'local', words: [], isVariadic };
  if (/node/i.test(placeholder)) return { kind: 'node', words: [], isVariadic };
  const kind = /path/i.test(placeholder) ? 'remote' : 'free';
  return { kind, words: [], isVariadic };
}

/** Where in a call the typed word stands, and so what it may be. */
export interface Position {
  readonly command: CommandDescription;
  /** Undefined: nothing but options. */
  readonly value: ValueDescription | undefined;
  /** Options may be typed here. */
  readonly allowsOptions: boolean;
  /** A command of the command's own may be typed here. */
  readonly allowsCommands: boolean;
}

/** Follows the words before the typed one through the commands. */
export function positionAfter(program: CommandDescription, before: readonly string[]): Position {
  let command = program;
  let taken = 0;
  let isLiteral = false;
  for (let at = 0; at < before.length; at += 1) {
    const word = before[at] ?? '';
    if (!isLiteral && word === '--') isLiteral = true;
    else if (!isLiteral && word.startsWith('-') && word !== '-') {
      const value = optionOf(command, word)?.value;
      if (value === undefined) continue;
      if (at === before.length - 1)
        return { command, value, allowsOptions: false, allowsCommands: false };
      at += 1;
    } else {
      const next = command.commands.find(({ name }) => name === word);
      if (next && taken === 0) command = next;
      else taken += 1;
    }
  }
  const last = command.values.at(-1);
  const value = command.values[taken] ?? (last?.isVariadic ? last : undefined);
  return { command, value, allowsOptions: !isLiteral, allowsCommands: taken === 0 };
}

/** `--to=x` holds its value, and so does `-tx`: neither takes the next word. */
function optionOf(command: CommandDescription, word: string): OptionDescription | undefined {
  if (word.includes('=')) return undefined;
  return command.options.find(
    ({ short, long }) => word === long || (!word.startsWith('--') && short === `-${word.at(-1)}`),
  );
}
