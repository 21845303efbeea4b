import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { StoreError } from '@dfs/shared';
import type { StoreApi, StreamedAnswer } from './api.ts';
import { shown } from './output.ts';
import type { Progress } from './progress.ts';
import { Retries, type RetryLimits } from './retry.ts';

/** Where the bytes of a download go. */
export interface Sink {
  write(chunk: Uint8Array): Promise<void>;
  /** Forgets what was written, to begin anew; undefined when that cannot be (a pipe). */
  readonly rewind: (() => Promise<void>) | undefined;
}

export interface Downloaded {
  readonly sizeBytes: number;
  readonly md5: string;
  readonly node: string | undefined;
  readonly path: string;
}

/** How the user is kept informed. */
export interface DownloadTelling {
  /** Is asked once, when the size is known. */
  readonly progressOf: (sizeBytes: number) => Progress;
  /** Takes a line about a wait before another try; undefined when it is not worth one. */
  readonly say: ((line: string) => void) | undefined;
  readonly limits?: RetryLimits | undefined;
}

/**
 * Downloads, checks and, where the bytes do not fit their MD5, asks once more for another copy. Goes on where it stopped when the connection breaks.
 */
export async function download(
  api: StoreApi,
  urlPath: string,
  sink: Sink,
  telling: DownloadTelling,
): Promise<Downloaded> {
  let avoid: string | undefined;
  for (;;) {
    const got = await downloadOnce(
      api,
      avoid === undefined ? urlPath : `${urlPath}?avoid=${avoid}`,
      sink,
      telling,
    );
    if (got.actualMd5 === got.md5) return got;
    if (avoid !== undefined || got.node === undefined || !sink.rewind) {
      throw new StoreError(
        'corrupt',
        `The bytes received of ${shown(got.path)} have the MD5 ${got.actualMd5}, not ${got.md5}.`,
        {
          hint: 'Nothing was kept. Look at "dfs replicas" and "dfs log" of this file.',
        },
      );
    }
    avoid = got.node;
    await sink.rewind();
  }
}

async function downloadOnce(
  api: StoreApi,
  urlPath: string,
  sink: Sink,
  telling: DownloadTelling,
): Promise<Downloaded & { actualMd5: string }> {
  const { progressOf, say, limits } = telling;
  let hash = createHash('md5');
  let doneBytes = 0;
  let first: StreamedAnswer | undefined;
  let progress: Progress | undefined;
  const retries = new Retries({ say, limits, signal: api.signal });
  try {
    for (;;) {
      try {
        const answer = await api.open(urlPath, { headers: resumeHeaders(doneBytes, first) });
        refuseOthers(api, answer, urlPath);
        if (doneBytes > 0 && answer.status !== 206) {
          // Another content by now: what came so far belongs to the old one.
          await startAnew(sink);
          hash = createHash('md5');
          doneBytes = 0;
          first = undefined;
        }
        first ??= answer;
        progress ??= progressOf(sizeOf(first));
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          await sink.write(chunk);
          hash.update(chunk);
          doneBytes += chunk.length;
          progress.at(doneBytes);
          retries.progress();
        }
        if (doneBytes === sizeOf(first))
          return { ...factsOf(first, urlPath), actualMd5: hash.digest('hex') };
        throw new StoreError(
          'unavailable',
          `The answer ended after ${doneBytes} of ${sizeOf(first)} bytes.`,
        );
      } catch (error) {
        await retries.wait(brokenStream(api, error));
      }
    }
  } finally {
    progress?.stop();
  }
}

/** Refuses an answer that is no file's, before a byte of it is written. */
function refuseOthers(api: StoreApi, answer: StreamedAnswer, urlPath: string): void {
  if (/^[0-9a-f]{32}$/.test(md5Of(answer))) return;
  answer.body.destroy();
  const type = answer.headers['content-type'] ?? '';
  if (urlPath.startsWith('/fs/') && type.startsWith('application/json')) {
    throw isDirectoryError(pathOf(urlPath));
  }
  throw new StoreError('internal', `What answers at ${api.url} is no dfs store.`, {
    hint: 'Look at the address in DFS_URL.',
  });
}

async function startAnew(sink: Sink): Promise<void> {
  if (!sink.rewind) {
    throw new StoreError('precondition-failed', 'The file was replaced while it was read.', {
      hint: 'Read it again.',
    });
  }
  await sink.rewind();
}

const resumeHeaders = (
  doneBytes: number,
  first: StreamedAnswer | undefined,
): Record<string, string> =>
  doneBytes === 0 || !first
    ? {}
    : { Range: `bytes=${doneBytes}-`, 'If-Range': first.headers['etag'] ?? '' };

const sizeOf = (answer: StreamedAnswer) => Number(answer.headers['content-length']);

const md5Of = ({ headers }: StreamedAnswer) =>
  headers['x-dfs-md5'] ?? (headers['etag'] ?? '').replaceAll('"', '');

const pathOf = (urlPath: string) =>
  decodeURIComponent(urlPath.replace(/^\/fs/, '').replace(/\?.*$/, ''));

const factsOf = (answer: StreamedAnswer, urlPath: string): Downloaded => ({
  sizeBytes: sizeOf(answer),
  md5: md5Of(answer),
  node: answer.headers['x-dfs-node'],
  path: pathOf(urlPath),
});

/** A stream that broke off fails with the socket's own error. */
function brokenStream(api: StoreApi, error: unknown): unknown {
  if (api.signal?.aborted) return api.failure(error);
  const code = (error as NodeJS.ErrnoException).code;
  if (error instanceof StoreError || code === undefined || localCodes.has(code)) return error;
  return new StoreError('unavailable', `The connection to ${api.url} broke (${code}).`, {
    hint: 'Try again; look at "dfs status" if it stays so.',
    cause: Object.assign(new Error(code), { code: 'ECONNRESET' }),
  });
}

/** Failures of writing here, which no second request mends. */
const localCodes: ReadonlySet<string> = new Set([
  'ENOSPC',
  'EIO',
  'EDQUOT',
  'EPIPE',
  'EFBIG',
  'EROFS',
  'EBADF',
]);

/** Writes from the beginning of an open file. */
export function fileSink(handle: FileHandle): Sink {
  let position = 0;
  return {
    write: async (chunk) => {
      for (let offset = 0; offset < chunk.length; ) {
        const { bytesWritten } = await handle.write(chunk, offset, chunk.length - offset, position);
        offset += bytesWritten;
        position += bytesWritten;
      }
    },
    rewind: async () => {
      await handle.truncate(0);
      position = 0;
    },
  };
}

/** In the words of the store, which answers a GET of a directory with a listing. */
export const isDirectoryError = (path: string) =>
  new StoreError('is-a-directory', `${shown(path)} is a directory.`, {
    hint: 'Name a file in that directory.',
  });
