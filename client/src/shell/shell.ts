import { StoreError } from '@dfs/shared';
import { complete } from '../completion/complete.ts';
import { type CommandDescription, describeCommand } from '../completion/describe.ts';
import { exitCodes } from '../exit-codes.ts';
import { failureText } from '../failure.ts';
import { shown } from '../output.ts';
import type { WholeCommand } from '../program/whole-command.ts';
import { isPattern } from '../remote-paths/name-pattern.ts';
import { DfsClient } from '../sdk/dfs-client.ts';
import type { Session } from '../session.ts';
import type { LineSource } from './line-source.ts';
import { lastWordOf, type ParsedLine, parseLine, quoted, type Word } from './words.ts';

/** What is of the shell itself. */
const ownCommands = ['exit', 'quit', 'help', 'lcd', 'lpwd'];
/** These run until they are stopped, and would take the shell with them. */
const outside = ['shell', 'up', 'master', 'node', 'replicator'];
/** A store that does not answer must not hold whoever presses Tab. */
const completionPatienceMs = 3_000;

export interface ShellOptions {
  readonly session: Session;
  readonly whole: WholeCommand;
  readonly source: (shell: Shell) => LineSource;
  /** Whether a person sits there, who sees prompts and stops commands with Ctrl-C. */
  readonly isInteractive: boolean;
  /** Whether a command that fails ends it. */
  readonly stopsOnFailure?: boolean;
  readonly onLine?: (line: string) => void;
}

/** `dfs shell`: reads lines and runs the commands on them, all of the `dfs` command, one after the other. */
export class Shell {
  readonly #session: Session;
  readonly #whole: WholeCommand;
  readonly #source: LineSource;
  readonly #isInteractive: boolean;
  readonly #stopsOnFailure: boolean;
  readonly #onLine: (line: string) => void;
  #description: Promise<CommandDescription> | undefined;
  #running: AbortController | undefined;
  #lastCode = 0;
  #isOver = false;
  /** The last character that a command printed. */
  #lastWritten: string | undefined;

  constructor(options: ShellOptions) {
    this.#session = options.session;
    this.#whole = options.whole;
    this.#isInteractive = options.isInteractive;
    this.#stopsOnFailure = options.stopsOnFailure ?? false;
    this.#onLine = options.onLine ?? (() => {});
    this.#source = options.source(this);
    if (this.#isInteractive) this.#watchOutput();
  }

  /** Resolves with the exit code of the last command once there are no more lines, or `exit` was one. */
  async run(): Promise<number> {
    while (!this.#isOver) {
      const commands = await this.#read();
      if (commands === 'end') break;
      for (const words of commands) {
        if (this.#isOver) break;
        this.#lastCode = await this.#execute(words);
        this.#endLine();
        if (this.#stopsOnFailure && this.#lastCode !== 0) this.#isOver = true;
      }
    }
    if (this.#isInteractive && !this.#isOver) process.stdout.write('\n');
    await this.#source.close();
    return this.#lastCode;
  }

  /** Ctrl-C: ends the running command; said again, when it does not end, the shell. */
  interrupt(): void {
    if (this.#running?.signal.aborted) process.exit(130);
    this.#running?.abort();
  }

  /** For the Tab key: what the end of the line may become, and what of it that replaces. Never rejects. */
  async complete(line: string): Promise<[string[], string]> {
    const last = lastWordOf(line);
    if (!last) return [[], line];
    try {
      this.#description ??= this.#describe();
      const session = this.#session.forLine({ signal: AbortSignal.timeout(completionPatienceMs) });
      const store = { session, client: new DfsClient(session.api) };
      const words = await complete(await this.#description, last, store);
      const form = (word: string) => asTyped(word, last.raw);
      if (words.length === 1 && !words[0]?.endsWith('/'))
        return [[`${form(words[0] ?? '')} `], last.raw];
      return [words.map(form), last.raw];
    } catch {
      return [[], last.raw];
    }
  }

  #watchOutput(): void {
    const { stdout } = process;
    const write = stdout.write.bind(stdout) as (chunk: unknown, ...rest: unknown[]) => boolean;
    stdout.write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
      const last = chunk.at(-1);
      if (this.#running && last !== undefined) {
        this.#lastWritten = typeof last === 'string' ? last : String.fromCharCode(last);
      }
      return write(chunk, ...rest);
    };
  }

  /** The commands of the next line, or of several where a quote goes on. */
  async #read(): Promise<ParsedLine['commands'] | 'end'> {
    let text = '';
    for (;;) {
      const next = await this.#source.next(text === '' ? this.#prompt() : '> ');
      if (next === 'cancelled') return [];
      if (next === 'end') {
        if (text !== '') this.#tell(new StoreError('invalid-request', 'A quote is still open.'));
        return 'end';
      }
      this.#onLine(next.line);
      text += text === '' ? next.line : `\n${next.line}`;
      try {
        const { commands, isComplete } = parseLine(text);
        if (isComplete) return commands;
      } catch (error) {
        this.#tell(error);
        if (this.#stopsOnFailure) this.#isOver = true;
        return [];
      }
    }
  }

  #tell(error: unknown): void {
    process.stderr.write(`${failureText(error)}\n`);
    this.#lastCode = exitCodes.usage;
  }

  /** What a file without a line end at its end left unfinished would be under the prompt. */
  #endLine(): void {
    if (this.#isInteractive && this.#lastWritten !== undefined && this.#lastWritten !== '\n') {
      process.stdout.write('\n');
    }
    this.#lastWritten = undefined;
  }

  #prompt(): string {
    try {
      return `dfs ${shown(this.#session.directory.path)}> `;
    } catch {
      // It cannot be read: any command that needs it says so.
      return 'dfs ?> ';
    }
  }

  async #execute(words: readonly Word[]): Promise<number> {
    const [name = '', ...rest] = words.map(({ text }) => text);
    try {
      if (ownCommands.includes(name)) return await this.#executeOwn(name, rest);
      if (outside.includes(name)) {
        throw new StoreError('invalid-request', `${name} is no command for in here.`, {
          hint: `Call it from the shell that you came from: dfs ${name}`,
        });
      }
      return await this.#executeCommand(words);
    } catch (error) {
      this.#tell(error);
      return exitCodes.usage;
    }
  }

  async #executeOwn(name: string, rest: readonly string[]): Promise<number> {
    if (name === 'help') return (await this.#whole.run(['help', ...rest], this.#session)) ?? 0;
    if (name === 'lcd' || name === 'lpwd') {
      if (name === 'lcd') changeLocal(rest[0] ?? this.#session.environment['HOME'] ?? '/');
      process.stdout.write(`${shown(process.cwd())}\n`);
      return 0;
    }
    this.#isOver = true;
    return rest[0] !== undefined && /^\d{1,3}$/.test(rest[0])
      ? Number(rest[0]) & 255
      : this.#lastCode;
  }

  async #executeCommand(words: readonly Word[]): Promise<number> {
    const literals = new Set<string>();
    const args = words.map((word) => {
      if (word.mayBePattern && isPattern(word.pattern)) return word.pattern;
      literals.add(word.text);
      return word.text;
    });
    const running = new AbortController();
    this.#running = running;
    const session = this.#session.forLine({
      literals,
      questions: { ask: (question) => this.#source.ask(question), close: async () => {} },
      // Without a terminal a signal ends it all, as it ends any command.
      ...(this.#isInteractive ? { signal: running.signal } : {}),
    });
    try {
      const failed = await this.#whole.run(args, session);
      const code = failed ?? Number(process.exitCode ?? 0);
      process.exitCode = undefined;
      return running.signal.aborted ? 130 : code;
    } finally {
      this.#running = undefined;
    }
  }

  async #describe(): Promise<CommandDescription> {
    const program = describeCommand(await this.#whole.create(this.#session));
    const own = ownCommands.map((name) => ({
      name,
      description: '',
      commands: [],
      options: [],
      values: name === 'lcd' ? [{ kind: 'local' as const, words: [], isVariadic: false }] : [],
    }));
    const inside = program.commands.filter(({ name }) => !outside.includes(name));
    return { ...program, options: [], commands: [...inside, ...own] };
  }
}

function changeLocal(folder: string): void {
  try {
    process.chdir(folder);
  } catch (cause) {
    throw new StoreError(
      'invalid-request',
      `lcd: ${shown(folder)}: ${(cause as NodeJS.ErrnoException).code}`,
    );
  }
}

/** A word in the quotes that were begun, else behind backslashes. */
function asTyped(word: string, raw: string): string {
  const quote = raw.charAt(0);
  const isQuoted =
    (quote === '"' && !/["\\$`]/.test(word)) || (quote === "'" && !word.includes("'"));
  if (!isQuoted) return quoted(word);
  return word.endsWith('/') ? `${quote}${word}` : `${quote}${word}${quote}`;
}
