import { createRequire } from 'node:module';
import type { WriteStream } from 'node:tty';
import { bytesText, durationText } from './output.ts';

/** Work below this is over before a bar could be read. */
const barFromBytes = 4 * 2 ** 20;

/** Clears the bar's line, and after the text makes the next one the place to which the bar returns. */
const instead = (line: string) => `\r\u001b[K${line}\n\u001b7`;

export interface Progress {
  /** Bytes done so far, in all. */
  at(bytes: number): void;
  /** Prints a line without tearing the bar. */
  say(line: string): void;
  stop(): void;
}

/** The part of a terminal's stream that is used; a pipe or a file has no `isTTY`. */
export type ProgressStream = NodeJS.WritableStream & Partial<Pick<WriteStream, 'isTTY'>>;

/** No bar, only lines. */
export const noProgress = (stream: ProgressStream = process.stderr): Progress => ({
  at: () => {},
  say: (line) => void stream.write(`${line}\n`),
  stop: () => {},
});

/**
 * A bar with rate and time left on standard error, when that is a terminal and the work is long; `totalBytes` undefined: unknown, it shows once much went through.
 */
export function showProgress(
  label: string,
  totalBytes: number | undefined,
  stream: ProgressStream = process.stderr,
): Progress {
  if (!stream.isTTY || (totalBytes !== undefined && totalBytes <= barFromBytes))
    return noProgress(stream);
  const { SingleBar } = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress');
  const startedAtMs = performance.now();
  const format =
    totalBytes === undefined
      ? '{label}  {done}  {rate}/s'
      : '{label}  {bar} {percentage}%  {done} of {all}  {rate}/s  {left} left';
  const bar = new SingleBar({
    format,
    stream,
    // A terminal that was changed would stay so when a signal ends the command.
    hideCursor: false,
    linewrap: true,
    // It comes back below a line that was said, also while nothing moves.
    forceRedraw: true,
    barsize: 24,
  });
  const facts = (bytes: number) => {
    const bytesPerSecond = (bytes * 1000) / Math.max(1, performance.now() - startedAtMs);
    const secondsLeft = ((totalBytes ?? 0) - bytes) / bytesPerSecond;
    return {
      label,
      done: bytesText(bytes),
      all: bytesText(totalBytes ?? 0),
      rate: bytesText(bytesPerSecond),
      // By the rate that is shown beside it; that of the last moments would make it jump.
      left: bytes === 0 ? '?' : durationText(Math.max(0, secondsLeft)),
    };
  };
  let isShown = totalBytes !== undefined;
  let isOver = false;
  if (isShown) bar.start(totalBytes ?? 0, 0, facts(0));
  return {
    at: (bytes) => {
      if (!isShown && !isOver && bytes > barFromBytes) {
        isShown = true;
        bar.start(Number.MAX_SAFE_INTEGER, bytes, facts(bytes));
      }
      if (isShown) bar.update(bytes, facts(bytes));
    },
    say: (line) => void stream.write(isShown ? instead(line) : `${line}\n`),
    stop: () => {
      if (isShown) bar.stop();
      isShown = false;
      isOver = true;
    },
  };
}
