import { readFileSync } from 'node:fs';

const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};
const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1e3,
  '': 1e3,
  m: 6e4,
  min: 6e4,
  h: 36e5,
  d: 864e5,
};

function withUnit(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim());
  const unit = match?.[2]?.toLowerCase();
  if (!match || unit === undefined || !Object.hasOwn(units, unit)) return undefined;
  const value = Math.round(Number(match[1]) * (units[unit] ?? 0));
  return Number.isSafeInteger(value) ? value : undefined;
}

/** `64MiB`, `1GB`, `512` → bytes; undefined for anything else. */
export const parseBytes = (text: string) => withUnit(text, byteUnits);
/** `15s`, `250ms`, `24h`, a bare number of seconds → ms; undefined for anything else. */
export const parseDurationMs = (text: string) => withUnit(text, durationUnits);

/** Configuration that cannot be used: all faults at once, one a line. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

/**
 * Reads a program's settings from the environment and notes every fault; `finish` throws them together. An empty value counts as absent, but for a directory.
 */
export class EnvironmentReader {
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #faults: string[] = [];

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.#environment = environment;
  }

  /** The first of these variables that is set, blanks around it dropped. */
  optional(...names: string[]): string | undefined {
    for (const name of names) {
      const value = this.#environment[name]?.trim();
      if (value) return value;
    }
    return undefined;
  }

  text(name: string, fallback: string): string {
    return this.optional(name) ?? fallback;
  }

  /** A directory. Set to nothing it is a fault: most likely a variable of a shell that was not set, and the default would be a place nobody meant. */
  directory(name: string, fallback: string): string {
    const isEmpty = this.#environment[name]?.trim() === '';
    if (isEmpty) this.#faults.push(`${name} is empty: name a directory, or leave it out.`);
    return this.text(name, fallback);
  }

  required(name: string, meaning: string): string {
    const value = this.optional(name);
    if (value === undefined) this.#faults.push(`${name} is not set: ${meaning}.`);
    return value ?? '';
  }

  integer(name: string, fallback: number, limits: { min: number; max: number }): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= limits.min && value <= limits.max) return value;
    return this.#fault(name, text, `a whole number from ${limits.min} to ${limits.max}`, fallback);
  }

  bytes(name: string, fallback: number, limits: { min: number } = { min: 0 }): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = parseBytes(text);
    if (value !== undefined && value >= limits.min) return value;
    return this.#fault(
      name,
      text,
      `a number of bytes such as 64MiB, at least ${limits.min}`,
      fallback,
    );
  }

  durationMs(name: string, fallback: number, limits: { min: number } = { min: 0 }): number {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const value = parseDurationMs(text);
    if (value !== undefined && value >= limits.min) return value;
    return this.#fault(
      name,
      text,
      `a duration such as 15s, 5m or 24h, at least ${limits.min} ms`,
      fallback,
    );
  }

  /** One of `values`, in any letter case. */
  choice<Value extends string>(name: string, fallback: Value, values: readonly Value[]): Value {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    const found = values.find((value) => value.toLowerCase() === text.toLowerCase());
    return found ?? this.#fault(name, text, `one of ${values.join(', ')}`, fallback);
  }

  flag(name: string, fallback: boolean): boolean {
    const text = this.optional(name);
    if (text === undefined) return fallback;
    if (/^(1|true|yes|on)$/i.test(text)) return true;
    if (/^(0|false|no|off)$/i.test(text)) return false;
    return this.#fault(name, text, 'true or false', fallback);
  }

  url(name: string): string | undefined {
    const text = this.optional(name);
    if (text === undefined) return undefined;
    if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol))
      return text.replace(/\/+$/, '');
    return this.#fault(name, text, 'a URL such as http://10.0.0.5:7041', undefined);
  }

  /** The secret in variable `name` or one of its aliases, else in the first line of the file that `<name>_FILE` names. Faults never quote it. */
  secret(name: string, ...aliases: string[]): string | undefined {
    const value = this.optional(name, ...aliases);
    const file = this.optional(`${name}_FILE`);
    const secret =
      value ?? (file === undefined ? undefined : this.#secretOfFile(`${name}_FILE`, file));
    return secret;
  }

  #secretOfFile(name: string, file: string): string | undefined {
    try {
      const [secret] = readFileSync(file, 'utf8').trim().split('\n', 1);
      if (secret) return secret.trimEnd();
      this.#faults.push(`${name}: the file ${file} is empty.`);
    } catch (error) {
      this.#faults.push(
        `${name}: the file ${file} cannot be read (${(error as NodeJS.ErrnoException).code}).`,
      );
    }
    return undefined;
  }

  /** A fault that the caller found, such as two settings that do not go together. */
  fault(line: string): void {
    this.#faults.push(line);
  }

  /** Throws `ConfigurationError` with every fault noted, or returns. */
  finish(): void {
    if (this.#faults.length > 0) throw new ConfigurationError(this.#faults.join('\n'));
  }

  #fault<T>(name: string, text: string, wanted: string, fallback: T): T {
    this.#faults.push(`${name} is ${JSON.stringify(text)}: it must be ${wanted}.`);
    return fallback;
  }
}
