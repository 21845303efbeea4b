import { type BlobId, type FileId, fileIdOfFirstBlob, type NodeId, newBlobId } from '@dfs/shared';
import { describe, expect, it } from 'vitest';
import type { FoundBlob } from '../metadata/restore/restore-types.ts';
import { judgeFound } from './judge-found.ts';

const lastRecordAtMs = Date.UTC(2030, 0, 2);
const minute = 60_000;
const [a, b] = ['a', 'b'] as NodeId[] as [NodeId, NodeId];
const first = newBlobId();
const fileId: FileId = fileIdOfFirstBlob(first);

const blob = (changes: Partial<FoundBlob> = {}): FoundBlob => ({
  blobId: first,
  nodeId: a,
  fileId,
  sequence: 0,
  sizeBytes: 10,
  md5: 'one',
  storedAtMs: lastRecordAtMs + minute,
  createdAtMs: lastRecordAtMs + minute,
  path: '/dir/file',
  contentType: 'text/plain',
  whole: { blobCount: 1, sizeBytes: 10, md5: 'one' },
  ...changes,
});

/** Three blobs, of which the last tells of the whole. */
const three = (changes: readonly Partial<FoundBlob>[] = [{}, {}, {}]): FoundBlob[] =>
  changes.map((change, sequence) => {
    const { whole, ...rest } = blob({
      blobId: sequence === 0 ? first : (`${sequence}` as BlobId),
      sequence,
      md5: `part ${sequence}`,
    });
    const facts = sequence === 2 ? { whole: { blobCount: 3, sizeBytes: 30, md5: 'all' } } : {};
    return { ...rest, ...facts, ...change };
  });

describe('which blobs count', () => {
  it.each<[string, Partial<FoundBlob>, number | undefined, string]>([
    ['every one without a journal', { createdAtMs: 0, storedAtMs: 0 }, undefined, 'file'],
    ['those written after the last record', {}, lastRecordAtMs, 'file'],
    [
      'those written just before it, whose change may not have been shipped',
      { createdAtMs: lastRecordAtMs - 1_000, storedAtMs: lastRecordAtMs - 900 },
      lastRecordAtMs,
      'file',
    ],
    [
      'none of the time that the journal covers',
      { createdAtMs: lastRecordAtMs - minute, storedAtMs: lastRecordAtMs - minute },
      lastRecordAtMs,
      'old',
    ],
    [
      'a long upload that ended after it',
      { createdAtMs: lastRecordAtMs - 60 * minute, storedAtMs: lastRecordAtMs + 1 },
      lastRecordAtMs,
      'file',
    ],
    [
      'none that is days older, whatever the clock of its node says',
      { createdAtMs: lastRecordAtMs - 2 * 1_440 * minute, storedAtMs: lastRecordAtMs + minute },
      lastRecordAtMs,
      'old',
    ],
  ])('%s', (_, changes, last, kind) => {
    expect(judgeFound([blob(changes)], last).kind).toBe(kind);
  });

  it('a copy that was made late does not make an old blob a new one', () => {
    const old = { createdAtMs: lastRecordAtMs - minute, storedAtMs: lastRecordAtMs - minute };
    const copies = [blob(old), blob({ ...old, nodeId: b, storedAtMs: lastRecordAtMs + minute })];
    expect(judgeFound(copies, lastRecordAtMs).kind).toBe('old');
  });
});

describe('what they make', () => {
  it('a file of one blob, held by those that have it, the first one in front', () => {
    const verdict = judgeFound(
      [blob({ nodeId: b, storedAtMs: lastRecordAtMs + 2 * minute }), blob()],
      undefined,
    );
    expect(verdict).toMatchObject({
      kind: 'file',
      found: {
        path: '/dir/file',
        holders: [[a, b]],
        file: { id: fileId, md5: 'one', sizeBytes: 10 },
      },
    });
    expect(verdict).not.toHaveProperty('found.doubt');
  });

  it('a file of several, in their order, with the MD5 of the whole', () => {
    const verdict = judgeFound(three().reverse(), undefined);
    expect(verdict).toMatchObject({ kind: 'file', found: { file: { md5: 'all', sizeBytes: 30 } } });
    const { found } = verdict as Extract<typeof verdict, { kind: 'file' }>;
    expect(found.file.blobs.map(({ md5, offsetBytes }) => [md5, offsetBytes])).toEqual([
      ['part 0', 0],
      ['part 1', 10],
      ['part 2', 20],
    ]);
  });

  it.each<[string, FoundBlob[], RegExp]>([
    ['without its last blob', three().slice(0, 2), /last blob/],
    ['without one in the middle', three().filter(({ sequence }) => sequence !== 1), /2 of its 3/],
    ['without its first', three().slice(1), /2 of its 3/],
    ['with a blob of another length', three([{}, { sizeBytes: 9 }, {}]), /29 bytes/],
    ['whose blobs name different paths', three([{}, { path: '/other' }, {}]), /different paths/],
    [
      'with two blobs for one place',
      [...three(), ...three([{}]).map((x) => ({ ...x, blobId: 'x' as BlobId }))],
      /two blobs/,
    ],
    [
      'of one blob with another MD5',
      [blob({ whole: { blobCount: 1, sizeBytes: 10, md5: 'two' } })],
      /another MD5/,
    ],
  ])('pieces, each a file of its own, of one %s', (_, copies, why) => {
    const verdict = judgeFound(copies, undefined);
    if (verdict.kind !== 'pieces') throw new Error(verdict.kind);
    expect(verdict.found).toHaveLength(copies.length);
    for (const piece of verdict.found) {
      expect(piece.doubt).toMatch(why);
      expect(piece.path).toMatch(/\/[-0-9a-f]+\.part-0000\d$/);
      expect(piece.file.blobs).toHaveLength(1);
    }
  });

  it('a doubtful file where its path is none', () => {
    const verdict = judgeFound([blob({ path: 'no/../path' })], undefined);
    expect(verdict).toMatchObject({ kind: 'file', found: { doubt: 'its path is no valid one' } });
  });
});
