import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { type SnapshotHead, StoreError } from '@dfs/shared';
import type { SnapshotName } from '@dfs/shared/cluster';

/** A snapshot on its way to a keeper: its name, which its first line tells, and its bytes, which the caller reads or destroys. */
export async function snapshotStream(
  lines: AsyncIterable<string>,
): Promise<{ readonly name: SnapshotName; readonly bytes: Readable }> {
  const pieces = lines[Symbol.asyncIterator]();
  const first = await pieces.next();
  if (first.done) throw new StoreError('internal', 'The snapshot has no first line.');
  const { epoch, from } = (JSON.parse(first.value.split('\n', 1)[0] ?? '') as SnapshotHead)
    .snapshot;
  const all = async function* () {
    try {
      yield first.value;
      for (let next = await pieces.next(); !next.done; next = await pieces.next()) yield next.value;
    } finally {
      await pieces.return?.();
    }
  };
  const source = Readable.from(all());
  // Its failure destroys the bytes with it, and their reader hears of it.
  const bytes = pipeline(source, createGzip(), () => undefined);
  return { name: { epoch, from }, bytes };
}
