import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FilePath, namesOf, parseFilePath, rootPath, StoreError } from '@dfs/shared';

/** Where `dfs cd` led to in one store. */
interface Remembered {
  readonly url: string;
  readonly path: FilePath;
  readonly previous?: FilePath;
}

/** The user's current directory in one store, kept in a file of the state directory. Until the first `dfs cd` it is the root. */
export class WorkingDirectory {
  readonly #url: string;
  readonly #file: string;
  #known: Remembered | undefined;

  constructor({ url, stateDir }: { url: string; stateDir: string }) {
    this.#url = url;
    const name = createHash('sha256').update(url).digest('hex').slice(0, 16);
    this.#file = join(stateDir, 'directories', `${name}.json`);
  }

  /** Throws `internal` when what is remembered cannot be read: to take another directory instead would touch other files than were meant. */
  get path(): FilePath {
    return this.#remembered().path;
  }

  /** Where it was before the last change. */
  get previous(): FilePath | undefined {
    return this.#remembered().previous;
  }

  /** Remembers it for every later call. */
  change(path: FilePath): void {
    const known: Remembered = { url: this.#url, path, previous: this.#currentOrRoot() };
    const staged = `${this.#file}.${process.pid}.new`;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      writeFileSync(staged, `${JSON.stringify(known)}\n`, { mode: 0o600 });
      renameSync(staged, this.#file);
    } catch (cause) {
      throw new StoreError(
        'internal',
        `The directory cannot be remembered in ${this.#file}: ${(cause as Error).message}`,
        { hint: 'Name another place with the variable XDG_STATE_HOME.', cause },
      );
    }
    this.#known = known;
  }

  /** A path as a user wrote it: relative to this directory unless it starts with a slash, with `.` and `..`. Throws `invalid-path`. */
  resolve(text: string): FilePath {
    if (text === '') {
      throw new StoreError('invalid-path', 'The path is empty.', {
        hint: 'Name a path of the store; "." is the current directory, / the top one.',
      });
    }
    const names = text.startsWith('/') ? [] : namesOf(this.path);
    for (const part of text.replace(/^\//, '').replace(/\/$/, '').split('/')) {
      if (part === '..') names.pop();
      else if (part !== '.') names.push(part);
    }
    return parseFilePath(`/${names.join('/')}`);
  }

  #remembered(): Remembered {
    this.#known ??= this.#read();
    return this.#known;
  }

  #currentOrRoot(): FilePath {
    try {
      return this.path;
    } catch {
      // What cannot be read is about to be written anew.
      return rootPath;
    }
  }

  #read(): Remembered {
    let text: string;
    try {
      text = readFileSync(this.#file, 'utf8');
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return { url: this.#url, path: rootPath };
      throw this.#unreadable(cause);
    }
    try {
      const { path, previous } = JSON.parse(text) as { path: string; previous?: string };
      return {
        url: this.#url,
        path: parseFilePath(path),
        ...(previous === undefined ? {} : { previous: parseFilePath(previous) }),
      };
    } catch (cause) {
      throw this.#unreadable(cause);
    }
  }

  #unreadable(cause: unknown): StoreError {
    return new StoreError(
      'internal',
      `The current directory cannot be read from ${this.#file}: ${(cause as Error).message}`,
      { hint: 'Choose it anew with "dfs cd /", or give paths that start with a slash.', cause },
    );
  }
}
