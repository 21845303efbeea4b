import { pino } from 'pino';
import type { LogRing } from './log-ring.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/** Facts of a line, as fields rather than prose. An `error` is written with its stack, its own fields and its causes. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where a program says what happened. Errors are logged once, where they stop. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger whose lines all carry these fields too. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** Name of the program, a field of each line. */
  readonly program: string;
  readonly level?: LogLevel;
  /** By default text on a terminal or with `DFS_LOG_FORMAT=text`, else JSON, one object a line. */
  readonly format?: 'json' | 'text';
  /** Gets each line too, as JSON. */
  readonly ring?: LogRing;
  /** Receives each line with its line feed; by default standard output. */
  readonly write?: (line: string) => void;
}

/**
 * Makes a logger that writes one line per event, in order. Lines of everyday business are written many at a time, within a fifth of a second; a warning or an error is
 * written at once with all before it, and so is everything at the end of the process, so that the last words of a dying program are not lost.
 * Secrets never reach a line: neither as fields named like one, nor in the signature of a URL or the password of a connection string.
 */
export function createLogger(options: LoggerOptions): Logger {
  const format = options.format ?? (isTextWanted() ? 'text' : 'json');
  const { ring } = options;
  const finished = (line: string) => {
    const clean = withoutSecrets(line);
    ring?.push(clean);
    return clean;
  };
  const settings: pino.LoggerOptions = {
    level: options.level ?? 'info',
    base: { program: options.program },
    messageKey: 'message',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { error: errorFieldOf },
    hooks: { streamWrite: finished },
  };
  if (format === 'json' && options.write === undefined) {
    const output = pino.destination({ fd: 1, sync: false, ...gathering });
    return loggerOver(pino(settings, output), () => output.flushSync());
  }
  const writeLine = options.write ?? ((line: string) => void process.stdout.write(line));
  const write = format === 'text' ? (line: string) => writeLine(textOf(line)) : writeLine;
  return loggerOver(pino(settings, { write }), () => {});
}

/** Bytes that are written together, and after how long fewer are, ms. */
const gathering = { minLength: 8_192, periodicFlush: 200 };

const isTextWanted = () =>
  process.env['DFS_LOG_FORMAT'] === 'text' ||
  (process.env['DFS_LOG_FORMAT'] === undefined && process.stdout.isTTY === true);

function loggerOver(lines: pino.Logger, flush: () => void): Logger {
  const nothing = {};
  return {
    debug: (message, fields) => lines.debug(fields ?? nothing, message),
    info: (message, fields) => lines.info(fields ?? nothing, message),
    warn: (message, fields) => {
      lines.warn(fields ?? nothing, message);
      flush();
    },
    error: (message, fields) => {
      lines.error(fields ?? nothing, message);
      flush();
    },
    child: (fields) => loggerOver(lines.child(fields), flush),
  };
}

const errorFieldOf = (error: unknown) =>
  error instanceof Error ? pino.stdSerializers.errWithCause(error) : error;

const jsonString = '"(?:[^"\\\\]|\\\\.)*"';
const secretNames = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'shard-key',
  'shard_key',
  'clusterKey',
  'cluster_key',
  'DFS_CLUSTER_KEY',
  'DFS_KEY',
  'secret',
  'secretKey',
  'password',
  'accessKey',
  'apiKey',
  'signature',
].join('|');
const secretField = new RegExp(`"(${secretNames})":(?:${jsonString}|\\[[^\\]]*\\])`, 'gi');
/** An address may have been percent-encoded once more by who sent it. */
const secretParameter =
  /((?:[?&]|%3F|%26)(?:signature|x-amz-signature|key|token)(?:=|%3D))[^&%"\s\\]+/gi;
/** A whole access key where its id alone was asked for; the id is no secret. */
const accessKeyText = /\b(dk[a-z2-7]{18}\.)[A-Za-z0-9_-]{40}/g;
const bearer = /\b(Bearer\s+)[^"\s\\]+/gi;
const urlPassword = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"]*:)[^\s@"]+@/gi;

/** Works on the finished line, so that no depth of nesting and no text of an error hides a secret from it. */
function withoutSecrets(line: string): string {
  return line
    .replace(secretField, '"$1":"[secret]"')
    .replace(secretParameter, '$1[secret]')
    .replace(accessKeyText, '$1[secret]')
    .replace(bearer, '$1[secret]')
    .replace(urlPassword, '$1[secret]@');
}

/** A line for people: time, level, program, message, then the fields; a stack on lines of its own. */
function textOf(line: string): string {
  const { time, level, program, message, error, ...fields } = JSON.parse(line) as Record<
    string,
    unknown
  >;
  const clock = String(time).slice(11, 23);
  const rest = Object.entries(fields).map(([name, value]) => ` ${name}=${shown(value)}`);
  const cause = error === undefined ? '' : ` error=${errorText(error)}`;
  return `${clock} ${String(level).toUpperCase().padEnd(5)} ${program}: ${message}${rest.join('')}${cause}\n`;
}

const shown = (value: unknown) =>
  typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);

function errorText(error: unknown): string {
  if (typeof error !== 'object' || error === null) return shown(error) ?? '';
  const { message, stack } = error as { message?: unknown; stack?: unknown };
  const stackLines = typeof stack === 'string' ? `\n${stack}` : '';
  return `${shown(message) ?? ''}${stackLines}${causesOf(error)}`;
}

/** Each cause on a line of its own; their stacks are in the JSON form. */
function causesOf(error: object): string {
  const { cause } = error as { cause?: { message?: unknown; code?: unknown } };
  if (typeof cause !== 'object' || cause === null) return '';
  const code = typeof cause.code === 'string' ? ` (${cause.code})` : '';
  return `\n  caused by: ${cause.message}${code}${causesOf(cause)}`;
}
