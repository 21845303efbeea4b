import { type ClusterId, type SnapshotEnd, type SnapshotHead, StoreError } from '@dfs/shared';
import { journalLimits, type SnapshotName } from '@dfs/shared/cluster';
import { LineSplitter } from './line-splitter.ts';

/**
 * Reads the lines of a snapshot as they come, with the memory of one of them, and judges whether it is whole and the one it is said to be. Gives the newest change
 * that it may show. Rejects with `invalid-request` or `incomplete-body`.
 */
export async function checkSnapshot(
  plain: AsyncIterable<Buffer>,
  expected: SnapshotName & { readonly clusterId: ClusterId | undefined },
): Promise<{ readonly to: number }> {
  const splitter = new LineSplitter(journalLimits.recordMaxBytes);
  let count = 0;
  let last: Buffer | undefined;
  for await (const bytes of plain) {
    for (const line of splitter.push(bytes)) {
      if (count === 0) judgeHead(line, expected);
      count += 1;
      last = line;
    }
  }
  const end = count < 2 || splitter.restBytes > 0 ? undefined : jsonOf<SnapshotEnd>(last)?.end;
  if (!end) {
    throw new StoreError('incomplete-body', 'The snapshot has no last line.', {
      hint: 'Send it again.',
    });
  }
  const { from, to, images } = end;
  if (from !== expected.from || !Number.isSafeInteger(to) || to < from || images !== count - 2) {
    throw badSnapshot(`its last line does not fit: ${JSON.stringify(end)} behind ${count} lines`);
  }
  return { to };
}

function judgeHead(
  line: Buffer,
  expected: SnapshotName & { readonly clusterId: ClusterId | undefined },
): void {
  const head = jsonOf<SnapshotHead>(line)?.snapshot;
  if (head?.format !== 1) throw badSnapshot('its first line is not one of format 1');
  if (head.clusterId !== expected.clusterId) {
    throw new StoreError(
      'wrong-cluster',
      `The snapshot is of cluster ${head.clusterId}, this node of ${expected.clusterId}.`,
    );
  }
  if (head.epoch !== expected.epoch || head.from !== expected.from) {
    throw badSnapshot(`it is ${head.epoch}-${head.from}, not ${expected.epoch}-${expected.from}`);
  }
}

function jsonOf<Value>(line: Buffer | undefined): Partial<Value> | undefined {
  try {
    const value: unknown = JSON.parse(String(line));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

const badSnapshot = (why: string) =>
  new StoreError('invalid-request', `This is no snapshot of the journal: ${why}.`, {
    hint: 'Run the same version of dfs everywhere.',
  });
