import { createHash, randomBytes } from 'node:crypto';
import { rmSync, type Stats } from 'node:fs';
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parseFilePath, rootPath, StoreError, urlPathOf } from '@dfs/shared';
import type { StoreApi, StreamedAnswer } from '../api.ts';
import { outputFailure } from '../failure.ts';
import { bytesText, print, printJson, shown } from '../output.ts';
import { noProgress, type Progress, showProgress } from '../progress.ts';
import { Retries } from '../retry.ts';

export interface GetCommandOptions {
  readonly json?: boolean;
}

/** Where the bytes of a download go. */
interface Sink {
  write(chunk: Uint8Array): Promise<void>;
  /** Forgets what was written, to begin anew; undefined when that cannot be (a pipe). */
  readonly rewind: (() => Promise<void>) | undefined;
}

interface Download {
  readonly sizeBytes: number;
  readonly md5: string;
  readonly node: string | undefined;
  readonly path: string;
}

/** How the user is kept informed. */
interface Telling {
  readonly progressOf: (sizeBytes: number) => Progress;
  /** Whether a wait before another try is worth a line. */
  readonly tellsRetries: boolean;
}

/**
 * `dfs get`: writes beside the target, checks the MD5, renames. A link is followed, and a file that is replaced keeps its mode. `-` writes to standard output.
 * Rejects with `StoreError`; no file is left then.
 */
export async function get(
  api: StoreApi,
  remote: string,
  local: string | undefined,
  options: GetCommandOptions,
): Promise<void> {
  const { urlPath, name } = locate(remote);
  const tellsRetries = !options.json;
  if (local === '-') {
    await download(api, urlPath, stdoutSink, { progressOf: silentOn(name), tellsRetries });
    return;
  }
  const target = await targetOf(local, name);
  const telling: Telling = { progressOf: (size) => showProgress(name, size), tellsRetries };
  const found = await stat(target).catch(() => undefined);
  const isSpecial = found !== undefined && !found.isFile() && !found.isDirectory();
  const fill = (sink: Sink) => download(api, urlPath, sink, telling);
  const got = isSpecial
    ? await writeInto(target, fill)
    : await writeBeside(await followLinks(target), found, fill);
  if (options.json) printJson({ path: got.path, local: target, size: got.sizeBytes, md5: got.md5 });
  else print(`${shown(target)}  ${bytesText(got.sizeBytes)}  md5 ${got.md5}`);
}

/** Has a new file filled beside the target and renames it when it is whole; nothing is left of it otherwise, also when a signal ends this process. */
async function writeBeside(
  target: string,
  replaced: Stats | undefined,
  fill: (sink: Sink) => Promise<Download>,
): Promise<Download> {
  // Letters of up to four bytes each: a name may have 255.
  const label = [...basename(target)].slice(0, 40).join('');
  const staged = join(dirname(target), `.${label}.${randomBytes(4).toString('hex')}.part`);
  // Bits that lend somebody's rights are not for bytes that came from elsewhere.
  const mode = replaced?.isFile() ? replaced.mode & 0o777 : undefined;
  const handle = await openStaged(staged, { target, mode });
  const onSignal = (signal: NodeJS.Signals) => {
    rmSync(staged, { force: true });
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  for (const signal of endingSignals) process.once(signal, onSignal);
  try {
    const got = await fill(fileSink(handle));
    // The umask took its part when it was opened.
    if (mode !== undefined) await handle.chmod(mode);
    await handle.sync();
    await handle.close();
    await rename(staged, target);
    return got;
  } catch (error) {
    await handle.close().catch(() => {
      // Closed already: the rename failed.
    });
    await rm(staged, { force: true });
    throw error;
  } finally {
    for (const signal of endingSignals) process.off(signal, onSignal);
  }
}

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A device or a named pipe is written to: a file must not take its place. */
async function writeInto(
  target: string,
  fill: (sink: Sink) => Promise<Download>,
): Promise<Download> {
  const handle = await open(target, 'w');
  try {
    return await fill({
      write: async (chunk) => {
        for (let at = 0; at < chunk.length; ) {
          at += (await handle.write(chunk, at, chunk.length - at, null)).bytesWritten;
        }
      },
      rewind: undefined,
    });
  } finally {
    await handle.close();
  }
}

/** As many as the kernel follows. */
const linksMax = 40;

/** The file that a chain of symbolic links ends at, whether it is there or not; `target` itself when it is no link. */
async function followLinks(target: string): Promise<string> {
  let at = target;
  for (let count = 0; count <= linksMax; count += 1) {
    const link = await readlink(at).catch(() => undefined);
    if (link === undefined) return at;
    // A link is relative to where it really lies.
    at = resolve(await realpath(dirname(at)), link);
  }
  throw new StoreError('invalid-request', `${shown(target)} is a symbolic link without an end.`, {
    hint: 'Name another place on this machine.',
  });
}

/** A path of the store, or `id:<file id>`. */
function locate(remote: string): { urlPath: string; name: string } {
  const id = /^id:(.+)$/.exec(remote)?.[1];
  if (id !== undefined) return { urlPath: `/api/v1/files/${encodeURIComponent(id)}`, name: id };
  const path = parseFilePath(remote);
  if (path === rootPath) throw isDirectory(path);
  return { urlPath: `/fs${urlPathOf(path)}`, name: basename(path) };
}

/** In the words of the store, which answers a GET of a directory with a listing. */
const isDirectory = (path: string) =>
  new StoreError('is-a-directory', `${shown(path)} is a directory.`, {
    hint: 'Name a file in that directory.',
  });

async function targetOf(local: string | undefined, name: string): Promise<string> {
  if (local === undefined) return name;
  const found = await stat(local).catch(() => undefined);
  return found?.isDirectory() || local.endsWith('/') ? join(local, name) : local;
}

async function openStaged(
  staged: string,
  { target, mode = 0o666 }: { target: string; mode: number | undefined },
): Promise<FileHandle> {
  return open(staged, 'wx', mode).catch((cause: NodeJS.ErrnoException) => {
    throw new StoreError('invalid-request', `${shown(target)} cannot be written (${cause.code}).`, {
      hint: 'Name another place on this machine.',
      cause,
    });
  });
}

/**
 * Downloads, checks and, where the bytes do not fit their MD5, asks once more for another copy. Goes on where it stopped when the connection breaks.
 */
async function download(
  api: StoreApi,
  urlPath: string,
  sink: Sink,
  telling: Telling,
): Promise<Download> {
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
  telling: Telling,
): Promise<Download & { actualMd5: string }> {
  const { progressOf, tellsRetries } = telling;
  let hash = createHash('md5');
  let doneBytes = 0;
  let first: StreamedAnswer | undefined;
  let progress: Progress | undefined;
  const say = (line: string) => (progress ?? noProgress()).say(line);
  const retries = new Retries({ say: tellsRetries ? say : undefined });
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
    throw isDirectory(pathOf(urlPath));
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

const factsOf = (answer: StreamedAnswer, urlPath: string): Download => ({
  sizeBytes: sizeOf(answer),
  md5: md5Of(answer),
  node: answer.headers['x-dfs-node'],
  path: pathOf(urlPath),
});

/** A stream that broke off fails with the socket's own error. */
function brokenStream(api: StoreApi, error: unknown): unknown {
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

function fileSink(handle: FileHandle): Sink {
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

const stdoutSink: Sink = {
  write: (chunk) =>
    new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => (error ? reject(outputFailure(error)) : resolve()));
    }),
  rewind: undefined,
};

const silentOn = (name: string) => (sizeBytes: number) =>
  process.stdout.isTTY ? noProgress() : showProgress(name, sizeBytes);
