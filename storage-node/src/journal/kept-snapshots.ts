import { createHash } from 'node:crypto';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type ClusterId, StoreError } from '@dfs/shared';
import type { KeptSnapshot, SnapshotName } from '@dfs/shared/cluster';
import {
  closeFile,
  diskError,
  makeFile,
  openFile,
  readFully,
  syncFile,
  unlinkFile,
  writeFully,
} from '../raw-file.ts';
import type { Space } from '../space.ts';
import { checkSnapshot } from './snapshot-check.ts';

const pattern = /^snapshot-(\d{1,16})-(\d{16})-(\d{16})-([0-9a-f]{32})\.ndjson\.gz$/;
const padded = (number: number) => String(number).padStart(16, '0');

/** All that is known of a snapshot stands in the name of its file, so that both appear at once. */
export const snapshotFileName = ({
  epoch,
  from,
  to,
  md5,
}: Omit<KeptSnapshot, 'sizeBytes' | 'storedAtMs'>) =>
  `snapshot-${epoch}-${padded(from)}-${padded(to)}-${md5}.ndjson.gz`;

export async function readSnapshotFile(
  directory: string,
  fileName: string,
): Promise<KeptSnapshot | undefined> {
  const match = pattern.exec(fileName);
  if (!match) return undefined;
  const { size, mtimeMs } = await stat(join(directory, fileName));
  const [epoch, from, to] = match.slice(1, 4).map(Number) as [number, number, number];
  return { epoch, from, to, md5: match[4] ?? '', sizeBytes: size, storedAtMs: Math.round(mtimeMs) };
}

/** The newest first. */
export const bySnapshotAge = (a: SnapshotName, b: SnapshotName) =>
  b.epoch - a.epoch || b.from - a.from;

export interface StageSnapshot {
  readonly name: SnapshotName;
  readonly clusterId: ClusterId | undefined;
  readonly bytes: Readable;
  /** The digest that the sender tells behind the bytes; lower-case hex. */
  readonly expectedMd5: (() => string) | undefined;
  readonly stagedPath: string;
  readonly space: Space;
  readonly signal: AbortSignal;
}

/** Writes a snapshot into the staging folder, durable and checked. On any failure nothing of it stays. */
export async function stageSnapshot(staging: StageSnapshot): Promise<KeptSnapshot> {
  const { name, clusterId, bytes, expectedMd5, stagedPath, space, signal } = staging;
  const room = await space.claim(0);
  let fd: number | undefined;
  try {
    fd = makeFile(stagedPath);
    const file = fd;
    const hash = createHash('md5');
    let sizeBytes = 0;
    let found: { readonly to: number } | undefined;
    await pipeline(
      bytes,
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          hash.update(chunk);
          await room.grow(chunk.byteLength);
          await writeFully(file, [chunk], sizeBytes);
          room.wrote(chunk.byteLength);
          sizeBytes += chunk.byteLength;
          yield chunk;
        }
      },
      createGunzip(),
      async (plain: AsyncIterable<Buffer>) => {
        found = await checkSnapshot(plain, { ...name, clusterId });
      },
      { signal },
    );
    const md5 = hash.digest('hex');
    const wanted = expectedMd5?.();
    if (wanted !== undefined && wanted !== md5) {
      throw new StoreError(
        'digest-mismatch',
        `The snapshot arrived with MD5 ${md5}, not ${wanted}.`,
        {
          hint: 'Send it again.',
        },
      );
    }
    await syncFile(file);
    await closeFile(file);
    const { mtimeMs } = await stat(stagedPath);
    const storedAtMs = Math.round(mtimeMs);
    return { ...name, to: found?.to ?? name.from, md5, sizeBytes, storedAtMs };
  } catch (error) {
    if (fd !== undefined) {
      await closeFile(fd).catch(() => undefined);
      await unlinkFile(stagedPath).catch(() => undefined);
    }
    throw snapshotError(error, { signal, source: bytes });
  } finally {
    room.release();
  }
}

function snapshotError(
  error: unknown,
  { signal, source }: { readonly signal: AbortSignal; readonly source: Readable },
): unknown {
  if (error instanceof StoreError) return error;
  if (signal.aborted) {
    return new StoreError('cancelled', 'The sender of the snapshot is gone.', { cause: error });
  }
  const { code = '', syscall } = error as NodeJS.ErrnoException;
  if (code.startsWith('Z_') && code !== 'Z_BUF_ERROR') {
    return new StoreError('invalid-request', 'The snapshot is no whole gzip.', { cause: error });
  }
  if (code === 'Z_BUF_ERROR' || (error === source.errored && syscall === undefined)) {
    return new StoreError('incomplete-body', 'The snapshot broke off before its end.', {
      cause: error,
    });
  }
  return diskError(error, 'storing a snapshot of the journal');
}

export async function nameSnapshot(stagedPath: string, path: string): Promise<void> {
  await rename(stagedPath, path);
}

const pieceBytes = 256 * 1024;

/** The bytes of a stored snapshot. The last piece is held back until the digest of all is right; else the stream ends with `corrupt`. */
export function snapshotBytes(
  path: string,
  { md5, sizeBytes }: KeptSnapshot,
  onDamage: () => void,
): Readable {
  const pieces = async function* () {
    const fd = await openFile(path, 'r');
    try {
      const hash = createHash('md5');
      for (let position = 0; position < sizeBytes; position += pieceBytes) {
        const piece = Buffer.allocUnsafe(Math.min(pieceBytes, sizeBytes - position));
        const isFull = (await readFully(fd, piece, position)) === piece.byteLength;
        hash.update(piece);
        const isLast = position + pieceBytes >= sizeBytes;
        if (!isFull || (isLast && hash.digest('hex') !== md5)) {
          onDamage();
          throw new StoreError('corrupt', 'The snapshot of the journal is damaged on this disk.');
        }
        yield piece;
      }
    } finally {
      await closeFile(fd).catch(() => undefined);
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}
