import { createRequire } from 'node:module';
import { bytesText } from '../output.ts';
import type { ProgressStream } from '../progress.ts';

/** How far the transfers of a whole tree are. */
export interface TransferProgress {
  /** So many bytes more went through; negative when they are to be sent again. */
  bytes(count: number): void;
  /** One file more is done; `doneBytes`: of it, that did not have to go through. */
  file(doneBytes: number): void;
  /** Prints a line without tearing the display. */
  say(line: string): void;
  /** The same about a wait before another try, once for all transfers that wait for the same reason; undefined when nobody wants to know. */
  readonly sayRetry: ((line: string) => void) | undefined;
  /** What there is in all, as far as it is known. */
  expect(files: number, bytes: number): void;
  stop(): void;
}

/** Clears the display's line, and makes the next one the place to which it returns. */
const instead = (line: string) => `\r\u001b[K${line}\n\u001b7`;

export interface TransferProgressOptions {
  readonly label: string;
  readonly stream?: ProgressStream;
  /** Whether waits are worth a line. */
  readonly tellsRetries: boolean;
  /** False: lines only. */
  readonly isShown?: boolean;
}

/** Several transfers wait for one reason: it is said again after this time at the earliest. */
const sameReasonMs = 60_000;

/** One line on standard error for all transfers together: files, bytes, rate and time left; where that is no terminal, lines only. */
export function showTransfers(options: TransferProgressOptions): TransferProgress {
  const { label, stream = process.stderr, tellsRetries } = options;
  const isShown = (options.isShown ?? true) && stream.isTTY === true;
  let [files, allFiles, bytes, allBytes, sentBytes] = [0, 0, 0, 0, 0];
  const startedAtMs = performance.now();
  const bar = isShown ? createBar(stream) : undefined;
  const facts = () => ({
    label,
    files: `${files} of ${Math.max(files, allFiles)}`,
    done: bytesText(bytes),
    all: bytesText(Math.max(bytes, allBytes)),
    rate: bytesText((sentBytes * 1000) / Math.max(1, performance.now() - startedAtMs)),
  });
  const draw = () => bar?.update(bytes, facts());
  // What there is comes later: nothing of it is done until then.
  bar?.start(1, 0, facts());
  const say = (line: string) => void stream.write(bar ? instead(line) : `${line}\n`);
  return {
    bytes: (count) => {
      bytes += count;
      sentBytes += count;
      draw();
    },
    file: (doneBytes) => {
      files += 1;
      bytes += doneBytes;
      draw();
    },
    expect: (moreFiles, moreBytes) => {
      allFiles += moreFiles;
      allBytes += moreBytes;
      bar?.setTotal(allBytes);
    },
    say,
    sayRetry: tellsRetries ? onceIn(sameReasonMs, say) : undefined,
    stop: () => bar?.stop(),
  };
}

function createBar(stream: ProgressStream) {
  const { SingleBar } = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress');
  return new SingleBar({
    format:
      '{label}  {bar} {percentage}%  {files} files  {done} of {all}  {rate}/s  {eta_formatted} left',
    stream,
    // A terminal that was changed would stay so when a signal ends the command.
    hideCursor: false,
    linewrap: true,
    forceRedraw: true,
    barsize: 24,
    etaBuffer: 50,
  });
}

/** Passes a line on unless the same one but for its numbers was passed on shortly before. */
function onceIn(ms: number, say: (line: string) => void): (line: string) => void {
  const saidAtMs = new Map<string, number>();
  return (line) => {
    const reason = line.replace(/\d+/g, '#');
    const now = performance.now();
    if (now - (saidAtMs.get(reason) ?? Number.NEGATIVE_INFINITY) < ms) return;
    // Reasons are few.
    if (saidAtMs.size > 100) saidAtMs.clear();
    saidAtMs.set(reason, now);
    say(line);
  };
}
