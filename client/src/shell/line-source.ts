import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { linesOf } from '../lines.ts';

/** Where a shell's lines come from, and the answers to what commands ask. */
export interface LineSource {
  /** The next line; `cancelled`: it was given up, begin anew; `end`: no more come. */
  next(prompt: string): Promise<{ line: string } | 'cancelled' | 'end'>;
  /** Asks in the middle of a command; undefined: no answer. */
  ask(question: string): Promise<string | undefined>;
  /** The lines that were typed, newest last; of a terminal alone. */
  readonly history: readonly string[];
  close(): Promise<void>;
}

/** A script that comes through a pipe: what a command asks is answered by the next line. */
export class PipedLines implements LineSource {
  readonly history = [];
  readonly #lines: AsyncGenerator<string, void, undefined>;
  readonly #questions: Writable;

  constructor(input: Readable, questions: Writable) {
    this.#lines = linesOf(input);
    this.#questions = questions;
  }

  async next(): Promise<{ line: string } | 'end'> {
    const { value } = await this.#lines.next();
    return typeof value === 'string' ? { line: value } : 'end';
  }

  async ask(question: string): Promise<string | undefined> {
    this.#questions.write(question);
    const next = await this.next();
    return next === 'end' ? undefined : next.line;
  }

  async close(): Promise<void> {
    await this.#lines.return();
  }
}

export interface TerminalOptions {
  readonly input: Readable;
  readonly output: Writable;
  readonly history: readonly string[];
  readonly historyMax: number;
  readonly complete: (line: string) => Promise<[string[], string]>;
  /** Ctrl-C while nothing is read: a command runs. */
  readonly onInterrupt: () => void;
}

type Reading = (result: { line: string } | 'cancelled' | 'end') => void;

/**
 * A person at a terminal, with editing, history and completion. It stays open while commands run, so that lines that were pasted or typed ahead
 * are not lost and Ctrl-C is noticed.
 */
export class TerminalLines implements LineSource {
  readonly #interface: Interface;
  readonly #output: Writable;
  readonly #ahead: string[] = [];
  readonly #onInterrupt: () => void;
  #history: readonly string[];
  #reading: Reading | undefined;
  #isAsking = false;
  #hasEnded = false;

  constructor(options: TerminalOptions) {
    this.#output = options.output;
    this.#onInterrupt = options.onInterrupt;
    this.#history = options.history;
    this.#interface = createInterface({
      input: options.input,
      output: options.output,
      terminal: true,
      // It wants the newest first.
      history: options.history.toReversed(),
      historySize: options.historyMax,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, result: [string[], string]) => void) => {
        void options.complete(line).then((result) => done(null, result));
      },
    });
    this.#interface.on('line', (line) => this.#take(line));
    this.#interface.on('SIGINT', () => this.#interrupt());
    this.#interface.on('history', (lines) => {
      // An answer is no command to go back to.
      if (!this.#isAsking) this.#history = lines.toReversed();
    });
    this.#interface.on('close', () => {
      this.#hasEnded = true;
      this.#finish('end');
    });
  }

  get history(): readonly string[] {
    return this.#history;
  }

  next(prompt: string): Promise<{ line: string } | 'cancelled' | 'end'> {
    const line = this.#ahead.shift();
    if (line !== undefined) return Promise.resolve({ line });
    if (this.#hasEnded) return Promise.resolve('end');
    return new Promise((resolve) => {
      this.#reading = resolve;
      this.#interface.setPrompt(prompt);
      this.#interface.prompt(true);
    });
  }

  async ask(question: string): Promise<string | undefined> {
    this.#isAsking = true;
    // An answer that was typed ahead is there already: what it answers is still told.
    if (this.#ahead.length > 0) this.#output.write(`${question}\n`);
    const answer = await this.next(question);
    this.#isAsking = false;
    return typeof answer === 'object' ? answer.line : undefined;
  }

  async close(): Promise<void> {
    this.#interface.close();
  }

  #take(line: string): void {
    if (this.#reading) this.#finish({ line });
    else this.#ahead.push(line);
  }

  #interrupt(): void {
    this.#output.write('^C\n');
    const isCommandRunning = this.#isAsking || !this.#reading;
    if (this.#reading) {
      // What stands on the line goes with it.
      this.#interface.write(null, { ctrl: true, name: 'e' });
      this.#interface.write(null, { ctrl: true, name: 'u' });
    }
    this.#ahead.length = 0;
    this.#finish('cancelled');
    if (isCommandRunning) this.#onInterrupt();
  }

  #finish(result: { line: string } | 'cancelled' | 'end'): void {
    const reading = this.#reading;
    this.#reading = undefined;
    reading?.(result);
  }
}
