import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type SnapshotEnd, type SnapshotHead, type SnapshotLine, StoreError } from '@dfs/shared';

/** The first and the last line of a snapshot. */
export interface SnapshotFacts {
  readonly head: SnapshotHead['snapshot'];
  readonly end: SnapshotEnd['end'];
}

/** The lines of a gzipped snapshot, many at a time. Rejects with `invalid-request` when it is none, or not whole. */
export async function* snapshotLines(bytes: Readable): AsyncGenerator<readonly SnapshotLine[]> {
  const plain = createGunzip();
  // Its failure is thrown where the plain bytes are read.
  pipeline(bytes, plain, () => {});
  let rest = '';
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true });
    for await (const chunk of plain as AsyncIterable<Buffer>) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > lineMax) throw noSnapshot('a line of it is too long');
      if (lines.length > 0) yield lines.map((line) => JSON.parse(line) as SnapshotLine);
    }
  } catch (cause) {
    if (cause instanceof StoreError && cause.kind !== 'internal') throw cause;
    throw noSnapshot('it is cut short or damaged', cause);
  } finally {
    bytes.destroy();
    plain.destroy();
  }
  if (rest !== '') throw noSnapshot('its last line is cut short');
}

const lineMax = 64 * 2 ** 20;

/**
 * Gives every row of a snapshot to `take`, at most 1 000 at a time, and resolves with its facts once its last line proved that it is whole. Rejects with `invalid-request`.
 */
export async function readSnapshot(
  bytes: Readable,
  take: (
    rows: readonly Extract<SnapshotLine, { table: string }>[],
    rowsSoFar: number,
  ) => Promise<void>,
): Promise<SnapshotFacts> {
  let head: SnapshotFacts['head'] | undefined;
  let end: SnapshotFacts['end'] | undefined;
  let count = 0;
  let batch: Extract<SnapshotLine, { table: string }>[] = [];
  const pass = async () => {
    count += batch.length;
    if (batch.length > 0) await take(batch, count);
    batch = [];
  };
  for await (const lines of snapshotLines(bytes)) {
    for (const line of lines) {
      if (end) throw noSnapshot('it goes on after its end');
      if ('snapshot' in line) {
        if (head) throw noSnapshot('it begins twice');
        head = checkedHead(line.snapshot);
      } else if (!head) throw noSnapshot('it does not begin as one');
      else if ('end' in line) end = line.end;
      else if (batch.push(line) >= rowsMax) await pass();
    }
  }
  await pass();
  if (!head || !end) throw noSnapshot('its end is missing');
  if (end.images !== count) throw noSnapshot(`it has ${count} rows instead of ${end.images}`);
  return { head, end };
}

const rowsMax = 1_000;

function checkedHead(head: SnapshotHead['snapshot']): SnapshotHead['snapshot'] {
  if (head.format === 1) return head;
  throw new StoreError(
    'invalid-request',
    `The backup has the format ${JSON.stringify(head.format)}; this version of dfs reads format 1.`,
    { hint: 'Run the version of dfs that wrote it, or a later one.' },
  );
}

const noSnapshot = (why: string, cause?: unknown) =>
  new StoreError('invalid-request', `This is no whole backup: ${why}.`, {
    hint: 'Give a file that "dfs backup" wrote to its end.',
    ...(cause === undefined ? {} : { cause }),
  });
