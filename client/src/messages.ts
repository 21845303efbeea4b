import { StoreError, type StoreErrorKind } from '@dfs/shared';
import { exitCodeOf } from './exit-codes.ts';

/** A name between quotes, as coreutils show it: what a terminal would obey, and quotes, in a form that the shell reads back. */
export function namedInMessages(text: string): string {
  if (/\p{Cc}/u.test(text)) {
    const inner = text.replace(/['\\]/g, '\\$&').replace(/\p{Cc}/gu, controlCharacter);
    return `$'${inner}'`;
  }
  return text.includes("'") ? `"${text.replace(/["\\$`]/g, '\\$&')}"` : `'${text}'`;
}

const controlNames: Readonly<Record<string, string>> = { '\n': '\\n', '\t': '\\t', '\r': '\\r' };

const controlCharacter = (character: string) =>
  controlNames[character] ?? `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`;

const reasons: Partial<Readonly<Record<StoreErrorKind, string>>> = {
  'not-found': 'No such file or directory',
  'is-a-directory': 'Is a directory',
  'not-a-directory': 'Not a directory',
  'precondition-failed': 'File exists',
};

/** Why something failed, as the end of a line. */
export function reasonOf(error: unknown): string {
  const known = error instanceof StoreError ? reasons[error.kind] : undefined;
  return known ?? (error instanceof Error ? error.message : String(error)).replace(/\.$/, '');
}

/** What ends the whole command: whatever comes next would fail alike. */
const endsAll: ReadonlySet<string> = new Set([
  'unauthorized',
  'unavailable',
  'in-recovery',
  'cancelled',
]);

/** Everything that had to be said was said; only the exit code is left. */
export class ToldFailure extends Error {
  override readonly name = 'ToldFailure';
  readonly exitCode: number;

  constructor(exitCode: number) {
    super('It was said already.');
    this.exitCode = exitCode;
  }
}

/** The failures of a command that goes on with the rest of its arguments: a line each on standard error, or with JSON one error at the end. */
export class Failures {
  readonly #command: string;
  readonly #isJson: boolean;
  readonly #told: { error: unknown; text: string }[] = [];

  constructor(command: string, { json = false }: { json?: boolean | undefined }) {
    this.#command = command;
    this.#isJson = json;
  }

  get count(): number {
    return this.#told.length;
  }

  /** Says that one thing failed; throws what no other argument would fare better with. */
  add(error: unknown, text: string): void {
    if (!(error instanceof StoreError) || endsAll.has(error.kind)) throw error;
    this.#told.push({ error, text });
    if (!this.#isJson) process.stderr.write(`dfs ${this.#command}: ${text}\n`);
  }

  /** A failure that was found here rather than by the store. */
  refuse(kind: StoreErrorKind, text: string): void {
    this.add(new StoreError(kind, text), text);
  }

  /** Throws when anything failed; the exit code is the first one's. */
  end(): void {
    const [first] = this.#told;
    if (!first) return;
    if (!this.#isJson) throw new ToldFailure(exitCodeOf(first.error));
    const { kind, hint } = first.error as StoreError;
    const text = this.#told.map((told) => told.text).join('; ');
    throw new StoreError(kind, text, hint === undefined ? {} : { hint });
  }
}
