import { createRequire } from 'node:module';

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** `1536` → `1.5 KiB`. */
export function bytesText(bytes: number): string {
  const power = Math.min(byteUnits.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${byteUnits[power]}`;
}

/** `95` → `1 min 35 s`. */
export function durationText(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [minutes, hours] = [Math.floor(whole / 60), Math.floor(whole / 3600)];
  if (minutes < 60) return whole % 60 === 0 ? `${minutes} min` : `${minutes} min ${whole % 60} s`;
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} days`;
}

/** An ISO time in the reader's own time zone, to the second. */
export function timeText(iso: string): string {
  const time = new Date(iso);
  const two = (value: number) => String(value).padStart(2, '0');
  const day = `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}`;
  return `${day} ${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

/** Names from others may hold control characters: a terminal must not obey them. */
export const shown = (text: string) =>
  text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/**
 * The answers about the things that words of the command line name, of which some may have failed: nothing for none, the answer itself where one word named one thing, else
 * an array. A pattern that names several things has its array also when one answer is left.
 */
export function printJsonAnswers(
  answers: readonly unknown[],
  { words, sources }: { readonly words: readonly string[]; readonly sources: readonly unknown[] },
): void {
  if (answers.length === 0) return;
  printJson(words.length === 1 && sources.length === 1 ? answers[0] : answers);
}

/** Values as one JSON array, written as they come. */
export class JsonList {
  readonly #lines = new Lines();
  #count = 0;

  add(value: unknown): void {
    this.#lines.write(`${this.#count === 0 ? '[\n  ' : ',\n  '}${JSON.stringify(value)}`);
    this.#count += 1;
  }

  end(): void {
    this.#lines.write(this.#count === 0 ? '[]\n' : '\n]\n');
    this.#lines.flush();
  }
}

const heldLettersMax = 32 * 1024;

/** Much text in few writes; a terminal sees each at once. */
export class Lines {
  #held = '';

  write(text: string): void {
    this.#held += text;
    if (process.stdout.isTTY || this.#held.length > heldLettersMax) this.flush();
  }

  flush(): void {
    if (this.#held !== '') process.stdout.write(this.#held);
    this.#held = '';
  }
}

/** Rows under headings, without lines between them. */
export function printTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  // Loaded here: most commands print no table.
  const Table = createRequire(import.meta.url)('cli-table3') as typeof import('cli-table3');
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
    'bottom-right': '',
    left: '',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: '  ',
  };
  const table = new Table({
    head: [...headings],
    chars: none,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  for (const row of rows) table.push(row.map(shown));
  for (const line of table.toString().split('\n')) print(line.trimEnd());
}
