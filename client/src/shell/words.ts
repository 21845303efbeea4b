import { StoreError } from '@dfs/shared';

/** A word of a line, without its quotes. */
export interface Word {
  readonly text: string;
  /** The same as a pattern: what was quoted behind backslashes, so that it is meant literally. */
  readonly pattern: string;
  /** Whether something of it that could be a pattern was not quoted. */
  readonly mayBePattern: boolean;
}

/** What a line says; `isComplete` false: a quote is still open, or the line ends in a backslash, and more has to come. */
export interface ParsedLine {
  readonly commands: readonly (readonly Word[])[];
  readonly isComplete: boolean;
}

const blank = /[ \t\n]/;
const magic = /[*?[\]\\]/;
/** What sh does and this does not: nothing is silently taken for a name. */
const foreign = new Set(['|', '&', '<', '>', '(', ')', '`']);

/**
 * Splits a line into commands and words as sh does: single and double quotes, backslashes, `;` and line ends between commands, `#` before a remark.
 * No variables: `$` is a letter like any other. Throws `invalid-request` at what only a real shell can do.
 */
export function parseLine(line: string): ParsedLine {
  const reader = new LineReader(line);
  return reader.read();
}

class LineReader {
  readonly #characters: readonly string[];
  readonly #commands: Word[][] = [];
  #words: Word[] = [];
  #word: { text: string; pattern: string; mayBePattern: boolean } | undefined;
  #at = 0;

  constructor(line: string) {
    this.#characters = [...line];
  }

  read(): ParsedLine {
    let isComplete = true;
    while (this.#at < this.#characters.length && isComplete) isComplete = this.#step();
    this.#endCommand();
    return { commands: this.#commands, isComplete };
  }

  /** Takes one character, or what is between quotes; false when the line ends within. */
  #step(): boolean {
    const character = this.#take();
    if (character === "'") return this.#single();
    if (character === '"') return this.#double();
    if (character === '\\') return this.#escaped();
    if (character === ';' || character === '\n') this.#endCommand();
    else if (blank.test(character)) this.#endWord();
    else if (character === '#' && !this.#word) this.#skipRemark();
    else if (foreign.has(character)) throw notHere(character);
    else this.#add(character, { isQuoted: false });
    return true;
  }

  #take(): string {
    const character = this.#characters[this.#at] ?? '';
    this.#at += 1;
    return character;
  }

  #single(): boolean {
    // '' is a word too.
    this.#open();
    while (this.#at < this.#characters.length) {
      const character = this.#take();
      if (character === "'") return true;
      this.#add(character, { isQuoted: true });
    }
    return false;
  }

  #double(): boolean {
    this.#open();
    while (this.#at < this.#characters.length) {
      const character = this.#take();
      if (character === '"') return true;
      const next = this.#characters[this.#at];
      const isEscape = character === '\\' && next !== undefined && '"\\$`\n'.includes(next);
      if (isEscape) this.#at += 1;
      if (!isEscape || next !== '\n') this.#add(isEscape ? next : character, { isQuoted: true });
    }
    return false;
  }

  #escaped(): boolean {
    if (this.#at >= this.#characters.length) return false;
    const character = this.#take();
    // A line that goes on in the next one.
    if (character !== '\n') this.#add(character, { isQuoted: true });
    return true;
  }

  #skipRemark(): void {
    while (this.#at < this.#characters.length && this.#characters[this.#at] !== '\n') this.#at += 1;
  }

  #open() {
    this.#word ??= { text: '', pattern: '', mayBePattern: false };
    return this.#word;
  }

  #add(character: string, { isQuoted }: { isQuoted: boolean }): void {
    const word = this.#open();
    word.text += character;
    word.pattern += isQuoted && magic.test(character) ? `\\${character}` : character;
    if (!isQuoted && magic.test(character)) word.mayBePattern = true;
  }

  #endWord(): void {
    if (this.#word) this.#words.push(this.#word);
    this.#word = undefined;
  }

  #endCommand(): void {
    this.#endWord();
    if (this.#words.length > 0) this.#commands.push(this.#words);
    this.#words = [];
  }
}

const notHere = (character: string) =>
  new StoreError('invalid-request', `${character} means nothing here.`, {
    hint: 'Quote it when it belongs to a name; pipes and redirections are for the shell that you came from.',
  });

/** A word as it can be typed: what the line's reader would take for something else behind backslashes. */
export function quoted(text: string): string {
  if (text === '') return "''";
  if (/[\n\t]/.test(text)) return `'${text.replaceAll("'", `'\\''`)}'`;
  return text.replace(/[ \\'"*?[\];#|&<>()`]/g, '\\$&');
}

export interface LastWord {
  /** The words before the one that is being typed, in the last command. */
  readonly before: readonly string[];
  /** What is typed of the last one, without its quotes; empty after a blank. */
  readonly text: string;
  /** As it was typed. */
  readonly raw: string;
}

/** The word at the end of a line that is still being typed. Undefined where no word can be completed. */
export function lastWordOf(line: string): LastWord | undefined {
  const start = startOfLastWord(line);
  try {
    const before = parseLine(line.slice(0, start));
    const raw = line.slice(start);
    const words = (before.commands.at(-1) ?? []).map(({ text }) => text);
    const isNewCommand = /[;\n][ \t]*$/.test(line.slice(0, start));
    const text = parseLine(raw).commands.at(-1)?.at(-1)?.text ?? '';
    return { before: isNewCommand ? [] : words, text, raw };
  } catch {
    return undefined;
  }
}

/** Where the last word begins: after the last blank or semicolon that is not quoted. */
function startOfLastWord(line: string): number {
  let start = 0;
  let quote: string | undefined;
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (quote === "'") quote = character === "'" ? undefined : quote;
    else if (character === '\\') at += 1;
    else if (quote === '"') quote = character === '"' ? undefined : quote;
    else if (character === "'" || character === '"') quote = character;
    else if (blank.test(character) || character === ';') start = at + 1;
  }
  return start;
}
