import { randomBytes } from 'node:crypto';
import { rmSync, type Stats } from 'node:fs';
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { type FilePath, rootPath, StoreError, urlPathOf } from '@dfs/shared';
import {
  type Downloaded,
  type DownloadTelling,
  download,
  fileSink,
  isDirectoryError,
  type Sink,
} from '../download.ts';
import { outputFailure } from '../failure.ts';
import { bytesText, print, printJson, shown } from '../output.ts';
import { noProgress, type Progress, showProgress } from '../progress.ts';
import { isPattern } from '../remote-paths/name-pattern.ts';
import type { Session } from '../session.ts';

export interface GetCommandOptions {
  readonly json?: boolean;
}

/**
 * `dfs get`: writes beside the target, checks the MD5, renames. A link is followed, and a file that is replaced keeps its mode. `-` writes to standard output.
 * All that a pattern matches goes into a directory. Rejects with `StoreError`; no part of a file is left then.
 */
export async function get(
  session: Session,
  remote: string,
  local: string | undefined,
  options: GetCommandOptions,
): Promise<void> {
  const wanted = await wantedBy(session, remote);
  if (local === '-') {
    for (const { urlPath, name } of wanted) {
      const telling = tellingOf(silentOn(name), { tellsRetries: !options.json });
      await download(session.api, urlPath, stdoutSink, telling);
    }
    return;
  }
  const isDirectory =
    local === undefined || (await stat(local).catch(() => undefined))?.isDirectory();
  if (wanted.length > 1 && !isDirectory) {
    throw new StoreError(
      'invalid-request',
      `${shown(local ?? '')} is no directory on this machine.`,
      {
        hint: `${shown(remote)} matches ${wanted.length} files: name a directory for them.`,
      },
    );
  }
  const answers: object[] = [];
  for (const file of wanted) {
    const { target, got } = await getOne(session, file, local, options);
    answers.push({ path: got.path, local: target, size: got.sizeBytes, md5: got.md5 });
    if (!options.json) print(`${shown(target)}  ${bytesText(got.sizeBytes)}  md5 ${got.md5}`);
  }
  if (options.json) printJson(answers.length === 1 ? answers[0] : answers);
}

/** A file of the store, and its name here. */
interface Wanted {
  readonly urlPath: string;
  readonly name: string;
}

/** Directories are no files to get: a pattern passes them over. */
async function wantedBy(session: Session, remote: string): Promise<Wanted[]> {
  if (!isPattern(remote) || session.literals.has(remote)) return [locate(session, remote)];
  // Loaded here: most calls name one file.
  const { DfsClient } = await import('../sdk/dfs-client.ts');
  const { kindOf, sourcesOf } = await import('../remote-paths/sources.ts');
  const client = new DfsClient(session.api);
  const sources = await sourcesOf(session, client, remote);
  if (sources.length === 1) return sources.map(({ path }) => wantedAt(path));
  const wanted: Wanted[] = [];
  for (const { path } of sources) {
    if ((await kindOf(client, path)) === 'file') wanted.push(wantedAt(path));
  }
  return wanted;
}

async function getOne(
  { api }: Session,
  { urlPath, name }: Wanted,
  local: string | undefined,
  options: GetCommandOptions,
): Promise<{ target: string; got: Downloaded }> {
  const target = await targetOf(local, name);
  const telling = tellingOf((size) => showProgress(name, size), { tellsRetries: !options.json });
  const found = await stat(target).catch(() => undefined);
  const isSpecial = found !== undefined && !found.isFile() && !found.isDirectory();
  const fill = (sink: Sink) => download(api, urlPath, sink, telling);
  try {
    const got = isSpecial
      ? await writeInto(target, fill)
      : await writeBeside(await followLinks(target), found, { fill, signal: api.signal });
    return { target, got };
  } catch (error) {
    throw unwritten(target, error);
  }
}

/** What the system says of a file of this machine names the file, too; other errors are as they were. */
function unwritten(target: string, error: unknown): unknown {
  const { code, errno } = error as NodeJS.ErrnoException;
  if (errno === undefined) return error;
  return new StoreError('internal', `${shown(target)} cannot be written (${code}).`, {
    hint: 'Make room here, or name another place on this machine.',
    cause: error,
  });
}

type Fill = (sink: Sink) => Promise<Downloaded>;

/** Has a new file filled beside the target and renames it when it is whole; nothing is left of it otherwise, also when a signal ends this process. */
async function writeBeside(
  target: string,
  replaced: Stats | undefined,
  { fill, signal: abort }: { fill: Fill; signal: AbortSignal | undefined },
): Promise<Downloaded> {
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
  // A shell aborts the download instead, and lives on.
  const signals = abort ? endingSignals.filter((signal) => signal !== 'SIGINT') : endingSignals;
  for (const signal of signals) process.once(signal, onSignal);
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
    for (const signal of signals) process.off(signal, onSignal);
  }
}

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** A device or a named pipe is written to: a file must not take its place. */
async function writeInto(target: string, fill: Fill): Promise<Downloaded> {
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
function locate(session: Session, remote: string): Wanted {
  const id = /^id:(.+)$/.exec(remote)?.[1];
  if (id === undefined) return wantedAt(session.path(remote));
  return { urlPath: `/api/v1/files/${encodeURIComponent(id)}`, name: id };
}

function wantedAt(path: FilePath): Wanted {
  if (path === rootPath) throw isDirectoryError(path);
  return { urlPath: `/fs${urlPathOf(path)}`, name: basename(path) };
}

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

export const stdoutSink: Sink = {
  write: (chunk) =>
    new Promise((resolve, reject) => {
      process.stdout.write(chunk, (error) => (error ? reject(outputFailure(error)) : resolve()));
    }),
  rewind: undefined,
};

const silentOn = (name: string) => (sizeBytes: number) =>
  process.stdout.isTTY ? noProgress() : showProgress(name, sizeBytes);

/** Bytes for standard output are not disturbed; a wait before another try is still told. */
export const silentTelling = (): DownloadTelling =>
  tellingOf(() => noProgress(), { tellsRetries: true });

/** Lines do not tear the bar, once there is one. */
function tellingOf(
  progressOf: (sizeBytes: number) => Progress,
  { tellsRetries }: { tellsRetries: boolean },
): DownloadTelling {
  let shown: Progress | undefined;
  return {
    progressOf: (sizeBytes) => {
      shown = progressOf(sizeBytes);
      return shown;
    },
    say: tellsRetries ? (line) => (shown ?? noProgress()).say(line) : undefined,
  };
}
