import { createRequire } from 'node:module';
import { bytesText } from './output.ts';

/** Work below this is over before a bar could be read. */
const barFromBytes = 4 * 2 ** 20;

export interface Progress {
  /** Bytes done so far, in all. */
  at(bytes: number): void;
  stop(): void;
}

const silent: Progress = { at: () => {}, stop: () => {} };

/**
 * A bar with rate and time left on standard error, when that is a terminal and the work is long; `totalBytes` undefined: unknown, it shows once much went through.
 */
export function showProgress(label: string, totalBytes: number | undefined): Progress {
  if (!process.stderr.isTTY || (totalBytes !== undefined && totalBytes <= barFromBytes))
    return silent;
  const { SingleBar } = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress');
  const startedAtMs = performance.now();
  const format =
    totalBytes === undefined
      ? '{label}  {done}  {rate}/s'
      : '{label}  {bar} {percentage}%  {done} of {all}  {rate}/s  {eta_formatted} left';
  const bar = new SingleBar({
    format,
    stream: process.stderr,
    hideCursor: true,
    barsize: 24,
    etaBuffer: 50,
  });
  const facts = (bytes: number) => ({
    label,
    done: bytesText(bytes),
    all: bytesText(totalBytes ?? 0),
    rate: bytesText((bytes * 1000) / Math.max(1, performance.now() - startedAtMs)),
  });
  let isShown = totalBytes !== undefined;
  if (isShown) bar.start(totalBytes ?? 0, 0, facts(0));
  return {
    at: (bytes) => {
      if (!isShown && bytes > barFromBytes) {
        isShown = true;
        bar.start(Number.MAX_SAFE_INTEGER, bytes, facts(bytes));
      }
      if (isShown) bar.update(bytes, facts(bytes));
    },
    stop: () => {
      if (isShown) bar.stop();
    },
  };
}
