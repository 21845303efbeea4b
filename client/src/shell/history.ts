import { appendFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export const historyMax = 1_000;

/** The lines of earlier shells, in a file for its user alone. Where it cannot be read or written there is none: a shell works without. */
export class History {
  readonly #file: string;

  constructor(stateDir: string) {
    this.#file = join(stateDir, 'shell-history');
  }

  /** Oldest first. A file that grew long is cut. */
  read(): string[] {
    try {
      const lines = readFileSync(this.#file, 'utf8').split('\n').filter(Boolean);
      const last = lines.slice(-historyMax);
      if (lines.length > 2 * historyMax) this.#replace(last);
      return last;
    } catch {
      return [];
    }
  }

  /** As shells have it, a line that starts with a blank is not kept. */
  add(line: string): void {
    if (line.trim() === '' || line.startsWith(' ') || line.includes('\n')) return;
    try {
      mkdirSync(dirname(this.#file), { recursive: true, mode: 0o700 });
      appendFileSync(this.#file, `${line}\n`, { mode: 0o600 });
    } catch {
      // See above.
    }
  }

  #replace(lines: readonly string[]): void {
    const staged = `${this.#file}.${process.pid}.new`;
    writeFileSync(staged, `${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(staged, this.#file);
  }
}
