import { randomBytes } from 'node:crypto';
import { createReadStream, rmSync } from 'node:fs';
import { access, type FileHandle, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type SnapshotLine, StoreError } from '@dfs/shared';
import { outputFailure } from '../failure.ts';
import { bytesText, print, printJson, shown } from '../output.ts';
import type { Session } from '../session.ts';

export interface BackupOptions {
  readonly force?: boolean;
  readonly json?: boolean;
}

/**
 * `dfs backup`: writes beside the target, proves that all of it is there, renames. `-` writes to standard output. Rejects with `StoreError`; no file is left then.
 */
export async function backup(
  { api }: Session,
  file: string,
  options: BackupOptions,
): Promise<void> {
  if (file !== '-') await checkFree(file, options);
  const { body } = await api.open('/api/v1/backup');
  if (file === '-') {
    await pipeline(body, process.stdout, { end: false }).catch((error: NodeJS.ErrnoException) => {
      throw process.stdout.destroyed ? outputFailure(error) : api.failure(error);
    });
    return;
  }
  const target = resolve(file);
  const staged = join(
    dirname(target),
    `.${[...basename(target)].slice(0, 40).join('')}.${randomBytes(4).toString('hex')}.part`,
  );
  const onSignal = (signal: NodeJS.Signals) => {
    rmSync(staged, { force: true });
    process.exit(signal === 'SIGINT' ? 130 : 143);
  };
  for (const signal of endingSignals) process.once(signal, onSignal);
  try {
    // All names of the store: for the eyes of its owner.
    const handle = await open(staged, 'wx', 0o600).catch((error: Error) => {
      throw cannotWrite(file, error);
    });
    try {
      await receive(body, handle).catch((error) => {
        // What the disk refuses has a system call's name.
        throw 'syscall' in error ? cannotWrite(file, error) : api.failure(error);
      });
      await handle.sync();
    } finally {
      await handle.close();
    }
    const rows = await checkWhole(staged);
    await checkFree(file, options);
    await rename(staged, target);
    await syncDirectory(dirname(target));
    const { size } = await stat(target);
    if (options.json) printJson({ file: target, size, rows });
    else print(`${shown(file)}  ${bytesText(size)}  ${rows} rows`);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  } finally {
    for (const signal of endingSignals) process.off(signal, onSignal);
  }
}

async function receive(body: Readable, handle: FileHandle): Promise<void> {
  for await (const chunk of body as AsyncIterable<Buffer>) await handle.appendFile(chunk);
}

const cannotWrite = (file: string, error: Error) =>
  new StoreError('invalid-request', `${shown(file)} cannot be written: ${error.message}`);

const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

async function checkFree(file: string, { force }: BackupOptions): Promise<void> {
  if (force) return;
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (!isThere) return;
  throw new StoreError('conflict', `${shown(file)} exists already.`, {
    hint: 'Name another file, or replace it with --force.',
  });
}

/** Reads what was written: its last line says that it is whole. Gives how many rows it holds. */
async function checkWhole(file: string): Promise<number> {
  let tail = '';
  try {
    await pipeline(createReadStream(file), createGunzip(), async (plain) => {
      for await (const chunk of plain as AsyncIterable<Buffer>) {
        tail = (tail + chunk.toString('latin1')).slice(-1_000);
      }
    });
    const line = JSON.parse(tail.trimEnd().split('\n').at(-1) ?? '') as SnapshotLine;
    if ('end' in line) return line.end.images;
  } catch (cause) {
    throw new StoreError('corrupt', 'The backup that arrived is damaged.', { cause });
  }
  throw new StoreError('incomplete-body', 'The backup that arrived is not whole.', {
    hint: 'Try again.',
  });
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
