import type { Readable } from 'node:stream';
import { type ByteRange, StoreError } from '@dfs/shared';
import type { FileBlob, FileRecord } from '../metadata/metadata-repository.ts';
import type { Copy } from './blob-copies.ts';

/** A run of bytes of one blob that a read asks for. */
export interface Span extends ByteRange {
  readonly blob: FileBlob;
}

/** The parts of blobs that make up a range, at least one: an empty file has one empty blob. */
export function spansOf({ blobs, sizeBytes }: FileRecord, range: ByteRange): Span[] {
  const [first] = blobs;
  if (first && sizeBytes === 0) return [{ blob: first, start: 0, end: 0 }];
  return blobs.flatMap((blob) => {
    const start = Math.max(0, range.start - blob.offsetBytes);
    const end = Math.min(blob.sizeBytes, range.end - blob.offsetBytes);
    return start < end ? [{ blob, start, end }] : [];
  });
}

/** Opens one copy from `start` on; the whole blob without a range. */
export async function openCopy(
  { store, cameFromCache }: Copy,
  span: Span,
  signal: AbortSignal,
): Promise<Readable> {
  const { blob, start, end } = span;
  const isWhole = start === 0 && end === blob.sizeBytes;
  const range = { start, end };
  const opened = await store.open(blob.blobId, isWhole ? { signal } : { range, signal });
  if (opened.isCached) cameFromCache?.();
  if (opened.sizeBytes === end - start) return opened.bytes;
  opened.bytes.destroy();
  throw new StoreError('internal', `It gives ${opened.sizeBytes} of ${end - start} bytes.`);
}

/** What a copy gave is not what it holds by all that is known: another one is asked. */
export const wrongLength = (givenBytes: number, sizeBytes: number) =>
  new StoreError('unavailable', `It gave ${givenBytes} of ${sizeBytes} bytes.`);

export const readCancelled = (signal: AbortSignal) =>
  new StoreError('cancelled', 'The reader went away.', { cause: signal.reason });
