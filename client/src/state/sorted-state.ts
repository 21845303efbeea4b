import {
  closeSync,
  createReadStream,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { StoreError } from '@dfs/shared';
import { linesOf } from '../lines.ts';
import { compareTreePaths } from '../trees/tree-order.ts';

/** A path and what is known of it; null: no longer anything. */
type Fact<T> = readonly [path: string, value: T | null];

/** So many changes are held before they become a sorted file of their own. */
const heldChangesMax = 50_000;

/**
 * Facts by path on the disk of this machine, read in the order of trees and changed in any order. A change is in the file when `set` returns, so that it outlives this process.
 * One process at a time.
 *
 * `<file>` is sorted. Changes go to `<file>.log`, which becomes a sorted `<file>.run-<n>` when it is long; all are merged into a new `<file>` by `close`, or by
 * the next `open` after a process that did not come to that. Memory is bounded, however many facts there are.
 */
export class SortedState<T> {
  readonly #file: string;
  readonly #heldMax: number;
  #log: number | undefined;
  #held = new Map<string, T | null>();
  #runs = 0;

  private constructor(file: string, heldMax: number) {
    this.#file = file;
    this.#heldMax = heldMax;
  }

  static async open<T>(file: string, heldMax = heldChangesMax): Promise<SortedState<T>> {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const state = new SortedState<T>(file, heldMax);
    await state.#takeUp();
    return state;
  }

  /** Reads the facts as they were when the state was opened. `onPassed` is told of each path that was not asked for. */
  cursor(onPassed: (path: string) => void = () => {}): StateCursor<T> {
    return new StateCursor(readFacts<T>(this.#file), onPassed);
  }

  /** Undefined: nothing is known of the path any more. */
  set(path: string, value: T | undefined): void {
    this.#log ??= openSync(`${this.#file}.log`, 'a', 0o600);
    writeSync(this.#log, lineOf([path, value ?? null]));
    this.#held.set(path, value ?? null);
    if (this.#held.size >= this.#heldMax) this.#writeRun();
  }

  /** Sorts what was changed into the file. */
  async close(): Promise<void> {
    await this.#merge();
    this.#dropLog();
  }

  #dropLog(): void {
    if (this.#log !== undefined) closeSync(this.#log);
    this.#log = undefined;
    rmSync(`${this.#file}.log`, { force: true });
  }

  /** What an earlier process left in runs and in the log becomes part of the sorted file. */
  async #takeUp(): Promise<void> {
    const prefix = `${basename(this.#file)}.run-`;
    const names = await readdir(dirname(this.#file));
    const numbers = names
      .filter((name) => name.startsWith(prefix))
      .map((name) => Number(name.slice(prefix.length)));
    this.#runs = Math.max(-1, ...numbers.filter(Number.isInteger)) + 1;
    const log = await readFile(`${this.#file}.log`, 'utf8').catch(() => '');
    for (const line of log.split('\n')) {
      const fact = factOf<T>(line);
      // A line that a crash of the machine cut short, and what may be behind it.
      if (fact === undefined) break;
      this.#held.set(...fact);
    }
    await this.#merge();
    this.#dropLog();
  }

  /** In one go: a run that a crash cuts short must not be taken for a whole one, so it gets its name last; the log still has all of it until then. */
  #writeRun(): void {
    const staged = `${this.#file}.run`;
    const handle = openSync(staged, 'w', 0o600);
    try {
      for (const fact of sortedFacts(this.#held)) writeSync(handle, lineOf(fact));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(staged, `${this.#file}.run-${this.#runs}`);
    this.#runs += 1;
    this.#held = new Map();
    if (this.#log !== undefined) ftruncateSync(this.#log);
  }

  async #merge(): Promise<void> {
    if (this.#held.size === 0 && this.#runs === 0) return;
    const runFiles = Array.from({ length: this.#runs }, (_, n) => `${this.#file}.run-${n}`);
    const sources = [
      ...[this.#file, ...runFiles].map((file) => readFacts<T>(file)),
      fromArray(sortedFacts(this.#held)),
    ];
    const staged = `${this.#file}.new`;
    const handle = await open(staged, 'w', 0o600);
    try {
      let lines: string[] = [];
      for await (const fact of mergeFacts(sources)) {
        if (fact[1] !== null) lines.push(lineOf(fact));
        if (lines.length < 1_000) continue;
        await handle.appendFile(lines.join(''));
        lines = [];
      }
      await handle.appendFile(lines.join(''));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(staged, this.#file);
    // To merge them once more would change nothing.
    for (const file of runFiles) rmSync(file, { force: true });
    this.#held = new Map();
    this.#runs = 0;
  }
}

/** Goes through facts once, along a walk through a tree. */
export class StateCursor<T> {
  readonly #facts: AsyncGenerator<Fact<T>>;
  readonly #onPassed: (path: string) => void;
  #next: Fact<T> | undefined;
  #isStarted = false;

  constructor(facts: AsyncGenerator<Fact<T>>, onPassed: (path: string) => void) {
    this.#facts = facts;
    this.#onPassed = onPassed;
  }

  /** What is known of a path. Paths are asked for in the order of trees. */
  async at(path: string): Promise<T | undefined> {
    await this.#passUntil((known) => compareTreePaths(known, path) >= 0);
    if (this.#next?.[0] !== path) return undefined;
    const value = this.#next[1] ?? undefined;
    this.#next = await this.#read();
    return value;
  }

  /** Passes all that is left. */
  finish(): Promise<void> {
    return this.#passUntil(() => false);
  }

  /** Frees the file before the end. */
  async stop(): Promise<void> {
    await this.#facts.return(undefined);
  }

  async #passUntil(isReached: (path: string) => boolean): Promise<void> {
    if (!this.#isStarted) {
      this.#isStarted = true;
      this.#next = await this.#read();
    }
    while (this.#next !== undefined && !isReached(this.#next[0])) {
      this.#onPassed(this.#next[0]);
      this.#next = await this.#read();
    }
  }

  async #read(): Promise<Fact<T> | undefined> {
    const { value, done } = await this.#facts.next();
    return done ? undefined : value;
  }
}

const lineOf = <T>(fact: Fact<T>) => `${JSON.stringify(fact)}\n`;

function factOf<T>(line: string): Fact<T> | undefined {
  try {
    const fact = JSON.parse(line) as unknown;
    return Array.isArray(fact) && typeof fact[0] === 'string' ? (fact as never) : undefined;
  } catch {
    return undefined;
  }
}

const sortedFacts = <T>(facts: ReadonlyMap<string, T | null>): Fact<T>[] =>
  [...facts].sort(([a], [b]) => compareTreePaths(a, b));

async function* fromArray<T>(facts: readonly Fact<T>[]): AsyncGenerator<Fact<T>> {
  yield* facts;
}

async function* readFacts<T>(file: string): AsyncGenerator<Fact<T>> {
  const stream = createReadStream(file);
  try {
    for await (const line of linesOf(stream)) {
      const fact = factOf<T>(line);
      if (fact === undefined) throw damaged(file);
      yield fact;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  } finally {
    stream.destroy();
  }
}

const damaged = (file: string) =>
  new StoreError('internal', `${file} is damaged.`, {
    hint: 'Delete it: files that are equal on both sides are found again, others count as never synchronised.',
  });

/** All facts in order; of several about one path that of the last source. */
async function* mergeFacts<T>(
  sources: readonly AsyncGenerator<Fact<T>>[],
): AsyncGenerator<Fact<T>> {
  const heads = await Promise.all(sources.map((source) => source.next()));
  for (;;) {
    let least: Fact<T> | undefined;
    for (const { value, done } of heads) {
      if (done) continue;
      const isEarlier = least === undefined || compareTreePaths(value[0], least[0]) <= 0;
      if (isEarlier) least = value;
    }
    if (least === undefined) return;
    yield least;
    for (const [at, head] of heads.entries()) {
      if (head.done || head.value[0] !== least[0]) continue;
      heads[at] = await (sources[at] as AsyncGenerator<Fact<T>>).next();
    }
  }
}
